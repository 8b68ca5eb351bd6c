"""Turn finished sweeps into a robustness table and a page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from stl_backbones.apis.cli import add_custom_imports, make_parser, run_tool

_EPILOG = """examples:
  python tools/report.py work_dirs/stl_fan_b --paper
  python tools/report.py work_dirs/fan_b work_dirs/stl_fan_b --out report --names FAN-B STL-FAN-B
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this tool."""
    parser = make_parser(
        "Turn finished sweeps into a robustness table (the layout of the paper's Table 13):\n"
        "Markdown here; Markdown, CSV, LaTeX and one HTML page in the output folder.",
        epilog=_EPILOG,
    )
    parser.add_argument("dirs", nargs="+", metavar="DIR", help="a sweep's folder, one per model")
    parser.add_argument("--out", metavar="DIR", help="output folder, if not DIR/report")
    parser.add_argument("--protocol", help="protocol, if not the recorded one")
    add_custom_imports(parser)
    parser.add_argument("--names", nargs="+", metavar="NAME", help="row names, one per DIR")
    parser.add_argument("--paper", action="store_true", help="add the paper's published rows")
    parser.add_argument(
        "--partial", action="store_true", help="print dashes for missing cells, do not refuse"
    )
    parser.add_argument("--precision", type=int, default=1, help="decimals of percentages, 0 to 6")
    return parser


def _report(args: argparse.Namespace) -> None:
    from stl_backbones.apis.report import make_report  # after parsing: --help stays quick
    from stl_backbones.corruptions import import_modules

    import_modules(args.custom_imports)
    made = make_report(
        args.dirs,
        out=args.out,
        protocol=args.protocol,
        names=args.names,
        paper=args.paper,
        partial=args.partial,
        precision=args.precision,
    )
    print(f"{made.text}\nreport: {made.page}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit code."""
    return run_tool(build_parser(), _report, argv)


if __name__ == "__main__":
    raise SystemExit(main())
