"""Train a segmentation or detection model from a config."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from stl_backbones.cli.tool import run_tool
from stl_backbones.cli.training import make_training_parser, run_training

KEPT = "the last checkpoint is kept"


def parse() -> argparse.ArgumentParser:
    """The command line."""
    return make_training_parser(__doc__, "configs/seg/stl_fan_b_cityscapes.py")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(parse(), run_training, argv, after_interrupt=KEPT, resume="--resume")
