"""Images per second and core: timm's single-view training pipeline against ours with two views.

Both decode, crop, augment by the same recipe and make batches of bytes in one process and thread;
normalising, erasing and mixing happen on the device and are left out of both. Rounds alternate, so
that a change of the machine's speed hits both; the ratio is that of the sums. Without --images
JPEG files of about 500x375 are drawn.

  OMP_NUM_THREADS=1 python benchmarks/pretrain_data.py --count 200
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import timm.data.auto_augment as timm_operations
import torch
from PIL import Image
from timm.data import ImageDataset, create_transform
from timm.data.loader import fast_collate
from torch.utils.data import DataLoader, default_collate

from stl_backbones.datasets.imagenet import ImageNetFolder
from stl_backbones.datasets.mini import render_scene

POLICY = "rand-m9-mstd0.5-inc1"
LIMIT = 1.35  # of the cost of an image, ours / timm's
BATCH = 32
CLASSES = ("n0", "n1")


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--images", type=Path, metavar="DIR", help="a folder of class folders of JPEG files")
    add("--count", type=int, default=128, help="images that are drawn")
    add("--rounds", type=int, default=6, help="passes over the images, of each pipeline")
    add("--size", type=int, default=224, help="side of a view")
    return parser


def main() -> None:
    """Measure, and print a table."""
    args = parse().parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="pretrain-data-") as folder:
        root = args.images or draw_images(Path(folder), args.count)
        show(root, measure(root, args.size, args.rounds))


def draw_images(root: Path, count: int) -> Path:
    """Write street scenes with the noise of a camera, as large as ImageNet's images are."""
    for number in range(count):
        rng = np.random.default_rng(number)
        height, width = (375, 500) if number % 4 else (500, 375)
        image = render_scene(number, seed=0, height=height, width=width).image
        noisy = image + rng.normal(0, 4, image.shape)
        path = root / CLASSES[number % 2] / f"{number:04d}.JPEG"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=95)
    return root


def timm_loader(root: Path, size: int) -> Iterator[object]:
    """The training pipeline of timm up to the batch that its prefetcher takes to the device."""
    transform = create_transform(
        size, is_training=True, auto_augment=POLICY, interpolation="random", use_prefetcher=True
    )
    return DataLoader(
        ImageDataset(str(root), transform=transform), BATCH, shuffle=True, collate_fn=fast_collate
    )


def our_loader(root: Path, size: int, *steps: dict[str, object]) -> Iterator[object]:
    """Our pipeline up to the batch that the data preprocessor takes to the device."""
    pipeline = [
        *steps,
        {"type": "RandomResizedCropViews", "size": size},
        {"type": "RandomFlipViews"},
        {"type": "RandAugmentViews", "policy": POLICY},
        {"type": "PackViews"},
    ]
    dataset = ImageNetFolder(root, "", pipeline=pipeline)
    return DataLoader(dataset, BATCH, shuffle=True, collate_fn=default_collate)


def measure(root: Path, size: int, rounds: int) -> dict[str, list[float]]:
    """Seconds per image of each pipeline, a number per round; one more round warms up."""
    allow_no_bits()
    loaders: dict[str, Callable[[], object]] = {
        "timm, one view": lambda: timm_loader(root, size),
        "ours, one view": lambda: our_loader(root, size),
        "ours, two views": lambda: our_loader(root, size, {"type": "TwoViews"}),
    }
    built = {name: make() for name, make in loaders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in built}
    for number in range(rounds + 1):
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002  timm draws from the global generators
        for name, loader in built.items():
            if not name.startswith("timm"):
                loader.dataset.set_epoch(number)
            start = time.process_time()
            for _ in loader:
                pass
            seconds[name].append((time.process_time() - start) / len(loader.dataset))
    return {name: values[1:] for name, values in seconds.items()}


def allow_no_bits() -> None:
    """Pillow 13 refuses timm's posterizing to 0 bits: give timm the 1 bit that we take."""
    original = timm_operations.NAME_TO_OP["PosterizeIncreasing"]
    timm_operations.NAME_TO_OP["PosterizeIncreasing"] = lambda image, bits, **kwargs: original(
        image, max(1, bits), **kwargs
    )


def show(root: Path, seconds: dict[str, list[float]]) -> None:
    """Print the table and whether the limit is kept."""
    rounds = len(seconds["timm, one view"])
    print(f"{rounds} rounds over '{root}', batches of {BATCH}, one process and thread\n")
    print("| pipeline | images/s per core | ms per image | cost | cost, by round |")
    print("|---|---|---|---|---|")
    base = seconds["timm, one view"]
    for name, values in seconds.items():
        mean = statistics.fmean(values)
        ratios = [value / theirs for value, theirs in zip(values, base, strict=True)]
        print(
            f"| {name} | {1 / mean:.0f} | {1e3 * mean:.2f} | {mean / statistics.fmean(base):.3f} | "
            f"{min(ratios):.3f} - {max(ratios):.3f} |"
        )
    cost = statistics.fmean(seconds["ours, two views"]) / statistics.fmean(base)
    verdict = "kept" if cost <= LIMIT else "MISSED"
    print(f"\ntwo views cost {cost:.3f} of timm's one view; limit {LIMIT}: {verdict}")


if __name__ == "__main__":
    main()
