"""Write a corrupted copy of a data set, in the layout that robustness.py --corrupted-root reads.

  generate_corruptions.py data/cityscapes data/cityscapes-c --layout cityscapes
  generate_corruptions.py data/imagenet data/imagenet-c --layout imagenet
  generate_corruptions.py data/coco data/coco-c --layout coco
  generate_corruptions.py --verify data/cityscapes-c

A killed run is taken up by the same command. Under torchrun or srun each process makes its share;
by hand, give each machine its --shard i/n. See docs/how-to/corrupted_copies.md.
Exit code: 0 all well, 1 some files failed or differ, 2 bad input, disk full, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stl_backbones.cli.parser import whole_from
from stl_backbones.cli.tool import add_cells, add_custom_imports, make_parser, run_tool
from stl_backbones.corruptions.catalog import parse_levels
from stl_backbones.display import Display
from stl_backbones.errors import InputError
from stl_backbones.records import CHANNEL_ORDERS, COMPATS, MODES, CorruptionEngine
from stl_backbones.run_log import record_progress

if TYPE_CHECKING:
    from stl_backbones.copies import Progress

SHOWN = 20  # findings of --verify that are printed
KEPT = "finished files are kept"


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("src", metavar="SRC", help="the data set (with --verify alone: the copy)")
    add("out", metavar="OUT", nargs="?", help="the copy; apart from SRC")
    add("--layout", metavar="NAME", help="cityscapes, coco, imagenet, classes (class folders, "
        "read as timm does) or folder (any images, read as OpenMMLab does)")  # fmt: skip
    add("--protocol", metavar="NAME", help="which corruptions and severities; default: "
        "stl-cityscapes-c, coco-c, imagenet-c (classes too), or all for folder")  # fmt: skip
    add_cells(parser)
    add("--split", help="which split; default: val, none for folder and classes")
    add("--limit", type=whole_from(1), metavar="N", help="only the first N images")
    add("--mode", choices=MODES, default="exact", help="corruption engine, see robustness.py")
    add("--compat", choices=COMPATS, default=COMPATS[0], help="the package that exact equals")
    add("--channel-order", choices=CHANNEL_ORDERS, default="rgb",
        help="what the corruption sees; 'bgr' repeats what some scripts wrote")  # fmt: skip
    add("--seed", type=whole_from(0), default=0, help="another seed, another draw of the benchmark")
    add("--format", help="png or jpeg, where the layout leaves a choice; coco: png (default, under "
        "the .jpg names) or jpeg, which corrupts twice")  # fmt: skip
    add("--workers", type=whole_from(1, 1024), metavar="N",
        help="processes that make images; default: the cores it may use")  # fmt: skip
    add("--shard", metavar="I/N", help="make the I-th of N shares, I from 1 to N")
    add("--label-maps", action="store_true", help="corrupt what looks like a label map too: by its "
        "name, or one channel of few levels")  # fmt: skip
    add("--dry-run", action="store_true", help="only estimate; write nothing")
    add("--verify", action="store_true", help="compare a finished copy with its manifest")
    add_custom_imports(parser)
    return parser


def generate(args: argparse.Namespace) -> int:
    """Make a copy, or verify one."""
    if args.verify:
        return verify(args)
    if args.out is None or args.layout is None:
        raise InputError(f"{'OUT' if args.out is None else '--layout'} is missing, see --help")
    from stl_backbones.copies import request  # heavy: only once the options are read

    engine = CorruptionEngine(
        args.mode, args.compat, args.channel_order, args.seed, depth=args.depth or ""
    )
    shard = request.find_shard(args.shard, os.environ)
    workers = request.choose_workers(args.workers, os.environ)
    names = {entry.name for entry in dataclasses.fields(request.GenerateOptions)} - {"engine"}
    chosen = {name: getattr(args, name) for name in names}
    chosen["levels"] = parse_levels(args.levels)
    plan = request.plan_copy(args.src, args.out, request.GenerateOptions(**chosen, engine=engine))
    is_main = shard.number == 1 or args.shard is not None
    needed = request.estimate_copy(plan, args.out)
    if is_main and (args.dry_run or not args.quiet):
        print(request.describe(plan, needed, workers=workers, shard=shard), flush=True)
    if is_main and args.layout == "coco" and args.format == "jpeg":
        print("warning: JPEG files are corrupted twice, which lowers every score; png is not")
    needed.check_fits(args.out)
    if args.dry_run:
        return 0
    with Display(args.out, "images", shown=is_main) as display:
        outcome = request.make_copy(
            plan, Path(args.out), workers=workers, shard=shard, on_progress=Observer(display)
        )
    if is_main:
        print(request.summary(plan, args.out, outcome, shard=shard))
    if outcome.failures:
        request.wait_for_others(args.out, shard)  # torchrun ends all at the first that fails
    is_alone = shard.count == 1 and not outcome.others_at_work
    return 1 if outcome.failures or (outcome.missing and is_alone) else 0


def verify(args: argparse.Namespace) -> int:
    """Compare a finished copy with its manifest."""
    from stl_backbones.copies import request

    root = Path(args.out or args.src)
    workers = request.choose_workers(args.workers, os.environ)
    with Display(f"verify {root}", "files") as display:
        found = request.verify(root, workers=workers, on_progress=display.update)
    for one in found[:SHOWN]:
        print(f"{one.kind}: {one.path}")
    if len(found) > SHOWN:
        print(f"... and {len(found) - SHOWN} more")
    counts = ", ".join(f"{count} {kind}" for kind, count in request.count_kinds(found).items())
    files = request.read_header(root).files
    print(f"{root}: {files} files, {counts}" if found else f"{root}: {files} files, all as written")
    return 1 if found else 0


class Observer:
    """Shows and logs how far a copy is, and prints what failed.

    Args:
        display: Where; failures are printed by all processes.
    """

    def __init__(self, display: Display) -> None:
        self.display = display

    def __call__(self, progress: Progress) -> None:
        """Show it."""
        for failure in progress.failures:
            self.display.message(f"failed: {failure}")
        rate, remaining = progress.rate, progress.remaining
        record_progress(
            progress.done, progress.total, images_per_second=rate, seconds_left=remaining
        )
        self.display.update(progress.done, progress.total, rate=rate, remaining=remaining)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(parse(), generate, argv, after_interrupt=KEPT)
