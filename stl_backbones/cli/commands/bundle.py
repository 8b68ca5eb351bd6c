"""Put a finished sweep into one file, which report.py takes like a folder.

bundle.py work_dirs/fan_b --out fan_b.bundle.zip
bundle.py work_dirs/fan_b --out fan_b.bundle.zip --without-records
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from stl_backbones.cli.tool import add_custom_imports, make_parser, run_tool


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__ or "")
    add = parser.add_argument
    add("dir", metavar="DIR", help="a sweep's folder")
    add("--out", metavar="FILE", help="the file to write, if not DIR.bundle.zip")
    add("--without-records", action="store_true", help="only the numbers of the cells, a small "
        "file: no intervals, and nobody can compute them anew")  # fmt: skip
    add_custom_imports(parser)
    return parser


def _bundle(args: argparse.Namespace) -> None:
    from stl_backbones.corruptions import import_modules
    from stl_backbones.report import write_bundle  # after parsing: --help stays quick

    import_modules(args.custom_imports)
    out = args.out or f"{args.dir.rstrip('/')}.bundle.zip"
    print(f"bundle: {write_bundle(args.dir, out, records=not args.without_records)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit code."""
    return run_tool(parse(), _bundle, argv)
