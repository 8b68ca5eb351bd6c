"""The command line of tools/robustness.py; light, since it is read before anything heavy."""

from __future__ import annotations

import argparse

from stl_backbones.cli.device import add_device
from stl_backbones.cli.parser import whole_from
from stl_backbones.cli.tool import (
    add_amp,
    add_cells,
    add_custom_imports,
    add_no_ema,
    add_run_options,
    add_tf32,
    add_trust_checkpoint,
    make_parser,
)
from stl_backbones.corruptions import COMPATS, MODES, PROTOCOLS
from stl_backbones.records import CHANNEL_ORDERS

# Spelled out, so that --help needs neither torch nor timm; a test holds them to the originals.
SCORINGS = ("cls", "cls_plus_max_token")
RESIZE_RULES = ("model", "imagenet-c", "imagenet-c-resized", "image")
COVARIATES = ("none", "confidence")
MAX_WORKERS = 1024  # processes that no machine is short of
MAX_SIDE = 16384  # pixels

# Options that some tasks alone have; they stay `None` where they are not given.
TASK_OPTIONS = (
    "tta", "sets", "imagenet_a", "imagenet_r", "scoring", "input_size", "crop_pct", "interpolation",
    "mean", "std", "resize_rule", "jpeg85", "allow_missing", "classes",
)  # fmt: skip

_EPILOG = """what is scored:
  robustness.py configs/seg/stl_fan_b_cityscapes.py FILE       a segmentation config
  robustness.py configs/det/stl_fan_b_cascade_mask_rcnn_coco.py FILE    a detector's config
  robustness.py mmdet::retinanet/retinanet_r50_fpn_1x_coco.py FILE --data-root COCO
                                                               a config of mmseg or mmdet
  robustness.py configs/cls/stl_fan_b_student.py FILE          a pretraining config
  robustness.py --timm resnet50.ram_in1k --data-root VAL       a timm model, fetched or --checkpoint
  robustness.py --preset convnext-t --data-root VAL            a row of the paper's Table 2
  robustness.py --model FILE.onnx --data-root VAL              any other model, see above
  robustness.py --preset segformer-b0 --data-root CITYSCAPES
                                                               a row of Tables 4 and 5"""


def make_robustness_parser(description: str) -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(description, epilog=_EPILOG)
    parser.add_argument("config", nargs="?", help="config file, or a config by its library's name, "
        "mmseg::... or mmdet::...; its test_dataloader names the data")  # fmt: skip
    parser.add_argument("checkpoint", nargs="?", help="the model's weights, a file or its address")
    add = parser.add_argument
    add("--protocol", metavar="NAME",
        help=f"one of {', '.join(PROTOCOLS)}, or one of your own (default: stl-cityscapes-c for "
        "segmentation, coco-c for detection, imagenet-c for classification)")  # fmt: skip
    add_cells(parser, beside="; 'none': the clean images alone")
    add("--clean-only", action="store_true", help="score the clean images alone")
    add("--dry-run", action="store_true", help="only estimate hours and memory, by a few images; "
        "write nothing")  # fmt: skip
    add("--limit", type=whole_from(1), metavar="N", help="only N images, the first ones "
        "(classification: spread over the classes); tables will say so")  # fmt: skip
    add("--image-list", metavar="FILE", help="only the images that FILE names, one a line: "
        "CLASS/NAME, or the path below the images' folder; tables will say so")  # fmt: skip
    add("--corrupted-root", metavar="DIR", help="read DIR/<corruption>/<severity>/<image> "
        "instead of corrupting on the fly, the official ImageNet-C too, or DIR/<corruption>.npy "
        "as CIFAR-10-C's; how it was made is read from its manifest; with --corruptions also "
        "names that only it has")  # fmt: skip
    add("--mode", choices=MODES, help="corruption engine: exact, the package's numbers; fast, the "
        "same in distribution; reference, the package itself; torch, on the model's device "
        "(default: exact for protocols with published numbers, fast for 'all' and "
        "your own)")  # fmt: skip
    add("--compat", choices=COMPATS, default=COMPATS[0], help="package that --mode exact repeats")
    add("--channel-order", choices=CHANNEL_ORDERS, default="rgb",
        help="what the corruption sees; 'bgr' repeats scripts that feed BGR")  # fmt: skip
    add("--seed", type=whole_from(0), default=0, help="another seed, another draw")
    add("--preset", metavar="NAME", help="score a row of the paper's Tables 2 to 5 and 12, see "
        "--list-presets")  # fmt: skip
    add("--list-presets", action="store_true", help="print the presets and end")
    add("--checkpoint", dest="weights", metavar="FILE", help="the same as CHECKPOINT, for "
        "--preset and --timm too (default: what timm or the preset's library fetches)")  # fmt: skip
    add("--data-root", metavar="DIR", help="the data: a data set's folder in the layout that the "
        "config names; for classification the clean images' class folders, or CIFAR's "
        "archive")  # fmt: skip
    add("--batch-size", type=whole_from(1), metavar="N", help="images of a batch, at most; each "
        "batch is scored in all cells, then kept (default: 1; classifiers: 16, on a GPU "
        "128)")  # fmt: skip
    _add_stopping(parser)
    add_amp(parser)
    add_tf32(parser)
    add_device(parser)
    add("--tta", action="store_const", const=True, help="test-time augmentation, as the config, or "
        "mmdet, states it")  # fmt: skip
    add("--name", help="the model's name in tables; default: the config's or timm's name")
    add(
        "--workers",
        type=whole_from(0, MAX_WORKERS),
        metavar="N",
        help="processes that make images; default: the cores that the network leaves, with a GPU "
        "all of this process's share but 1, on the CPU 1; 0: the main process makes them",
    )
    add("--vis-backends", nargs="+", metavar="NAME", help="write scores by these of mmengine too: "
        "TensorboardVisBackend, WandbVisBackend, ... (default: what a config's visualizer "
        "names)")  # fmt: skip
    add_custom_imports(parser)
    add_run_options(parser)
    add_no_ema(parser)
    add_trust_checkpoint(parser)
    _add_any_model(parser)
    _add_classification(parser)
    return parser


def _add_stopping(parser: argparse.ArgumentParser) -> None:
    """Add what lets a sweep stop before its last image."""
    add = parser.add_argument_group("stop early; docs/explanation/stopping.md").add_argument
    add("--until", action="append", default=[], metavar="TARGET", help="score images in random "
        "order, and stop once it is certain enough whether 'average >= 0.60', or whether 'average "
        "> SWEEP_DIR' (a finished sweep of another model), or what 'average +- 1.0' points is; "
        "several times: all of them. Exit code 1 unless all gates pass")  # fmt: skip
    add("--alpha", type=float, metavar="X", help="chance of a wrong verdict, and that an interval "
        "leaves its number out (default: 0.05)")  # fmt: skip
    add("--order-seed", type=whole_from(0), metavar="N", help="another order of the images "
        "(default: 0); chosen after looking at results, it voids the guarantee")  # fmt: skip
    add("--covariate", choices=COVARIATES, help="confidence: a classifier's clean probability of "
        "the true class, known of all images, narrows the intervals (default: confidence; other "
        "tasks: none)")  # fmt: skip


def _add_any_model(parser: argparse.ArgumentParser) -> None:
    """Add what says which other model is scored, and on which data."""
    add = parser.add_argument_group("any model; docs/how-to/any_model.md").add_argument
    add("--model", metavar="SOURCE", help="torchvision:NAME, hf:FOLDER_OR_ID, FILE.onnx, "
        "FILE.py:FUNCTION (which returns the model), or timm:NAME")  # fmt: skip
    add("--images", metavar="DIR", help="the data, in place of --data-root: a folder of images, "
        "with --truth")  # fmt: skip
    add("--truth", metavar="PATH", help="of these images: a folder of label maps of the same "
        "names, whose classes --classes names; or objects in COCO's format, a .json")  # fmt: skip
    add("--label-ids", metavar="NAME", help="cityscapes: the label maps hold Cityscapes' ids")
    add("--model-classes", metavar="FILE", help="the model's class names, one a line in the order "
        "of its results, where they are not the data's order")  # fmt: skip
    add("--model-version", metavar="TEXT", help="identifies the model among those of its name, "
        "where it has no weights to hash; without it tables say UNVERIFIED MODEL")  # fmt: skip
    add("--preprocess", metavar="FILE.py:FUNCTION", help="makes of a PIL image what the model "
        "takes, in place of size, mean and std")  # fmt: skip
    add("--model-channel-order", choices=CHANNEL_ORDERS, help="what the model takes (default: rgb, "
        "or what its file or decoder says); mean and std follow it")  # fmt: skip
    add("--decoder", metavar="NAME", help="what makes boxes of an ONNX detector's outputs, or "
        "FILE.py:FUNCTION")  # fmt: skip
    add("--providers", nargs="+", metavar="NAME", help="ONNX Runtime's, the preferred one first")


def _add_classification(parser: argparse.ArgumentParser) -> None:
    """Add options that stay ``None`` where they are not given, so that others can refuse them."""
    add = parser.add_argument_group("classification").add_argument
    add("--timm", metavar="NAME", help="score a timm model with its own size, crop and mean")
    add("--imagenet-a", metavar="DIR", help="score ImageNet-A too")
    add("--imagenet-r", metavar="DIR", help="score ImageNet-R too")
    add("--sets", action="append", metavar="[NAME=]DIR", help="score sets of other images too: "
        "ImageNet-V2, -Sketch, ObjectNet, ...; a set's folder, or one that holds several, called "
        "as their archives unpack, or NAME=DIR; several times. See "
        "docs/how-to/real_shifts.md")  # fmt: skip
    add("--classes", metavar="FILE", help="the model's class names, one a line in the order of its "
        "logits (default: the checkpoint's; ImageNet's for 1000; else the folders' names); of "
        "label maps, in the order of the labels")  # fmt: skip
    add("--scoring", choices=SCORINGS, help="class logits alone, or plus half of each class's "
        "largest token logit (default: cls)")  # fmt: skip
    add(
        "--input-size",
        type=whole_from(1, MAX_SIDE),
        metavar="N",
        help="side of the images, instead of the model's",
    )
    add("--crop-pct", type=float, metavar="X", help="crop / shorter side of the resized image")
    add("--interpolation", metavar="NAME", help="of the resize: bilinear, bicubic, ...")
    add("--mean", nargs="+", type=float, metavar="X", help="of the normalisation, in 0..1: a "
        "number for each channel, or one for all")  # fmt: skip
    add("--std", nargs="+", type=float, metavar="X", help="likewise")
    add("--resize-rule", choices=RESIZE_RULES, help="how corrupted images come to the model's "
        "size: by its own resize and crop; 224 pixels as ImageNet-C's, files as they are; the "
        "same, then resized; the image corrupted as it is, then resized (default: model; "
        "imagenet-c with --corrupted-root, if files have not the clean images' size; image for "
        "CIFAR's files)")  # fmt: skip
    add("--jpeg85", action="store_const", const=True, help="pass images corrupted on the fly "
        "through JPEG of quality 85, as ImageNet-C's files were")  # fmt: skip
    add("--allow-missing", action="store_const", const=True, help="go on where classes have no "
        "images or a copy's cells are not whole; tables will say so")  # fmt: skip


__all__ = ["RESIZE_RULES", "SCORINGS", "TASK_OPTIONS", "make_robustness_parser"]
