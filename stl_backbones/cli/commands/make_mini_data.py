"""Generate the mini data set: street scenes in the layouts of Cityscapes, COCO and ImageNet."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from pathlib import Path

from stl_backbones.cli.parser import whole_from
from stl_backbones.cli.tool import make_parser, run_tool
from stl_backbones.display import Display
from stl_backbones.errors import InputError

MAX_SIDE = 8192  # pixels


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("out", type=Path, help="folder to create")
    parser.add_argument("--seed", type=whole_from(0), default=0, help="seed of the data set")
    parser.add_argument(
        "--train", type=whole_from(1), default=160, help="number of training scenes"
    )
    parser.add_argument("--val", type=whole_from(1), default=32, help="number of validation scenes")
    parser.add_argument("--size", default="256x128", metavar="WxH", help="size of a scene")
    return parser


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height from ``WxH``."""
    match = re.fullmatch(r"([0-9]+)x([0-9]+)", text)
    if match is None or max(int(match[1]), int(match[2])) > MAX_SIDE:
        raise InputError(
            f"--size must be WIDTHxHEIGHT, such as 256x128, up to {MAX_SIDE}x{MAX_SIDE}, "
            f"got {text!r}"
        )
    return int(match[1]), int(match[2])


def generate(args: argparse.Namespace) -> None:
    """Write the data set that the options describe."""
    width, height = parse_size(args.size)
    from stl_backbones.datasets.mini import write_mini_data  # heavy: only once the options are read

    start = time.perf_counter()
    with Display(str(args.out), "pictures") as display:
        written = write_mini_data(
            args.out, seed=args.seed, num_train=args.train, num_val=args.val, height=height,
            width=width, progress=display.update,
        )  # fmt: skip
    if written:
        print(f"wrote {args.out} in {time.perf_counter() - start:.0f} s")
    else:
        print(f"{args.out}: already there, made with the same options")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(parse(), generate, argv)
