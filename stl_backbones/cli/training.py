"""The command line of tools/train.py and tools/pretrain.py, which are one tool with two faces."""

from __future__ import annotations

import argparse

from stl_backbones.cli.interrupts import run_begins
from stl_backbones.cli.tool import (
    add_config_run,
    is_main_process,
    make_parser,
    parse_options,
)


def make_training_parser(
    description: str | None, example: str, *, epilog: str | None = None
) -> argparse.ArgumentParser:
    """The command line.

    Args:
        description: What the tool is for.
        example: A config.
        epilog: Examples.
    """
    parser = make_parser(description or "", epilog=epilog)
    parser.add_argument("config", help=f"config file, for example {example}")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="FILE",
        help="go on from FILE, or without one from the newest checkpoint in the work folder",
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate with the batch, from the config's "
        "auto_scale_lr.base_batch_size (configs/cls do so anyway)",
    )
    add_config_run(parser)
    return parser


def run_training(args: argparse.Namespace) -> None:
    """Run the training that a command line means."""
    from stl_backbones.training.train import train  # heavy: only when a tool runs

    work_dir = train(
        args.config,
        work_dir=args.work_dir,
        resume=args.resume,
        amp=args.amp,
        options=parse_options(args.cfg_options),
        data_root=args.data_root,
        launcher=args.launcher,
        skip_broken=args.skip_broken,
        auto_scale_lr=args.auto_scale_lr,
        on_start=run_begins,
    )
    if is_main_process():
        print(f"checkpoints and logs: {work_dir}")


__all__ = ["make_training_parser", "run_training"]
