"""Fuzzing of all readers of outside files: python -m faults.fuzz, or make fuzz.

Each reads changed files, guided by the lines that it runs. An error of the user's input is an
answer; another exception, a crash, more than 5 s or more than 2 GB for one small file is a fault.
Exit code 1 if there is one; the file that shows it, and its traceback, are kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

from faults.fuzz import data, images, models, results
from faults.fuzz.loop import fuzz, read_once
from faults.fuzz.reader import Reader, Tally

READERS = (*results.READERS, *data.READERS, *images.READERS, *models.READERS)
_HEAD = (
    "| reader | files | refused | new paths | faults | slowest (s) | most memory (MB) |\n"
    "|---|---:|---:|---:|---:|---:|---:|"
)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [reader.name for reader in READERS]
    parser.add_argument("--minutes", type=float, default=1.0, help="of each reader")
    parser.add_argument("--only", nargs="+", choices=names, metavar="READER", default=names,
                        help=", ".join(names))  # fmt: skip
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--out", type=Path, help="folder for the files that show a fault")
    parser.add_argument("--replay", type=Path, help="read this file once, by the reader of --only")
    return parser.parse_args()


def main() -> int:
    """Fuzz; returns the exit code."""
    args = parse()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    out = args.out or Path(tempfile.gettempdir()) / f"fuzz-faults-{args.seed}"
    chosen = [reader for reader in READERS if reader.name in args.only]
    try:
        if args.replay is not None:
            read_once(chosen[0], folder / "replay", args.replay.read_bytes())
            return 0
        print(f"seed {args.seed}, {args.minutes:g} minutes a reader\n\n{_HEAD}", flush=True)
        faults = 0
        for number, reader in enumerate(chosen):
            tally = fuzz(reader, folder / str(number), seconds=60 * args.minutes, seed=args.seed)
            print(row(reader, tally), flush=True)
            _keep(reader, tally, out)
            faults += len(tally.faults)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if faults:
        print(f"\n{faults} faults, kept in '{out}'")
    return 1 if faults else 0


def row(reader: Reader, tally: Tally) -> str:
    """A line of the table."""
    cells: Sequence[object] = (
        reader.name, tally.runs, tally.refused, tally.paths, len(tally.faults),
        f"{tally.slowest:.2f}", round(tally.peak / 2**20),
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def _keep(reader: Reader, tally: Tally, out: Path) -> None:
    """Write the files that show faults, and their tracebacks."""
    for number, fault in enumerate(tally.faults.values()):
        out.mkdir(parents=True, exist_ok=True)
        name = f"{reader.name.replace(' ', '-').replace('/', '-')}-{number}"
        (out / f"{name}.bin").write_bytes(fault.content)
        text = f"{fault.kind}: {fault.where}\n{fault.trace}"
        (out / f"{name}.txt").write_text(text, encoding="utf-8")
        print(f"    {name}: {fault.kind} at {fault.where}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
