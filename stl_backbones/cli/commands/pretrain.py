"""Pretrain a token labeler, a student or a plain classifier from a config."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from stl_backbones.cli.tool import run_tool
from stl_backbones.cli.training import make_training_parser, run_training

KEPT = "the last checkpoint is kept"


def parse() -> argparse.ArgumentParser:
    """The command line."""
    return make_training_parser(
        __doc__,
        "configs/cls/stl_fan_b_labeler.py",
        epilog="a student needs its labeler:\n"
        "  pretrain.py configs/cls/stl_fan_t_labeler.py\n"
        "  pretrain.py configs/cls/stl_fan_t_student.py --cfg-options labeler=FILE",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(parse(), run_training, argv, after_interrupt=KEPT, resume="--resume")
