"""Draw one image under every corruption of a protocol, at every severity, on one sheet.

show_corruptions.py photo.jpg
show_corruptions.py photo.jpg --protocol imagenet-c --corruptions noise fog
show_corruptions.py photo.jpg --protocol mine --custom-imports rain_streaks.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from stl_backbones.cli.parser import whole_from
from stl_backbones.cli.tool import add_cells, add_custom_imports, make_parser, run_tool
from stl_backbones.records import COMPATS, MODES, CorruptionEngine


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__ or "")
    add = parser.add_argument
    add("image", metavar="IMAGE", help="an image file")
    add("--protocol", metavar="NAME", help="whose corruptions (default: all of the package)")
    add_cells(parser)
    add("--mode", choices=MODES, default="fast", help="corruption engine, see robustness.py")
    add("--compat", choices=COMPATS, default=COMPATS[0], help="the package that exact equals")
    add("--seed", type=whole_from(0), default=0, help="another seed, another draw")
    add("--width", type=whole_from(32, 16384), metavar="N", help="width that the image gets before "
        "it is corrupted, in pixels (default: its own); corruptions depend on it")  # fmt: skip
    add("--panel", type=whole_from(32, 4096), default=240, metavar="N",
        help="width of a version on the sheet, in pixels")  # fmt: skip
    add(
        "--out",
        metavar="FILE",
        help="the PNG or JPEG to write, if not IMAGE_corruptions.png in the current folder",
    )
    add_custom_imports(parser)
    return parser


def show(args: argparse.Namespace) -> None:
    """Draw and save the sheet."""
    from stl_backbones.cli.sheet import make_sheet  # heavy: only once the options are read

    engine = CorruptionEngine(args.mode, args.compat, seed=args.seed, depth=args.depth or "")
    out = make_sheet(args, Path(args.image), engine)
    print(f"sheet: {out}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(parse(), show, argv)
