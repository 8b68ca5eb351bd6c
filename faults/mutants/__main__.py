"""Mutation testing: python -m faults.mutants, or make mutants.

Makes random small faults in the package's modules, one at a time, in a copy of the checkout, runs
the tests of the mirrored folder on each, and prints which were not noticed. Exit code 1 if any of
those has no reason in faults/mutants/reasons.yaml.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from faults.forkserver import ROOT, ForkServer
from faults.mutants.bench import PRELOADED, Bench
from faults.mutants.changes import draw_changes, list_changes
from stl_backbones.results.atomic import write_atomically

PACKAGES = (
    "metrics", "results", "report", "models", "pretraining", "evaluation", "corruptions",
)  # fmt: skip
REASONS = Path(__file__).with_name("reasons.yaml")

_Key = tuple[str, str, str]
_Outcome = Mapping[str, Any]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", nargs="+", choices=PACKAGES, default=PACKAGES)
    parser.add_argument("--count", type=int, default=50, help="mutants of each package")
    parser.add_argument("--seed", type=int, default=0, help="of what is changed, and where")
    parser.add_argument("--again", action="store_true", help="try those that are open in the table")
    parser.add_argument(
        "--outcomes", type=Path, default=Path("work_dirs/mutants"),
        help="folder that keeps a file per package; a later run goes on there",
    )  # fmt: skip
    parser.add_argument("--table", type=Path, help="Markdown file to write")
    return parser.parse_args()


def main() -> int:
    """Run the tests on all mutants; returns the exit code."""
    args = parse()
    args.outcomes.mkdir(parents=True, exist_ok=True)
    with ForkServer(*PRELOADED) as server:
        for package in args.only:
            run_package(server, package, args)
    outcomes = {package: read_outcomes(args.outcomes, package) for package in PACKAGES}
    reasons = read_reasons()
    if args.table is not None:
        args.table.write_text(render(outcomes, reasons), encoding="utf-8")
    open_ones = [
        outcome
        for package in args.only
        for outcome in outcomes[package]
        if not outcome["noticed_by"] and key_of(outcome) not in reasons
    ]
    for outcome in open_ones:
        print(f"not noticed: {outcome['module']}\n  {outcome['before']}\n  {outcome['after']}")
    return 1 if open_ones else 0


def run_package(server: ForkServer, package: str, args: argparse.Namespace) -> None:
    """Try a package's mutants that have no outcome yet, or survived; keep each outcome at once."""
    sources = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in sorted((ROOT / "stl_backbones" / package).rglob("*.py"))
    }
    changes = [change for name, source in sources.items() for change in list_changes(name, source)]
    outcomes = {key_of(outcome): outcome for outcome in read_outcomes(args.outcomes, package)}
    if args.again:
        missed = {key for key, outcome in outcomes.items() if not outcome["noticed_by"]}
        todo = [change for change in changes if change.key in missed - read_reasons().keys()]
    else:
        drawn = draw_changes(changes, count=args.count, seed=f"{args.seed} {package}")
        todo = [change for change in drawn if change.key not in outcomes]
    if not todo:
        return
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        bench = Bench(server, package, Path(folder))
        for change in todo:
            start = time.monotonic()
            noticed_by = bench.try_change(change, sources[change.module])
            first = outcomes.get(change.key, {}).get("at_first", bool(noticed_by))
            outcomes[change.key] = {
                "module": change.module, "kind": change.kind,
                "before": change.before, "after": change.after,
                "noticed_by": noticed_by, "at_first": first,
                "seconds": round(time.monotonic() - start, 1),
            }  # fmt: skip
            text = json.dumps(list(outcomes.values()), indent=1)
            write_atomically(args.outcomes / f"{package}.json", text.encode())
            print(f"{change.module}: {change.after}\n  {noticed_by or 'NOT NOTICED'}", flush=True)


def read_outcomes(folder: Path, package: str) -> list[_Outcome]:
    """What earlier runs found."""
    path = folder / f"{package}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def read_reasons() -> dict[_Key, str]:
    """Why no test has to notice a change, by module, lines before and lines after."""
    entries = yaml.safe_load(REASONS.read_text(encoding="utf-8")) or []
    return {key_of(entry): entry["reason"] for entry in entries}


def key_of(entry: _Outcome) -> _Key:
    """What names a change, as `Change.key`."""
    return entry["module"], entry["before"], entry["after"]


def render(outcomes: dict[str, list[_Outcome]], reasons: dict[_Key, str]) -> str:
    """The Markdown table of all packages, and the survivors with their reasons."""
    lines = [
        f"# Mutants\n\n{datetime.date.today()}, by `python -m faults.mutants`,",
        "see docs/reference/faults.md.", "",
        "| package | made | noticed at first | noticed now | not noticed, with a reason | open |",
        "|---|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    survivors = []
    total = [0] * 5
    for package, found in outcomes.items():
        missed = [outcome for outcome in found if not outcome["noticed_by"]]
        excused = [outcome for outcome in missed if key_of(outcome) in reasons]
        at_first = sum(outcome["at_first"] for outcome in found)
        row = [len(found), at_first, len(found) - len(missed), len(excused),
               len(missed) - len(excused)]  # fmt: skip
        total = [sum(pair) for pair in zip(total, row, strict=True)]
        lines.append(f"| {package} | " + " | ".join(map(str, row)) + " |")
        survivors += missed
    lines += ["| all | " + " | ".join(map(str, total)) + " |", "", "## Not noticed", "",
              "| where | before | after | reason |", "|---|---|---|---|"]  # fmt: skip
    for outcome in survivors:
        module, before, after = key_of(outcome)
        cells = [module.removeprefix("stl_backbones/"), f"`{before}`", f"`{after}`",
                 reasons.get(key_of(outcome), "open")]  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(main())
