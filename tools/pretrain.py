"""Pretrain a token labeler, a student or a plain classifier from a config."""

from __future__ import annotations

import argparse

from stl_backbones.cli.tool import (
    add_config_options,
    add_trust_checkpoint,
    is_main_process,
    make_parser,
    parse_options,
    run_tool,
)


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(
        __doc__,
        epilog="a student needs its labeler:\n"
        "  pretrain.py configs/cls/stl_fan_t_labeler.py\n"
        "  pretrain.py configs/cls/stl_fan_t_student.py --cfg-options labeler=FILE",
    )
    parser.add_argument("config", help="config file, for example configs/cls/stl_fan_b_labeler.py")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="FILE",
        help="go on from FILE, or without one from the newest checkpoint in the work folder",
    )
    parser.add_argument(
        "--amp",
        nargs="?",
        const="bfloat16",
        metavar="TYPE",
        help="mixed precision: bfloat16 (also on the CPU), or float16 (on GPUs)",
    )
    add_config_options(parser)
    add_trust_checkpoint(parser)
    return parser


def pretrain(args: argparse.Namespace) -> None:
    """Run the training."""
    from stl_backbones.training.pretrain import pretrain as run

    work_dir = run(
        args.config,
        work_dir=args.work_dir,
        resume=args.resume,
        amp=args.amp,
        options=parse_options(args.cfg_options),
        launcher=args.launcher,
    )
    if is_main_process():
        print(f"checkpoints and logs: {work_dir}")


if __name__ == "__main__":
    kept = "the last checkpoint is kept"
    raise SystemExit(run_tool(parse(), pretrain, after_interrupt=kept, resume="--resume"))
