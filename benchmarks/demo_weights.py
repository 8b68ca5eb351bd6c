"""The demo's weights, from the training of the demo itself.

    python tools/demo.py --from-scratch --out demo
    python benchmarks/demo_weights.py demo/train/iter_1000.pth

Writes stl_backbones/models/weights/fan_mini_street_scenes.pth, in half precision, and prints its
sha256, which goes into stl_backbones/cli/commands/demo.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from stl_backbones.cli.commands.demo import WEIGHTS
from stl_backbones.models.checkpoint_files import read_checkpoint
from stl_backbones.models.hashing import file_sha256


def main() -> None:
    """Write the file, and print its hash."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="the trained network")
    trained = read_checkpoint(parser.parse_args().checkpoint)["state_dict"]
    halved = {
        name: value.half() if value.is_floating_point() else value
        for name, value in trained.items()
    }
    WEIGHTS.parent.mkdir(exist_ok=True)
    torch.save({"state_dict": halved}, WEIGHTS)
    print(file_sha256(WEIGHTS))


if __name__ == "__main__":
    main()
