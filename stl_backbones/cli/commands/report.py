"""Turn finished sweeps into a robustness table and a page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from stl_backbones.cli.parser import whole_from
from stl_backbones.cli.tool import add_custom_imports, make_parser, run_tool
from stl_backbones.errors import InputError

EXIT_NOT_MET = 1
MAX_RESAMPLES = 1_000_000  # beyond, memory ends and intervals no longer change
_EPILOG = """examples:
  python tools/report.py work_dirs/stl_fan_b --paper
  python tools/report.py work_dirs/fan_b work_dirs/stl_fan_b --out report --names FAN-B STL-FAN-B
  python tools/report.py work_dirs/fan_b work_dirs/stl_fan_b --compare
  python tools/report.py work_dirs/stl_fan_b --require 'average >= 0.60' --require 'fog/5 >= 0.30'
  python tools/report.py work_dirs/stl_fan_b --require 'class:person:fog/5 >= 0.40'
  python tools/report.py work_dirs/stl_fan_b --breaking-point '50% of clean'
  python tools/report.py work_dirs/stl_fan_b --mean winter=snow,frost
  python tools/report.py work_dirs/stl_fan_b --slices weather.csv --slices brightness
docs/reference/reports.md explains the tables.
"""


def parse() -> argparse.ArgumentParser:
    """Return the parser of this tool."""
    parser = make_parser(
        "Turn finished sweeps into robustness tables (the layouts of the paper's Tables 2, 3, 5,\n"
        "12 and 13): Markdown here; Markdown, CSV, LaTeX and one HTML page in the output folder.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "dirs", nargs="+", metavar="DIR", help="a sweep's folder, or a bundle of it, one per model"
    )
    parser.add_argument("--out", metavar="DIR", help="output folder, if not DIR/report")
    parser.add_argument("--protocol", help="protocol, if not the recorded one")
    add_custom_imports(parser)
    parser.add_argument("--names", nargs="+", metavar="NAME", help="row names, one per DIR")
    parser.add_argument("--paper", action="store_true", help="add the paper's published rows")
    parser.add_argument(
        "--published", action="append", default=[], metavar="NAME",
        help="add the numbers that others published: robustbench, timm, semsegbench, "
        "robust-detection, c-bar; several times. docs/how-to/published_numbers.md",
    )  # fmt: skip
    parser.add_argument(
        "--partial", action="store_true", help="print dashes for missing cells, do not refuse"
    )
    parser.add_argument(
        "--precision", type=whole_from(0, 6), default=1, help="decimals of percentages, 0 to 6"
    )
    parser.add_argument("--compare", action="store_true", help="two DIRs: their paired difference")
    parser.add_argument(
        "--mean", action="append", default=[], metavar="NAME=CORRUPTION,...",
        help="a mean of your own choice, of corruptions or groups of the protocol",
    )  # fmt: skip
    parser.add_argument(
        "--breaking-point", metavar="SCORE",
        help="find the severity at which the score falls below 0.5, say, or '50%% of clean'",
    )  # fmt: skip
    parser.add_argument(
        "--require", action="append", default=[], metavar="'NAME OP NUMBER'",
        help="a bound, in fractions, that every model must keep: exit code 1 if one does not",
    )  # fmt: skip
    parser.add_argument(
        "--require-lower-bound", action="store_true",
        help="judge by the unfavourable end of the 95 %% interval: the lower one for >=",
    )  # fmt: skip
    parser.add_argument(
        "--resamples", type=whole_from(0, MAX_RESAMPLES), metavar="N",
        help="of the bootstrap, 0: no intervals (default: 1000, and 0 for detection)",
    )  # fmt: skip
    parser.add_argument(
        "--stopped", action="store_true",
        help="accept sweeps that stopped early (--until) beside other rows, with their mark",
    )  # fmt: skip
    parser.add_argument(
        "--real-labels", metavar="FILE",
        help="ReaL's real.json: top-1 by its labels too, of the stored predictions of ImageNet-1K",
    )  # fmt: skip
    parser.add_argument(
        "--per-image", action="store_true", help="write images.csv too: every image in every cell"
    )
    parser.add_argument(
        "--embed-pictures", action="store_true",
        help="put the pictures that show_failures.py made into the page, not beside it",
    )  # fmt: skip
    parser.add_argument(
        "--slices", action="append", default=[], metavar="FILE.csv|PROPERTY",
        help="all numbers by the columns of a file (image id, then columns), or by brightness, "
        "contrast, class-share:NAME, object-size; may be repeated",
    )  # fmt: skip
    return parser


def _report(args: argparse.Namespace) -> int:
    from stl_backbones.corruptions import import_modules
    from stl_backbones.report.write import make_report  # after parsing: --help stays quick

    if args.require_lower_bound and not args.require:
        raise InputError("--require-lower-bound judges by --require, which is not given")
    import_modules(args.custom_imports)
    made = make_report(
        args.dirs,
        out=args.out,
        protocol=args.protocol,
        names=args.names,
        paper=args.paper,
        partial=args.partial,
        precision=args.precision,
        compare=args.compare,
        means=args.mean,
        breaking_point=args.breaking_point,
        require=args.require,
        require_lower_bound=args.require_lower_bound,
        resamples=args.resamples,
        per_image=args.per_image,
        embed_pictures=args.embed_pictures,
        slices=args.slices,
        stopped=args.stopped,
        real_labels=args.real_labels,
        published=args.published,
    )
    print(f"{made.text}\nreport: {made.page}")
    for verdict in made.failed:
        print(verdict, file=sys.stderr)
    return EXIT_NOT_MET if made.failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit code."""
    return run_tool(parse(), _report, argv)
