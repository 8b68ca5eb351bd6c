"""Draw the images that a swept model loses most on: clean, corrupted, truth, predictions.

The images are chosen from the sweep's records, then corrupted and predicted again. The pictures go
to DIR/failures, where tools/report.py finds them. The model and its data are those of the command
that made the sweep, which is kept in its folder; where it is not, give it again behind --:

  show_failures.py work_dirs/fan_b --cells fog/5 snow/5
  show_failures.py work_dirs/fan_b --by class:person --count 6
  show_failures.py work_dirs/lite0 -- --timm tf_efficientnet_lite0 --data-root imagenet
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from stl_backbones.cli.device import add_device
from stl_backbones.cli.parser import whole_from
from stl_backbones.cli.started import command_words
from stl_backbones.cli.tool import (
    add_custom_imports,
    add_trust_checkpoint,
    make_parser,
    run_tool,
)

if TYPE_CHECKING:
    from stl_backbones.results.failure_index import FailurePicture


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__ or "")
    add = parser.add_argument
    add("sweep", metavar="DIR", help="a sweep's folder")
    add("--cells", nargs="+", metavar="NAME/N", help="corruption and severity, such as fog/5 "
        "(default: of the three corruptions that cost most the strongest)")  # fmt: skip
    add("--count", type=whole_from(1, 10_000), default=12, metavar="N",
        help="pictures, shared evenly among the cells")  # fmt: skip
    add("--by", default="drop", metavar="ORDER", help="drop: the largest fall against the clean "
        "image; worst: the lowest score; class:NAME: the largest fall of a class; "
        "random")  # fmt: skip
    add("--min-score", type=float, default=0.3, metavar="X",
        help="detections below it are not drawn")  # fmt: skip
    add("--format", help="png (default) or jpeg")
    add("--out", metavar="DIR", help="where the pictures go, if not DIR/failures")
    add_custom_imports(parser)
    add_device(parser)
    add_trust_checkpoint(parser)
    return parser


def show(args: argparse.Namespace, *, command: list[str] | None) -> None:
    """Draw, and name each file."""
    from stl_backbones.cli.failures import run  # heavy: only once the options are read

    made = run(args, command, say=(lambda _: None) if args.quiet else print)
    for picture in made.pictures:
        print_picture(picture)
    report = shlex.join([*command_words("report"), args.sweep])
    print(f"pictures: {made.folder}\nnext: {report}")


def print_picture(picture: FailurePicture) -> None:
    """Print what a picture shows."""
    note = f"  {picture.note}" if picture.note else ""
    print(f"{picture.file}  {picture.caption}{note}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    words, command = list(sys.argv[1:] if argv is None else argv), None
    if "--" in words:
        words, command = words[: words.index("--")], words[words.index("--") + 1 :]
    tool = partial(show, command=command)
    return run_tool(parse(), tool, words, after_interrupt="pictures are not finished")
