"""Train a segmentation or detection model from a config."""

from __future__ import annotations

import argparse

from stl_backbones.cli.tool import run_tool
from stl_backbones.cli.training import make_training_parser, run_training


def parse() -> argparse.ArgumentParser:
    """The command line."""
    return make_training_parser(__doc__, "configs/seg/stl_fan_b_cityscapes.py")


if __name__ == "__main__":
    kept = "the last checkpoint is kept"
    raise SystemExit(run_tool(parse(), run_training, after_interrupt=kept, resume="--resume"))
