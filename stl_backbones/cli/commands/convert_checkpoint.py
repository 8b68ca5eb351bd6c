"""Convert a released FAN or STL checkpoint into a plain backbone file.

The result goes into a config as --cfg-options pretrained=DST, or anywhere as
init_cfg=dict(type='Pretrained', checkpoint=DST). The source's pickled parts are not run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from stl_backbones.cli.tool import add_no_ema, add_trust_checkpoint, make_parser, run_tool


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument("src", help="released checkpoint, for example fan_vit_base.pth.tar")
    parser.add_argument("dst", help="file to write")
    add_no_ema(parser)
    parser.add_argument(
        "--with-head", action="store_true", help="keep the classifiers: for timm, or to go on"
    )
    add_trust_checkpoint(parser)
    return parser


def convert(args: argparse.Namespace) -> None:
    """Convert, and print what matched."""
    from stl_backbones.engine.convert import convert_checkpoint

    arch, report = convert_checkpoint(
        args.src, args.dst, ema=not args.no_ema, with_head=args.with_head
    )
    print(f"{report}\nwrote {args.dst}: arch '{arch}'")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(parse(), convert, argv)
