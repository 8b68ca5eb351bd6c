"""The faults campaign: python -m faults, or make faults.

Kills the tools at random moments, lets calamities happen to them, gives them wrong input, and
alters their results; prints a table of what was survived. Exit code 1 if anything was not.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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
from faults.forkserver import ForkServer
from faults.interruptions import (
    PROMPT,
    Work,
    finish,
    interrupt_works,
    list_works,
    prepare_works,
)
from faults.material import Material, prepare_material
from faults.mutations import count_mutations

CATALOGUES = (bad_images, bad_labels, bad_configs, bad_checkpoints, bad_commands)
PARTS = ("interruptions", "calamities", "bad-input", "mutations")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    moment = int(time.time()) % 100_000
    parser.add_argument("--seed", type=int, default=moment, help="of moments, signals, damages")
    parser.add_argument("--kills", type=int, default=30, help="kills of each work, at least")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--table", type=Path, help="Markdown file to write")
    parser.add_argument("--keep", action="store_true", help="keep the folders of all runs")
    return parser.parse_args()


def main() -> int:
    """Run the campaign; returns the exit code."""
    args = parse()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    print(f"seed {args.seed}, folders below {folder}", flush=True)
    sections, good = read_sections(args.table), True
    try:
        start = time.monotonic()
        for title, findings in run_parts(args, folder):
            minutes, start = (time.monotonic() - start) / 60, time.monotonic()
            sections[title] = render(title, findings, seed=args.seed, minutes=minutes)
            print(sections[title], flush=True)
            good = good and all(finding.survived == finding.count for finding in findings)
            if args.table is not None:
                args.table.write_text("".join(sections.values()), encoding="utf-8")
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if good else 1


def read_sections(table: Path | None) -> dict[str, str]:
    """Title -> text of the parts that a table holds already; those that run again replace them."""
    head = "# Faults campaign\n\nEach part by `python -m faults`, see docs/reference/faults.md.\n"
    if table is None or not table.is_file():
        return {"": head}
    parts = table.read_text(encoding="utf-8").split("\n## ")[1:]
    return {"": head, **{part.partition(":")[0]: f"\n## {part}" for part in parts}}


def run_parts(args: argparse.Namespace, folder: Path) -> Iterator[tuple[str, list[Finding]]]:
    """Yield title and findings of each part."""
    material = prepare_material(folder / "material")
    with ForkServer() as server:
        prepare_works(server, material, folder / "base")
        works = list_works(material, folder / "base")
        parts: dict[str, tuple[str, Callable[[], Iterator[Finding]]]] = {
            "interruptions": (
                "Killed at random moments, started again until done",
                lambda: interruptions(server, works, folder, kills=args.kills, seed=args.seed),
            ),
            "calamities": (
                "Lost helpers, rivals, disks, clocks",
                Campaign(server, works, folder / "calamities").run,
            ),
            "bad-input": (
                "Wrong input",
                lambda: bad_input(server, material, folder / "input", args.seed),
            ),
            "mutations": (
                "Altered results",
                lambda: altered_results(server, works, folder / "altered"),
            ),
        }
        for name in args.only:
            title, run = parts[name]
            findings = []
            for finding in run():
                findings.append(finding)
                print(f"{finding.survived}/{finding.count}  {finding.name}  {finding.note}",
                      flush=True)  # fmt: skip
            yield title, findings


def interruptions(
    server: ForkServer, works: Sequence[Work], folder: Path, *, kills: int, seed: int
) -> Iterator[Finding]:
    """A finding per work; a kill is survived if nothing about its row of kills was wrong."""
    outcomes = interrupt_works(server, works, folder / "interruptions", kills=kills, seed=seed)
    for name, outcome in outcomes.items():
        signals = ", ".join(f"{count} {signal}" for signal, count in sorted(outcome.kills.items()))
        summary = (
            f"{signals}; {outcome.damaged} files cut off or emptied; compared {outcome.runs} "
            f"times; slowest end {outcome.slowest:.1f} s (asked {PROMPT:g})"
        )
        survived = outcome.count if not outcome.problems else 0
        yield Finding(name, outcome.count, survived, "; ".join([summary, *outcome.problems[:2]]))


def bad_input(server: ForkServer, material: Material, folder: Path, seed: int) -> Iterator[Finding]:
    """A finding per group of cases."""
    for catalogue in CATALOGUES:
        place = folder / catalogue.__name__.rpartition(".")[2]
        place.mkdir(parents=True)
        drawn = {"seed": seed} if catalogue is bad_commands else {}
        verdicts = run_cases(server, catalogue.cases(material, place, **drawn), place)
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


def altered_results(server: ForkServer, works: Sequence[Work], folder: Path) -> Iterator[Finding]:
    """A finding per kind of change to a finished sweep of each task."""
    swept = []
    for number, work in enumerate(work for work in works if work.name.startswith("sweep")):
        place = folder / str(number)
        place.mkdir(parents=True)
        finish(server.start(work.words, folder=place))
        swept.append(place / "out")
    for kind, tried, noticed in count_mutations(swept):
        if tried:  # some kinds need sets that these sweeps have not
            yield Finding(kind, tried, noticed)


def render(title: str, findings: Sequence[Finding], *, seed: int, minutes: float) -> str:
    """A part's table, in Markdown."""
    today = datetime.datetime.now(tz=datetime.timezone.utc).date()
    survived, count = sum(f.survived for f in findings), sum(f.count for f in findings)
    lines = [
        "",
        f"## {title}: {survived} of {count}",
        "",
        f"Seed {seed}, {today}: {minutes:.1f} minutes on {os.cpu_count()} cores, Python "
        f"{platform.python_version()}.",
        "",
        "| case | count | survived | |",
        "|---|---:|---:|---|",
    ]
    lines += [f"| {_cell(f.name)} | {f.count} | {f.survived} | {_cell(f.note)} |" for f in findings]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
