"""Train a segmentation or detection model from a config."""

from __future__ import annotations

import argparse

from stl_backbones.cli.tool import (
    add_run_options,
    add_trust_checkpoint,
    is_main_process,
    make_parser,
    parse_options,
    run_tool,
)


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "config", help="config file, for example configs/seg/stl_fan_b_cityscapes.py"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="FILE",
        help="go on from FILE, or without one from the newest checkpoint in the work folder",
    )
    parser.add_argument(
        "--amp", action="store_true", help="mixed precision: float16 on GPUs, bfloat16 on the CPU"
    )
    add_run_options(parser)
    add_trust_checkpoint(parser)
    return parser


def train(args: argparse.Namespace) -> None:
    """Run the training."""
    from stl_backbones.training.train import train as run

    work_dir = run(
        args.config,
        work_dir=args.work_dir,
        resume=args.resume,
        amp=args.amp,
        options=parse_options(args.cfg_options),
        launcher=args.launcher,
        skip_broken=args.skip_broken,
    )
    if is_main_process():
        print(f"checkpoints and logs: {work_dir}")


if __name__ == "__main__":
    kept = "the last checkpoint is kept"
    raise SystemExit(run_tool(parse(), train, after_interrupt=kept, resume="--resume"))
