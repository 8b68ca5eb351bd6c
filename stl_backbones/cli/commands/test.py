"""Score a checkpoint of a segmentation model or a detector on its config's test data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from stl_backbones.cli.scores import describe_scores
from stl_backbones.cli.tool import (
    add_config_run,
    add_no_ema,
    add_tf32,
    is_main_process,
    make_parser,
    parse_options,
    run_tool,
)


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "config", help="config file, for example configs/det/stl_fan_b_cascade_mask_rcnn_coco.py"
    )
    parser.add_argument("checkpoint", help="checkpoint that tools/train.py wrote")
    add_config_run(parser)
    add_tf32(parser)
    add_no_ema(parser)
    parser.add_argument(
        "--tta",
        action="store_true",
        help="test-time augmentation, as the config, or mmdet, states it",
    )
    parser.add_argument(
        "--out",
        metavar="PATH",
        help="keep the predictions: of segmentation a folder of PNG label maps, of detection a "
        ".pkl file",
    )
    parser.add_argument(
        "--show-dir", metavar="DIR", help="draw truth and prediction of each image there"
    )
    return parser


def test(args: argparse.Namespace) -> None:
    """Run the test and print the metrics."""
    from stl_backbones.training.test import evaluate as run

    metrics = run(
        args.config,
        args.checkpoint,
        work_dir=args.work_dir,
        amp=args.amp,
        tf32=args.tf32,
        options=parse_options(args.cfg_options),
        data_root=args.data_root,
        launcher=args.launcher,
        skip_broken=args.skip_broken,
        ema=not args.no_ema,
        tta=args.tta,
        out=args.out,
        show_dir=args.show_dir,
    )
    if is_main_process():
        print(describe_scores(metrics))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(parse(), test, argv)
