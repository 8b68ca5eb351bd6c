"""What happens to tools beside a kill of their own: lost helpers, rivals, disks, clocks."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from faults.clock import Clock
from faults.forkserver import ROOT, ForkServer, Running, group_members
from faults.interruptions import Work, hash_files, list_works

_TOO_LONG = 180.0
_SWEPT = ["cells/brightness-1.npz", "cells/clean.npz", "command.json", "run.json"]


@dataclass(frozen=True)
class Finding:
    """How one calamity ended.

    Args:
        name: What happened.
        count: How often.
        survived: How often as it should.
        note: A figure, or what was wrong.
    """

    name: str
    count: int
    survived: int
    note: str = ""


@dataclass(frozen=True)
class Calamity:
    """What is about to happen.

    Args:
        name: The row of the table.
        happen: Does it, and says how it ended.
    """

    name: str
    happen: Callable[[], Finding]


class Campaign:
    """All calamities.

    Args:
        server: Starts tools.
        works: What is disturbed, see `list_works`.
        folder: Gets a folder for each calamity.

    Attributes:
        left_out: Names of those that the time did not allow.
    """

    def __init__(self, server: ForkServer, works: Sequence[Work], folder: Path) -> None:
        self.server, self.folder = server, folder
        self.left_out: list[str] = []
        self.works = {work.name: work for work in works}
        self._expected: dict[str, tuple[dict[str, str], float]] = {}

    def run(self, clock: Clock, *, seed: int) -> Iterator[Finding]:
        """Let them happen one after the other, in an order of the seed's, until the time is up."""
        kinds: Sequence[Callable[[], Iterator[Calamity]]] = (
            self.killed_workers,
            self.lost_ranks,
            self.rivals,
            self.full_disk,
            self.read_only_folder,
            self.cut_off_best,
            self.vanishing_file,
            self.clock_set_back,
            self.many_images,
        )
        calamities = [calamity for kind in kinds for calamity in kind()]
        random.Random(seed).shuffle(calamities)
        for calamity in calamities:
            if clock.is_up:
                self.left_out.append(calamity.name)
            else:
                yield calamity.happen()

    def place(self, name: str) -> Path:
        """A new folder."""
        path = self.folder / "".join(c if c.isalnum() else "-" for c in name)
        path.mkdir(parents=True)
        return path

    def undisturbed(self, work: Work) -> tuple[dict[str, str], float]:
        """Results of a run that nobody disturbs, and its seconds."""
        if work.name not in self._expected:
            place, start = self.place(f"whole {work.name}"), time.monotonic()
            code, output = self.finish(self.server.start(work.words, folder=place))
            if code:
                raise RuntimeError(f"{work.name}: exit code {code}: {output[-900:]}")
            self._expected[work.name] = work.results(place), time.monotonic() - start
            shutil.rmtree(place)
        return self._expected[work.name]

    def finish(self, running: Running) -> tuple[int | None, str]:
        """Exit code and output of a run, which is killed if it hangs."""
        code = running.wait(_TOO_LONG)
        if code is None:
            running.send(signal.SIGKILL, group=True)
        output = running.output()
        running.forget_output()
        return code, output

    def ends_alike(self, work: Work, place: Path) -> str:
        """Start a work again, and compare; returns what is wrong."""
        expected, _ = self.undisturbed(work)
        code, output = self.finish(self.server.start([*work.words, *work.again], folder=place))
        if code != 0:
            return f"started again: exit code {code}: {output.strip()[-300:]}"
        return "" if work.results(place) == expected else "other results"

    # --- processes -------------------------------------------------------------------------

    def killed_workers(self) -> Iterator[Calamity]:
        """A worker killed by the kernel for want of memory looks like this."""
        for name, goes_on in (
            ("corrupted copy, ImageNet layout", True),
            ("sweep, segmentation", False),
            ("sweep, detection", False),
            ("sweep, classification", False),
            ("pretraining, labeler", False),
        ):
            yield self._repeat(f"a worker is killed: {name}", 3, lambda turn, name=name,
                               goes_on=goes_on: self._kill_worker(name, turn, goes_on))  # fmt: skip

    def _kill_worker(self, name: str, turn: int, goes_on: bool) -> str:
        work = self.works[name]
        expected, duration = self.undisturbed(work)
        place = self.place(f"worker {name} {turn}")
        words = list(work.words)
        if "pretraining" in name:
            words += ["num_workers=1"]
        running = self.server.start(words, folder=place)
        deadline = time.monotonic() + _TOO_LONG
        killed = False
        while not killed and time.monotonic() < deadline and running.wait(0.01) is None:
            if _workers(running.pid):
                time.sleep(turn * duration / 20)
                for pid in _workers(running.pid)[-1:]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        killed = True
        code, output = self.finish(running)
        if not killed:
            return "no worker found"
        if code == 0:
            return "" if work.results(place) == expected else "ended, with other results"
        if goes_on or code != 2:
            return f"exit code {code}: {output.strip()[-400:]}"
        return one_line_problem(output, "was killed") or self.ends_alike(work, place)

    def lost_ranks(self) -> Iterator[Calamity]:
        """A process of a torchrun job is lost."""
        for name in ("sweep, segmentation", "sweep, classification", "pretraining, labeler"):
            yield self._repeat(
                f"a rank of torchrun is lost: {name}", 2,
                lambda turn, name=name: self._lose_rank(name, turn),
            )  # fmt: skip

    def _lose_rank(self, name: str, rank: int) -> str:
        work = self.works[name]
        words = list(map(str, work.words))
        if "pretraining" in name:  # a step of two processes is another step than one's
            words += ["batch_size=2"]
            whole = self.place(f"ranks whole {rank}")
            if _torchrun(words, whole).wait(_TOO_LONG):
                return "two processes do not end well undisturbed"
            expected = work.results(whole)
        else:
            expected, _ = self.undisturbed(work)
        place = self.place(f"rank {name} {rank}")
        job = _torchrun(words, place)
        started = {"sweep": "blocks/*.npz", "pretraining": "epoch_*.pth"}[name.split(",")[0]]
        deadline = time.monotonic() + 120
        while not list((place / "out").glob(started)) and time.monotonic() < deadline:
            time.sleep(0.02)
        ranks = [pid for pid in _children(job.pid) if _environment(pid).get("RANK") == str(rank)]
        if not ranks:
            job.kill()
            return "the rank was not found"
        os.kill(ranks[0], signal.SIGKILL)
        start = time.monotonic()
        try:
            code = job.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(job.pid, signal.SIGKILL)
            return "the job hangs after 60 s"
        output = (place / "output.txt").read_text()
        if code == 0:
            return "exit code 0 though a rank was lost"
        if "this is a bug" in output:
            return f"the other rank calls it a bug: {output[-600:]}"
        again = _torchrun([*words, *work.again], place)
        if again.wait(_TOO_LONG):
            return f"started again: {(place / 'output.txt').read_text()[-300:]}"
        if work.results(place) != expected:
            return "other results"
        self._slowest = max(getattr(self, "_slowest", 0.0), time.monotonic() - start)
        return ""

    # --- rivals ----------------------------------------------------------------------------

    def rivals(self) -> Iterator[Calamity]:
        """The same command is started twice."""
        for name in self.works:
            if name != "report":
                yield self._repeat(f"two runs in one folder: {name}", 1,
                                   lambda _, name=name: self._rival(name))  # fmt: skip
        yield self._repeat("two reports in one folder", 5, self._two_reports)

    def _rival(self, name: str) -> str:
        work = self.works[name]
        expected, duration = self.undisturbed(work)
        place = self.place(f"rival {name}")
        first = self.server.start(work.words, folder=place)
        lock = place / ("out/.generation/lock" if "copy" in name else "out/.lock")
        while first.wait(0.005) is None and not (lock.is_file() and lock.read_bytes()):
            pass
        first.send(signal.SIGSTOP, group=True)  # else it may end before the second begins
        second = self.server.start([*work.words, *work.again], folder=place)
        code, output = self.finish(second)
        first.send(signal.SIGCONT, group=True)
        first_code, first_output = self.finish(first)
        if first_code != 0:
            return f"the first ends with {first_code}: {first_output[-300:]}"
        if work.results(place) != expected:
            return "other results"
        if code != 2:
            return f"the second ends with {code} ({duration:.1f} s a run): {output[-300:]}"
        return one_line_problem(output, f"process {first.pid} on ")

    def _two_reports(self, turn: int) -> str:
        """No lock: each file appears whole, and both write the same."""
        work = self.works["report"]
        expected, duration = self.undisturbed(work)
        place = self.place(f"reports {turn}")
        first = self.server.start(work.words, folder=place)
        time.sleep(turn * duration / 5)
        ends = [self.finish(self.server.start(work.words, folder=place)), self.finish(first)]
        for code, output in ends:
            if code != 0:
                return f"exit code {code}: {output.strip()[-300:]}"
        return "" if work.results(place) == expected else "other results"

    # --- disks -----------------------------------------------------------------------------

    def full_disk(self) -> Iterator[Calamity]:
        """A file system of a few megabytes."""
        for name, size in (
            ("corrupted copy, ImageNet layout", "1m"),
            ("sweep, segmentation", "40k"),
            ("sweep, detection", "60k"),
            ("sweep, classification", "20k"),
            ("pretraining, labeler", "60m"),
            ("report", "40k"),
        ):
            yield self._repeat(f"disk full: {name}", 1,
                               lambda _, name=name, size=size: self._fill(name, size))  # fmt: skip

    def _fill(self, name: str, size: str) -> str:
        work = self.works[name]
        self.undisturbed(work)
        place = self.place(f"full {name}")
        with _file_system(place, "size=2g") as remount:
            running = self._start_elsewhere(work, place)
            if "copy" in name:  # which looks at the free space before it begins
                while not (place / "out/.generation/lock").exists() and running.wait(0.002) is None:
                    pass
            remount(f"size={size}")
            code, output = self.finish(running)
            if code != 2:
                return f"exit code {code}: {output.strip()[-400:]}"
            problem = one_line_problem(output, "space left", "disk is full")
            halves = [p.name for p in (place / "out").rglob("*.partial")]
            if problem or halves:
                return problem or f"half-written: {halves}"
            remount("size=2g")
            return self.ends_alike(work, place)

    def read_only_folder(self) -> Iterator[Calamity]:
        """A file system that takes nothing."""
        for name in self.works:
            yield self._repeat(f"read-only folder: {name}", 1,
                               lambda _, name=name: self._forbid(name))  # fmt: skip

    def _forbid(self, name: str) -> str:
        work = self.works[name]
        place = self.place(f"read-only {name}")
        with _file_system(place, "ro"):
            code, output = self.finish(self._start_elsewhere(work, place))
        if code != 2:
            return f"exit code {code}: {output.strip()[-400:]}"
        return one_line_problem(output, "read-only", "cannot be written", "not writable")

    def cut_off_best(self) -> Iterator[Calamity]:
        """A power cut leaves the best checkpoint at half its size."""
        name = "pretraining, labeler"
        yield self._repeat(f"the best checkpoint is cut off: {name}", 1,
                           lambda _: self._cut_off_best(name))  # fmt: skip

    def _cut_off_best(self, name: str) -> str:
        work = self.works[name]
        words = [*work.words, "default_hooks.checkpoint.interval=1"]
        place = self.place(f"best {name}")
        code, output = self.finish(self.server.start(words, folder=place))
        if code != 0:
            return f"exit code {code}: {output.strip()[-300:]}"
        (damaged,) = (place / "out").glob("best_*.pth")
        os.truncate(damaged, damaged.stat().st_size // 2)
        for last in (place / "out").glob("epoch_3.pth"):
            last.unlink()
        code, output = self.finish(self.server.start([*words, *work.again], folder=place))
        if code != 0 or f"{damaged.name}' is damaged, removed" not in output:
            return f"started again: exit code {code}: {output.strip()[-300:]}"
        work.results(place)  # all of its checkpoints can be read
        return "" if list((place / "out").glob("best_*.pth")) else "no best checkpoint"

    def _start_elsewhere(self, work: Work, place: Path) -> Running:
        """Start it with its output file outside of the file system under test."""
        output = place.with_name(f"{place.name}-output")
        output.mkdir(exist_ok=True)
        return self.server.start(work.words, folder=place, output_in=output)

    # --- data and clock --------------------------------------------------------------------

    def vanishing_file(self) -> Iterator[Calamity]:
        """An image is deleted while the tool runs, and comes back."""
        for name, folder, code in (
            ("corrupted copy, Cityscapes layout", "data/cityscapes/leftImg8bit/val", 1),
            ("sweep, segmentation", "data/cityscapes/leftImg8bit/val", 2),
            ("sweep, detection", "data/coco/val2017", 2),
            ("sweep, classification", "classes", 2),
        ):
            yield self._repeat(
                f"an image vanishes: {name}", 1,
                lambda _, name=name, folder=folder, code=code: self._vanish(name, folder, code),
            )  # fmt: skip

    def _vanish(self, name: str, images: str, expected_code: int) -> str:
        work = self.works[name]
        self.undisturbed(work)
        place = self.place(f"vanishing {name}")
        root = next(p for p in self.folder.parents if (p / "material").is_dir()) / "material"
        image = sorted(p for p in (root / images).rglob("*") if p.is_file())[-1]
        running = self.server.start(work.words, folder=place)
        started = "out/.generation/lock" if "copy" in name else "out/.lock"
        while not (place / started).exists() and running.wait(0.002) is None:
            pass
        hidden = image.with_name("hidden.bak")
        image.rename(hidden)
        try:
            code, output = self.finish(running)
        finally:
            hidden.rename(image)
        if code == 0:
            return "it was read before it vanished"
        if code != expected_code or image.name not in output or "Traceback" in output:
            return f"exit code {code}: {output.strip()[-400:]}"
        return self.ends_alike(work, place)

    def clock_set_back(self) -> Iterator[Calamity]:
        """A year back, in the middle of the run; what is finished lies in the future then."""
        for name in self.works:
            yield self._repeat(f"clock set back: {name}", 1,
                               lambda _, name=name: self._set_back(name))  # fmt: skip

    def _set_back(self, name: str) -> str:
        work = self.works[name]
        _, duration = self.undisturbed(work)
        place = self.place(f"clock {name}")
        words = [Path(__file__).with_name("set_back.py"), duration / 2, *work.words]
        running = self.server.start(words, folder=place)
        if running.wait(duration * 0.7) is None:
            running.send(signal.SIGKILL, group=True)
            running.wait(10)
        running.wait_for_group(10)
        for path in place.rglob("*"):
            os.utime(path, (time.time() + 4e7, time.time() + 4e7))
        return self.ends_alike(work, place)

    def many_images(self) -> Iterator[Calamity]:
        """100,000 images in one folder: a copy of all, a sweep of some."""
        name = "100,000 images in one folder: a copy, a sweep of 64"
        yield Calamity(name, lambda: self._many(name))

    def _many(self, name: str) -> Finding:
        place = self.place("many")
        folder = place / "images" / "n01440764"
        folder.mkdir(parents=True)
        other = place / "images" / "n01443537"
        other.mkdir()
        Image.new("RGB", (32, 32), (90, 120, 30)).save(place / "one.png")
        for number in range(100_000):
            if number % 20_000 == 0:  # a file takes so many links, and no more
                link = place / f"one-{number}.png"
                shutil.copy(place / "one.png", link)
            os.link(link, folder / f"{number:06d}.png")
        shutil.copy(place / "one.png", other / "0.png")
        copy = [ROOT / "tools/generate_corruptions.py", folder, "out", "--layout", "folder",
                "--corruptions", "brightness", "--severities", "1", "--mode", "fast"]  # fmt: skip
        sweep = [ROOT / "tools/robustness.py", "--timm", "resnet10t", "--checkpoint",
                 self.classifier, "--data-root", place / "images", "--input-size", "64",
                 "--allow-missing", "--limit", "64", "--corruptions", "brightness",
                 "--severities", "1", "--work-dir", "swept"]  # fmt: skip
        survived, notes = 0, []
        for words in (copy, sweep):
            start = time.monotonic()
            code, output = self.finish(self.server.start(words, folder=place))
            seconds = time.monotonic() - start
            is_whole = (
                sum(1 for _ in (place / "out").rglob("*.png")) == 100_000
                if words is copy
                else sorted(hash_files(place / "swept")) == _SWEPT
            )
            survived += code == 0 and is_whole
            notes.append(f"{seconds:.0f} s" if code == 0 else output.strip()[-300:])
        shutil.rmtree(place)
        return Finding(name, 2, survived, ", ".join(notes))

    @property
    def classifier(self) -> str:
        """The classifier's weights."""
        words = list(map(str, self.works["sweep, classification"].words))
        return words[words.index("--checkpoint") + 1]

    def _repeat(self, name: str, count: int, happen: Callable[[int], str]) -> Calamity:
        def repeat() -> Finding:
            problems = [problem for turn in range(count) if (problem := happen(turn))]
            return Finding(name, count, count - len(problems), "; ".join(problems))

        return Calamity(name, repeat)


def one_line_problem(output: str, *any_of: str) -> str:
    """What is wrong with the answer of a tool that cannot go on; empty if nothing."""
    lines = [line for line in output.splitlines() if ": error: " in line]
    if "Traceback" in output or "this is a bug" in output:
        start = max(output.find("Traceback"), 0)
        return f"traceback: {output[max(start - 200, 0) : start + 900]}"
    if len(lines) != 1:
        return f"{len(lines)} error lines: {output.strip()[-500:]}"
    if not any(text.lower() in lines[0].lower() for text in any_of):
        return f"says: {lines[0]}"
    return ""


def _torchrun(words: Sequence[str], place: Path) -> subprocess.Popen[bytes]:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    with (place / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [*launch, *words],
            cwd=place,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )


def _workers(tool: int) -> list[int]:
    """Processes that a tool started, but for other programs, such as the compiler for its version.

    One that has just been started is the tool's own program, until it begins the other one.
    """
    program = _program(tool)
    others = [pid for pid in group_members(tool) if pid != tool and _program(pid) == program]
    time.sleep(0.01)
    return [pid for pid in others if _program(pid) == program]


def _program(pid: int) -> Path | None:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/exe").readlink()
    return None


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def _environment(pid: int) -> dict[str, str]:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/environ").read_text(errors="replace")
        return dict(pair.partition("=")[::2] for pair in text.split("\0"))
    return {}


@contextlib.contextmanager
def _file_system(place: Path, options: str) -> Iterator[Callable[[str], None]]:
    """Mount a file system in memory; yields a function that changes its options."""

    def mount(chosen: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", chosen, "tmpfs", str(place)], check=True)

    def remount(chosen: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{chosen}", str(place)], check=True)

    mount(options)
    try:
        yield remount
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def can_mount() -> bool:
    """Whether this user may mount a file system."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


__all__ = ["Campaign", "Finding", "can_mount", "list_works"]
