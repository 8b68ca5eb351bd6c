"""Tools killed at random moments, and started again until they are done.

Every result is compared, byte for byte, with that of a run that nobody disturbed.
"""

from __future__ import annotations

import hashlib
import math
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from faults.clock import Clock
from faults.forkserver import ROOT, ForkServer, Running
from faults.material import Material

PROMPT = 2.0  # seconds within which Ctrl-C and SIGTERM end a tool
_KILLS_IN_A_ROW = 8
_LANES = 2  # works that are disturbed at once
_TOO_LONG = 120.0
_BEGINNING = 0.25  # seconds; every fourth signal comes in them, while the tool's modules load
_BEGIN = "leave --resume out to begin at 0"
_TEMPORARY = (".partial", ".tmp", ".lock-holder")
_TEMPORARY_FOLDERS = ("blocks", ".generation")
_CELLS = ["--corruptions", "gaussian_noise", "contrast", "fog", "--severities", "1", "3"]


@dataclass(frozen=True)
class Work:
    """A tool's run that is to be disturbed.

    Args:
        name: Its row in the table.
        words: Tool and arguments; it writes to ``out`` in its working folder.
        again: What is added to go on after a kill.
        digests: Result -> hash; by default of every file but logs of when and how long.
        damaged: Files that a power cut may leave empty or cut off, as glob patterns.
    """

    name: str
    words: Sequence[object]
    again: Sequence[str] = ()
    digests: Callable[[Path], dict[str, str]] | None = None
    damaged: Sequence[str] = ()

    def results(self, folder: Path) -> dict[str, str]:
        """What it has made."""
        return (self.digests or hash_files)(folder / "out")


@dataclass
class Outcome:
    """What became of a work's kills.

    Attributes:
        kills: Signal -> how often it was sent to a running tool.
        damaged: Files cut off or emptied after a kill.
        runs: Times it was run to its end and compared.
        slowest: Longest time from Ctrl-C or SIGTERM to the end, in seconds.
        problems: What was wrong, in words.
    """

    kills: dict[str, int] = field(default_factory=dict)
    damaged: int = 0
    runs: int = 0
    slowest: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """All kills."""
        return sum(self.kills.values())


def list_works(material: Material, folder: Path) -> list[Work]:
    """All works; ``folder`` gets what they need of each other."""
    sweep = [ROOT / "tools/robustness.py", *_CELLS, "--work-dir", "out", "--batch-size", "1"]
    kept = ("out/cells/*.npz", "out/blocks/*.npz", "out/run.json", "out/detections/*.gz")
    copy = ("out/**/*.png", "out/**/*.jpeg", "out/**/*.JPEG", "out/.generation/journal-*",
            "out/manifest.jsonl")  # fmt: skip
    generate = [ROOT / "tools/generate_corruptions.py"]
    pretrain = ROOT / "tools/pretrain.py"
    longer = ["epochs=3", "val_interval=1"]
    return [
        Work(
            "corrupted copy, ImageNet layout",
            [*generate, material.data / "imagenet", "out", "--layout", "imagenet",
             "--severities", "3", "--workers", "2"],
            damaged=copy,
        ),
        Work(
            "corrupted copy, Cityscapes layout",
            [*generate, material.data / "cityscapes", "out", "--layout", "cityscapes",
             "--workers", "1"],
            damaged=copy,
        ),
        Work("sweep, segmentation", [*sweep, *material.segmenter()], damaged=kept),
        Work("sweep, detection", [*sweep, *material.detector()], damaged=kept),
        Work("sweep, classification", [*sweep, *material.classifier()], damaged=kept),
        *(
            Work(
                f"pretraining, {kind}",
                [pretrain, ROOT / f"configs/cls/stl_fan_t_mini_{kind}.py", "--work-dir", "out",
                 "--cfg-options", *material.pretraining_options(kind), *longer],
                again=["--resume"],
                digests=hash_checkpoints,
                damaged=("out/epoch_*.pth", "out/last_checkpoint"),
            )
            for kind in ("labeler", "student")
        ),
        Work(
            "report",
            [ROOT / "tools/report.py", folder / "swept", "--out", "out", "--partial"],
            damaged=("out/*",),
        ),
    ]  # fmt: skip


def prepare_works(server: ForkServer, material: Material, folder: Path) -> None:
    """Make the sweep that the report's runs read."""
    folder.mkdir(parents=True)
    words = [ROOT / "tools/robustness.py", *_CELLS, "--work-dir", "swept", *material.segmenter()]
    finish(server.start(words, folder=folder))


def interrupt_works(
    server: ForkServer, works: Sequence[Work], folder: Path, *, kills: int, seed: int, clock: Clock
) -> dict[str, Outcome]:
    """Disturb each work so many times, if the time allows; two at a time."""

    def disturb(number: int) -> Outcome:
        own = clock.part(1, of=math.ceil((len(works) - number) / _LANES))
        place = folder / str(number)
        return interrupt(server, works[number], place, kills=kills, seed=seed + number, clock=own)

    with ThreadPoolExecutor(_LANES) as pool:
        outcomes = pool.map(disturb, range(len(works)))
        return {work.name: outcome for work, outcome in zip(works, outcomes, strict=True)}


def interrupt(
    server: ForkServer, work: Work, folder: Path, *, kills: int, seed: int, clock: Clock
) -> Outcome:
    """Disturb one work.

    Args:
        server: Starts its tool.
        work: What is killed.
        folder: Gets a folder for each row of kills; removed again.
        kills: How many, at least, if the time allows.
        seed: Decides moments, signals and damages.
        clock: Ends it; one row of kills is tried in any case.
    """
    rng, outcome = random.Random(seed), Outcome()
    whole = folder / "whole"
    whole.mkdir(parents=True)
    start = time.monotonic()
    finish(server.start(work.words, folder=whole))
    duration = time.monotonic() - start
    expected = work.results(whole)
    shutil.rmtree(whole)
    if not expected:
        raise RuntimeError(f"{work.name}: an undisturbed run has no results")
    while outcome.count < kills and not (outcome.runs and clock.is_up):
        place = folder / f"{outcome.runs}"
        place.mkdir()
        before = list(outcome.problems)
        output, quickest = _kill_until_done(
            server, work, place, duration=duration, rng=rng, outcome=outcome
        )
        duration = min(duration, quickest)
        outcome.runs += 1
        _compare(work, place, expected, output, outcome)
        if outcome.problems != before:
            break  # one example is enough, and its folder stays for a look
        shutil.rmtree(place)
    return outcome


def _kill_until_done(
    server: ForkServer,
    work: Work,
    place: Path,
    *,
    duration: float,
    rng: random.Random,
    outcome: Outcome,
) -> tuple[str, float]:
    """Kill a run some times, then let it end.

    Returns:
        Its last output, and the seconds of a run that was quicker than its kill.
    """
    words, quickest = list(work.words), duration
    for turn in range(rng.randint(1, _KILLS_IN_A_ROW)):
        start = time.monotonic()
        running = server.start(words, folder=place)
        latest = _BEGINNING if rng.random() < 0.25 else max(duration, 2 * _BEGINNING)
        if running.wait(rng.uniform(0, latest)) is not None:
            running.forget_output()
            if turn == 0:  # else some of the work was done before
                quickest = time.monotonic() - start
            break  # nothing is left to do
        number = rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        group = number == signal.SIGINT or rng.random() < 0.5
        _kill(running, number, group=group, work=work, outcome=outcome)
        if number == signal.SIGKILL and rng.random() < 0.5:
            outcome.damaged += _damage(work, place, rng)
        words = [*work.words, *_again(work, place)]
    words = [*work.words, *_again(work, place)]
    running = server.start(words, folder=place)
    code = running.wait(_TOO_LONG)
    output = running.output()
    if code == 2 and _BEGIN in output:  # its only checkpoint was damaged; do what the line says
        running.forget_output()
        running = server.start(work.words, folder=place)
        code, output = running.wait(_TOO_LONG), running.output()
    if code != 0:
        running.send(signal.SIGKILL, group=True)
        outcome.problems.append(f"started again: exit code {code}: {output.strip()[-600:]}")
    running.forget_output()
    return output, quickest


def _again(work: Work, place: Path) -> Sequence[str]:
    """What the command needs to go on; a run that was killed before it began starts anew."""
    return work.again if (place / "out/.lock").exists() else ()


def _kill(
    running: Running, number: signal.Signals, *, group: bool, work: Work, outcome: Outcome
) -> None:
    start = time.monotonic()
    running.send(number, group=group)
    code = running.wait(_TOO_LONG)
    seconds = time.monotonic() - start
    output = running.output()
    name = f"{number.name}{' to the group' if group else ''}"
    if code == 0:
        running.forget_output()
        return  # it was ending anyway
    outcome.kills[number.name] = outcome.kills.get(number.name, 0) + 1
    problems = outcome.problems
    if not running.wait_for_group(10):
        problems.append(f"{name}: processes left behind after 10 s")
        running.send(signal.SIGKILL, group=True)
    if number != signal.SIGKILL:
        outcome.slowest = max(outcome.slowest, seconds)
        lines = [line for line in output.splitlines() if "interrupted;" in line]
        if code == -number and not lines:
            pass  # all was done, or nothing begun: the interpreter's start and end
        elif code != 128 + number:
            problems.append(f"{name}: exit code {code}: {output.strip()[-600:]}")
        elif len(lines) != 1 or output.strip().splitlines()[-1] != lines[0]:
            problems.append(f"{name}: not one line: {output.strip()[-600:]}")
        elif f" {work.words[0]} " not in lines[0].partition("; go on with: ")[2] or not (
            lines[0].endswith((str(work.words[-1]), *work.again))
        ):
            problems.append(f"{name}: no command to go on with: {lines[0]}")
        if "Traceback" in output:
            problems.append(f"{name}: traceback: {output.strip()[-900:]}")
        if seconds > PROMPT:
            problems.append(f"{name}: ended after {seconds:.1f} s")
    running.forget_output()


def _damage(work: Work, place: Path, rng: random.Random) -> int:
    """Empty one of the files, or cut it off at half: what a power cut does."""
    found = sorted({p for pattern in work.damaged for p in place.glob(pattern) if p.is_file()})
    if not found:
        return 0
    path = rng.choice(found)
    with path.open("rb+") as file:
        file.truncate(rng.choice([0, path.stat().st_size // 2]))
    return 1


def _compare(
    work: Work, place: Path, expected: dict[str, str], output: str, outcome: Outcome
) -> None:
    try:
        found = work.results(place)
    except Exception as error:  # whatever is wrong with a result is a finding, not an end
        outcome.problems.append(f"results cannot be read: {error}")
        return
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            how = ("missing" if name not in found else
                   "too many" if name not in expected else "other bytes")  # fmt: skip
            outcome.problems.append(f"{name}: {how}; last words: {output.strip()[-300:]}")
    for path in (place / "out").rglob("*"):
        if path.name in _TEMPORARY_FOLDERS or path.name.endswith(_TEMPORARY):
            outcome.problems.append(f"left behind: {path.relative_to(place)}")


def hash_files(out: Path) -> dict[str, str]:
    """Path -> hash of every file that holds a result, wherever its folder lies."""
    own = str(out.parent).encode()
    passed_over = ("timing.csv", "log.jsonl", ".lock")
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes().replace(own, b"")).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in passed_over and "vis_data" not in path.parts
    }


def hash_checkpoints(out: Path) -> dict[str, str]:
    """Checkpoint -> hash of all that decides how it goes on: weights, averages, optimizer, step.

    The files themselves hold times.
    """
    import torch

    from stl_backbones.engine.safe_loaders import install_safe_loaders
    from stl_backbones.models import read_checkpoint

    def feed(value: object) -> None:
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        elif isinstance(value, dict):
            for key in value:
                digest.update(f"{key}:".encode())
                feed(value[key])
        elif isinstance(value, list | tuple):
            for each in value:
                feed(each)
        else:
            digest.update(repr(value).encode())

    install_safe_loaders()
    found = {}
    for path in sorted(out.glob("*.pth")):
        digest = hashlib.sha256()
        content = read_checkpoint(path)
        for part in ("state_dict", "ema_state_dict", "optimizer", "param_schedulers"):
            feed(content.get(part))
        feed([content["meta"]["epoch"], content["meta"]["iter"]])
        found[path.name] = digest.hexdigest()
    return found


def finish(running: Running) -> None:
    """Wait for a run that nothing disturbs.

    Raises:
        RuntimeError: If it does not end well.
    """
    code = running.wait(_TOO_LONG)
    if code != 0:
        raise RuntimeError(f"{running.words}: exit code {code}: {running.output()[-1500:]}")
    running.forget_output()
