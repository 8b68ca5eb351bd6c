"""From the command line of tools/show_failures.py to the sweep whose failures are drawn."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from stl_backbones.cli.robustness import prepared
from stl_backbones.cli.robustness_options import make_robustness_parser
from stl_backbones.cli.sweep_command import options_text, read_command
from stl_backbones.corruptions import import_modules
from stl_backbones.failures.show import Failures, Wanted, show_failures
from stl_backbones.results import CellStore


def run(
    args: argparse.Namespace,
    command: Sequence[str] | None,
    *,
    say: Callable[[str], None] = print,
) -> Failures:
    """Draw the failures of the sweep that a command line names.

    Args:
        args: Parsed by tools/show_failures.py.
        command: The words of the sweep's own command line; ``None``: those that it keeps.
        say: Called with a line that names the sweep's options, before they are followed.

    Raises:
        InputError: If options, model and data do not go together.
        MissingFileError: If something named is missing.
        UnknownNameError: If a name is unknown.
    """
    folder = Path(args.sweep).absolute()  # before the process goes to another folder
    out = None if args.out is None else Path(args.out).absolute()
    CellStore(folder).provenance()  # refuses a folder that is no sweep
    import_modules(args.custom_imports)
    wanted = Wanted(
        cells=args.cells or (),
        count=args.count,
        by=args.by,
        picture_format=args.format or "png",
        least_score=args.min_score,
        out=out,
    )
    if command is None:
        options, start = read_command(folder)
        say(f"options of the sweep: {options_text(options)}")
        os.chdir(start)
    else:
        options = make_robustness_parser("").parse_intermixed_args(command)
    import_modules(options.custom_imports)
    source, _, asked = prepared(options)
    return show_failures(source, asked, folder, wanted=wanted)


__all__ = ["run"]
