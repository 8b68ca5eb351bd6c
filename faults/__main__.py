"""The faults campaign: python -m faults, or make faults.

Kills the tools at random moments, lets calamities happen to them, gives them wrong input, and
alters their results; prints a table of what was survived. Exit code 1 if anything was not.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

from faults import (
    bad_checkpoints,
    bad_commands,
    bad_configs,
    bad_images,
    bad_labels,
)
from faults.bad_input import run_cases
from faults.calamities import Campaign, Finding
from faults.clock import Clock
from faults.forkserver import ROOT, ForkServer
from faults.interruptions import (
    PROMPT,
    Work,
    finish,
    interrupt_works,
    list_works,
    prepare_works,
)
from faults.material import Material, prepare_material
from faults.mutations import CATALOGUE as CHANGES
from faults.mutations import count_mutations

CATALOGUES = (bad_images, bad_labels, bad_configs, bad_checkpoints, bad_commands)
# Part -> its share of the time.
PARTS = {"interruptions": 8, "calamities": 7, "bad-input": 9, "mutations": 4}
TITLES = {
    "interruptions": "Killed at random moments, started again until done",
    "calamities": "Lost helpers, rivals, disks, clocks",
    "bad-input": "Wrong input",
    "mutations": "Altered results",
}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    moment = int(time.time()) % 100_000
    parser.add_argument("--seed", type=int, default=moment, help="of moments, signals, damages, "
                        "and of what is tried first")  # fmt: skip
    parser.add_argument("--kills", type=int, default=30, help="kills of each work, at most")
    parser.add_argument("--minutes", type=float, default=28.0, help="what does not fit in is "
                        "left out and named; another seed tries other cases")  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--table", type=Path, help="Markdown file to write")
    parser.add_argument("--keep", action="store_true", help="keep the folders of all runs")
    return parser.parse_args()


def main() -> int:
    """Run the campaign; returns the exit code."""
    args = parse()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    print(f"seed {args.seed}, folders below {folder}", flush=True)
    begun, sections, good = time.monotonic(), [], True
    try:
        for part in run_parts(args, folder):
            sections.append(part.render())
            print(sections[-1], flush=True)
            good = good and all(one.survived == one.count for one in part.findings)
            if args.table is not None:
                head = describe(args.seed, minutes=(time.monotonic() - begun) / 60)
                args.table.write_text(head + "".join(sections), encoding="utf-8")
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if good else 1


def describe(seed: int, *, minutes: float) -> str:
    """The head of the table: one run on one commit."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*"]
    commit = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    today = datetime.datetime.now(tz=datetime.timezone.utc).date()
    return (
        "# Faults campaign\n\nBy `make faults`, see docs/reference/faults.md. One run, seed "
        f"{seed}, commit {commit or 'unknown'}, {today}: {minutes:.1f} minutes on {os.cpu_count()} "
        f"cores, Python {platform.python_version()}.\n"
    )


@dataclass
class Part:
    """What became of one part of the campaign.

    Attributes:
        title: Its heading.
        findings: A row each.
        left_out: What the time did not allow.
        minutes: How long it took.
    """

    title: str
    findings: list[Finding] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    minutes: float = 0.0

    def render(self) -> str:
        """Its table, in Markdown."""
        survived = sum(one.survived for one in self.findings)
        left = "; ".join(map(_cell, self.left_out))
        lines = [
            "",
            f"## {self.title}: {survived} of {sum(one.count for one in self.findings)}",
            "",
            f"{self.minutes:.1f} minutes. {f'Left out for time: {left}.' if left else ''}".strip(),
            "",
            "| case | count | survived | |",
            "|---|---:|---:|---|",
        ]
        for one in self.findings:
            name, note = _cell(one.name), _cell(one.note)
            lines.append(f"| {name} | {one.count} | {one.survived} | {note} |")
        return "\n".join(lines) + "\n"


def run_parts(args: argparse.Namespace, folder: Path) -> Iterator[Part]:
    """Yield each part once it has ended."""
    clock = Clock.of_minutes(args.minutes)
    material = prepare_material(folder / "material")
    with ForkServer() as server:
        prepare_works(server, material, folder / "base")
        works = list_works(material, folder / "base")
        run: dict[str, Callable[[Part, Clock], Iterator[Finding]]] = {
            "interruptions": lambda part, own: interruptions(
                server, works, folder / "interruptions", part, own, args
            ),
            "calamities": lambda part, own: calamities(
                Campaign(server, works, folder / "calamities"), part, own, args.seed
            ),
            "bad-input": lambda part, own: bad_input(
                server, material, folder / "input", part, own, args.seed
            ),
            "mutations": lambda part, own: altered_results(
                server, works, folder / "altered", part, own, args.seed
            ),
        }
        for number, name in enumerate(args.only):
            own = clock.part(PARTS[name], of=sum(PARTS[one] for one in args.only[number:]))
            part, start = Part(TITLES[name]), time.monotonic()
            for finding in run[name](part, own):
                part.findings.append(finding)
                print(f"{finding.survived}/{finding.count}  {finding.name}  {finding.note}",
                      flush=True)  # fmt: skip
            part.minutes = (time.monotonic() - start) / 60
            yield part


def interruptions(
    server: ForkServer,
    works: Sequence[Work],
    folder: Path,
    part: Part,
    clock: Clock,
    args: argparse.Namespace,
) -> Iterator[Finding]:
    """A finding per work; a kill is survived if nothing about its row of kills was wrong."""
    outcomes = interrupt_works(server, works, folder, kills=args.kills, seed=args.seed, clock=clock)
    for name, outcome in outcomes.items():
        signals = ", ".join(f"{count} {signal}" for signal, count in sorted(outcome.kills.items()))
        summary = (
            f"{signals}; {outcome.damaged} files cut off or emptied; compared {outcome.runs} "
            f"times; slowest end {outcome.slowest:.1f} s (asked {PROMPT:g})"
        )
        if outcome.count < args.kills and not outcome.problems:
            part.left_out.append(f"{args.kills - outcome.count} kills of {name}")
        survived = outcome.count if not outcome.problems else 0
        yield Finding(name, outcome.count, survived, "; ".join([summary, *outcome.problems[:2]]))


def calamities(campaign: Campaign, part: Part, clock: Clock, seed: int) -> Iterator[Finding]:
    """A finding per calamity."""
    yield from campaign.run(clock, seed=seed)
    part.left_out += campaign.left_out


def bad_input(
    server: ForkServer, material: Material, folder: Path, part: Part, clock: Clock, seed: int
) -> Iterator[Finding]:
    """A finding per group of cases."""
    rng = random.Random(seed)
    for number, catalogue in enumerate(CATALOGUES):
        place = folder / catalogue.__name__.rpartition(".")[2]
        place.mkdir(parents=True)
        drawn = {"seed": seed} if catalogue is bad_commands else {}
        cases = list(catalogue.cases(material, place, **drawn))
        rng.shuffle(cases)
        own = clock.part(1, of=len(CATALOGUES) - number)
        verdicts = run_cases(server, cases, place, clock=own)
        groups: dict[str, list[str]] = {}
        for verdict in verdicts:
            groups.setdefault(verdict.case.group, []).append(
                f"{verdict.case.name}: {verdict.problem} ({verdict.answer[:300]})"
                if verdict.problem
                else ""
            )
        for group, problems in groups.items():
            wrong = [problem for problem in problems if problem]
            yield Finding(group, len(problems), len(problems) - len(wrong), "; ".join(wrong[:3]))
        if len(verdicts) < len(cases):
            part.left_out.append(f"{len(cases) - len(verdicts)} of {len(cases)} of {place.name}")


def altered_results(
    server: ForkServer,
    works: Sequence[Work],
    folder: Path,
    part: Part,
    clock: Clock,
    seed: int,
) -> Iterator[Finding]:
    """A finding per kind of change to a finished sweep of each task."""
    swept = []
    for number, work in enumerate(work for work in works if work.name.startswith("sweep")):
        place = folder / str(number)
        place.mkdir(parents=True)
        finish(server.start(work.words, folder=place))
        swept.append(place / "out")
    kinds = list(CHANGES)
    random.Random(seed).shuffle(kinds)
    while kinds and not clock.is_up:
        for kind, tried, noticed in count_mutations(swept, [kinds.pop()]):
            if tried:  # some kinds need sets that these sweeps have not
                yield Finding(kind, tried, noticed)
    part.left_out += kinds


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
