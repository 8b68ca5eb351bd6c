"""Score a model on clean and corrupted images, cell by cell.

What is finished is kept: the same command goes on where a killed one stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stl_backbones.cli.robustness_options import make_robustness_parser
from stl_backbones.cli.tool import is_main_process, run_tool
from stl_backbones.corruptions import import_modules

if TYPE_CHECKING:
    from stl_backbones.robustness.stopping.judge import Outcome

EXIT_NOT_PASSED = 1
KEPT = "what is finished is kept"


def parse() -> argparse.ArgumentParser:
    """The command line."""
    return make_robustness_parser(__doc__ or "")


def robustness(args: argparse.Namespace) -> int:
    """Run the sweep; returns the exit code: 1 unless all gates of --until pass."""
    import_modules(args.custom_imports)
    from stl_backbones.cli.robustness import dry_run, list_presets, report_command, run
    from stl_backbones.cli.sweep_command import keep_command
    from stl_backbones.robustness.progress import show_progress

    if args.list_presets:
        print(list_presets())
        return 0
    if args.dry_run:
        text = dry_run(args)
        if is_main_process():
            print(text)
        return 0
    outcomes: list[Outcome] = []
    with show_progress(True) as on_progress:
        folder = run(args, progress=on_progress, outcome=outcomes.append)
    if is_main_process():
        keep_command(args, folder)
        command = report_command(args, folder)
        for outcome in outcomes:
            print(outcome)
        print(f"cells: {folder}" + (f"\nnext: {command}" if command else ""))
    return 0 if all(one.passed for one in outcomes) else EXIT_NOT_PASSED


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(parse(), robustness, argv, after_interrupt=KEPT)
