"""Write a classifier, a FAN's backbone, or a segmentation model as an ONNX file of one image size.

  export_onnx.py fan_base_16_p4_hybrid_token labeler.pth.tar fan_b.onnx --size 224 224
  export_onnx.py configs/seg/stl_fan_b_cityscapes.py iter_160000.pth seg.onnx --size 1024 1024
  export_onnx.py timm:resnet50 r50.pth r50.onnx --size 224 224 --quantise int8 --calibration DIR

The file is run in onnxruntime and compared with torch before it appears. It takes normalised
images; mean, std, channel order, classes and the checkpoint's sha256 are in its metadata.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

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
        "fan_tiny_8_p4_hybrid, also with _token, or timm:NAME")  # fmt: skip
    add("checkpoint", nargs="?", metavar="CHECKPOINT",
        help="its weights; without any a FAN's name is exported untrained, timm:NAME with "
        "timm's own")  # fmt: skip
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
    add("--quantise", choices=("int8",), help="write OUT_int8.onnx too, calibrated on images")
    add("--calibration", metavar="DIR", help="images like those that the model is for")
    add("--calibration-images", type=whole_from(1), metavar="N",
        help="how many of them, spread over the folder (default: 100)")  # fmt: skip
    add("--fp16", action="store_true", help="write OUT_fp16.onnx too, for GPUs")
    add("--cfg-options", nargs="+", metavar="NAME=VALUE", help="change the config")
    add_no_ema(parser)
    add_trust_checkpoint(parser)
    return parser


def export(args: argparse.Namespace) -> None:
    """Export, and print what was written."""
    from stl_backbones.onnx_export.export import export_onnx
    from stl_backbones.onnx_export.smaller import Smaller

    smaller = Smaller.of(
        int8=args.quantise is not None,
        fp16=args.fp16,
        calibration=args.calibration,
        images=args.calibration_images,
        backbone=args.backbone,
    )
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
    for written in smaller.write(args.out):
        print(written)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(parse(), export, argv)
