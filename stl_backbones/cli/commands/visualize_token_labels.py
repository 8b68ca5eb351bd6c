"""Draw the token labels that a FAN token labeler gives to images.

Writes the panels of the paper's Figure 2 (image; foreground and background; foreground by
confidence; drawn by Gumbel-Softmax; confidence) and Figure 5 (rotated, cropped, sheared and
shifted views) as PNG files; with --corruption, clean and corrupted image below each other.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from stl_backbones.cli.parser import severity, whole_from
from stl_backbones.cli.tool import add_custom_imports, add_trust_checkpoint, make_parser, run_tool


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("checkpoint", help="FAN with token head: of a configs/cls run, or a released *_token file")
    add("images", nargs="+", metavar="IMAGE", help="image files")
    add("--out", type=Path, default=Path("token_labels"), metavar="DIR", help="where they go")
    add("--corruption", metavar="NAME", help="show each image also with this corruption")
    add(
        "--severity",
        type=severity,
        default=3,
        metavar="N",
        help="of the corruption, 1 to 5, fractions too",
    )
    add("--label", metavar="CLASS", help="index or name of the images' class; without it each "
        "image's folder, if that names a class, else the class that the labeler sees")  # fmt: skip
    add(
        "--size",
        type=whole_from(32, 4096),
        default=224,
        help="side of the images that the labeler sees",
    )
    add("--threshold", type=float, default=0.5, metavar="P",
        help="confidence from which a foreground token counts as sure")  # fmt: skip
    add("--seed", type=whole_from(0, 2**63 - 1), default=0, help="of the Gumbel noise")
    add_custom_imports(parser)
    add_trust_checkpoint(parser)
    return parser


def visualize(args: argparse.Namespace) -> None:
    """Draw, and name each file."""
    from stl_backbones.corruptions import import_modules
    from stl_backbones.training.token_labels import PictureOptions, draw_token_labels

    import_modules(args.custom_imports)
    options = PictureOptions(
        size=args.size,
        label=args.label,
        corruption=args.corruption,
        severity=args.severity,
        threshold=args.threshold,
        seed=args.seed,
    )
    for path in draw_token_labels(args.checkpoint, args.images, out=args.out, options=options):
        print(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(parse(), visualize, argv, after_interrupt="pictures so far are kept")
