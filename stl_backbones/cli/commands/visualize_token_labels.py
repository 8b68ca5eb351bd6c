"""Draw the token labels that a FAN token labeler gives to images.

Writes the panels of the paper's Figure 2 (image; foreground and background; foreground by
confidence; drawn by Gumbel-Softmax; confidence) and Figure 5 (rotated, cropped, sheared and
shifted views) as PNG files; with --corruption, clean and corrupted image below each other.

With --masks the labels are scored against the places of the objects: tables with intervals, and
DIR/token_labels.json. See docs/how-to/pretraining.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from stl_backbones.cli.parser import severity, some_text, whole_from
from stl_backbones.cli.tool import add_custom_imports, add_trust_checkpoint, make_parser, run_tool


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("checkpoint", help="FAN with token head: of a configs/cls run, or a released *_token file")
    add("images", nargs="+", metavar="IMAGE", help="image files, or folders of images")
    add("--out", type=Path, default=Path("token_labels"), metavar="DIR", help="where they go")
    add("--masks", type=some_text, metavar="PATH", help="score the labels by the objects' masks: "
        "a folder with CLASS/NAME.png or NAME.png for an image CLASS/NAME.jpg, nonzero where the "
        "object is, or a JSON file of COCO's instances")  # fmt: skip
    add("--pictures", type=whole_from(0), metavar="N",
        help="draw only the first N images; 0 with --masks for numbers alone")  # fmt: skip
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
    """Draw, name each file, and print the scores."""
    from stl_backbones.cli.token_tables import token_tables
    from stl_backbones.corruptions import import_modules
    from stl_backbones.training.token_labels import draw_token_labels
    from stl_backbones.training.token_maps import PictureOptions

    import_modules(args.custom_imports)
    options = PictureOptions(
        size=args.size,
        label=args.label,
        corruption=args.corruption,
        severity=args.severity,
        threshold=args.threshold,
        seed=args.seed,
        pictures=args.pictures,
    )
    files, result = draw_token_labels(
        args.checkpoint, args.images, out=args.out, masks=args.masks, options=options
    )
    if result is not None:
        print(token_tables(result), end="\n\n")
    for path in files:
        print(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(parse(), visualize, argv, after_interrupt="pictures so far are kept")
