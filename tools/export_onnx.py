"""Write a FAN classifier, its backbone, or a segmentation model as an ONNX file of one image size.

  export_onnx.py fan_base_16_p4_hybrid_token labeler.pth.tar fan_b.onnx --size 224 224
  export_onnx.py configs/seg/stl_fan_b_cityscapes.py iter_160000.pth seg.onnx --size 1024 1024

The file is run in onnxruntime and compared with torch before it appears. It takes normalised
images; mean, std, channel order, classes and the checkpoint's sha256 are in its metadata.
"""

from __future__ import annotations

import argparse

from stl_backbones.cli.parser import whole_from
from stl_backbones.cli.tool import (
    add_no_ema,
    add_trust_checkpoint,
    make_parser,
    parse_options,
    run_tool,
)


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("model", metavar="CONFIG_OR_NAME",
        help="a config of a classifier or a segmentation model, or a FAN's name in timm, "
        "fan_tiny_8_p4_hybrid, also with _token")  # fmt: skip
    add("checkpoint", nargs="?", metavar="CHECKPOINT",
        help="its weights; a name without any is exported untrained")  # fmt: skip
    add("out", metavar="OUT.onnx", help="file to write")
    add("--size", nargs=2, type=whole_from(1), required=True, metavar=("H", "W"),
        help="height and width of the images that the file takes")  # fmt: skip
    add("--batch", type=whole_from(1), default=1, metavar="N", help="images at a time")
    add("--opset", type=whole_from(18, 25), default=20, metavar="N",
        help="version of ONNX's operators, 18 to 25")  # fmt: skip
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--backbone", action="store_true", help="export the dense maps alone")
    what.add_argument(
        "--labels", action="store_true", help="export each pixel's class instead of the logits"
    )
    add("--cfg-options", nargs="+", metavar="NAME=VALUE", help="change the config")
    add_no_ema(parser)
    add_trust_checkpoint(parser)
    return parser


def export(args: argparse.Namespace) -> None:
    """Export, and print what was written."""
    from stl_backbones.onnx_export.export import export_onnx

    report = export_onnx(
        args.model,
        args.checkpoint,
        args.out,
        size=tuple(args.size),
        batch=args.batch,
        opset=args.opset,
        backbone=args.backbone,
        labels=args.labels,
        options=parse_options(args.cfg_options),
        ema=not args.no_ema,
    )
    print(f"{report}\nwrote {args.out}")


if __name__ == "__main__":
    raise SystemExit(run_tool(parse(), export))
