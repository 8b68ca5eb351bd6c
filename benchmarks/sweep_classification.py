"""A classification sweep beside the bare network and beside the plain way.

    python benchmarks/sweep_classification.py VAL                    # FAN-T, 16 images, ImageNet-C
    python benchmarks/sweep_classification.py VAL --timm mobilenetv3_small_100 --images 32

VAL holds class folders of ImageNet-1K. Random weights: time does not depend on them. In turns,
several times over:

a) bare: the network's forward passes of the same number of batches, images in memory;
b) plain: one DataLoader per cell that decodes each image anew and corrupts it with the
   imagecorruptions package (--mode reference), batches of the same size;
c) sweep: what tools/robustness.py does, in the mode asked for, cells written to disk.

All three use the same threads and the same worker processes. Of each the best time counts, and the
first turn is thrown away. Prints one Markdown table.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch.utils.data import DataLoader, Dataset

from stl_backbones.corruptions import CorruptionEngine, corrupt, engine_version, prepare
from stl_backbones.corruptions.reference import package_version
from stl_backbones.datasets.class_folders import read_rgb
from stl_backbones.datasets.views import View
from stl_backbones.records import Cell
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.runner import split_blocks
from stl_backbones.robustness.sources import Source
from stl_backbones.robustness.sources.classifier import Classifier
from stl_backbones.robustness.sources.timm import TimmSource
from stl_backbones.robustness.sweep import sweep
from stl_backbones.robustness.tasks import get_task


class PlainCell(Dataset):
    """One cell the plain way: decode, crop, corrupt with the package."""

    def __init__(self, paths: list[str], keys: list[str], cell: Cell, view: View) -> None:
        self.paths, self.keys, self.cell, self.view = paths, keys, cell, view

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        image = self.view(read_rgb(self.paths[index]))
        if self.cell.is_clean:
            return image
        name, severity = self.cell.corruption, self.cell.severity
        # The package hands out arrays that cannot be written, of which torch warns.
        return np.array(corrupt(image, name, severity, key=self.keys[index], mode="reference"))


class Opened(Source):
    """A classifier that is built already: building it is no part of what is timed."""

    task = "classification"

    def __init__(self, classifier: Classifier) -> None:
        self.classifier, self.name = classifier, classifier.name

    def open(self, *_: Any) -> Classifier:
        """The classifier."""
        return self.classifier


def main() -> None:
    """Time the three."""
    args = parse()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as place:
        weights = Path(place) / "weights.pth"
        torch.save(timm.create_model(args.timm).state_dict(), weights)
        source = TimmSource(args.timm, weights, data_root=args.val)
        options = SweepOptions(
            severities=args.severities, limit=args.images, mode=args.mode, workers=args.workers,
            batch_size=args.batch_size, amp="bfloat16" if args.amp else None,
            task_options={"allow_missing": True},
        )  # fmt: skip
        options = get_task(source.task).resolved(options)
        classifier = source.open(options)
        names = [cell.corruption for cell in options.cells() if not cell.is_clean]
        for mode in (args.mode, "reference"):
            prepare(sorted(set(names)), mode=mode)
        ways = {
            "a) bare": lambda: run_bare(classifier, options),
            "b) plain": lambda: run_plain(classifier, options),
            "c) sweep": lambda: run_sweep(Opened(classifier), options, Path(place) / "out"),
        }
        best = dict.fromkeys(ways, float("inf"))
        for turn in range(args.turns + 1):
            for name, way in ways.items():
                if name.startswith("b") and args.without_plain:
                    continue
                seconds = timed(way)
                if turn or args.turns == 0:
                    best[name] = min(best[name], seconds)
    print_table(best, args, options)


def run_bare(classifier: Classifier, options: SweepOptions) -> None:
    """The forward passes alone."""
    size = classifier.view.size
    blocks = split_blocks(int(options.limit or 0), int(options.batch_size or 1))
    for block in blocks:
        pixels = torch.full((len(block), size, size, 3), 100, dtype=torch.uint8)
        for _ in options.cells():
            classifier.scores(pixels, "cls", amp=options.amp).argmax(1).cpu()


def run_plain(classifier: Classifier, options: SweepOptions) -> None:
    """A loader per cell."""
    folder, count = classifier.folder, int(options.limit or 0)
    chosen = [step * len(folder) // count for step in range(count)]
    paths, keys = [folder.path(i) for i in chosen], [folder.key(i) for i in chosen]
    for cell in options.cells():
        loader = DataLoader(
            PlainCell(paths, keys, cell, classifier.view),
            batch_size=options.batch_size,
            num_workers=options.workers,
        )
        for pixels in loader:
            classifier.scores(pixels, "cls", amp=options.amp).argmax(1).cpu()


def run_sweep(source: Opened, options: SweepOptions, place: Path) -> None:
    """The sweep from its options to its files."""
    sweep(source, work_dir=place, options=options)
    shutil.rmtree(place)


def timed(way: Callable[[], None]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def print_table(best: dict[str, float], args: argparse.Namespace, options: SweepOptions) -> None:
    """Times, images per second, and ratios to the sweep."""
    cells = len(options.cells())
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    print(
        f"{args.timm}, {args.images} images x {cells} cells, batches of {options.batch_size}, "
        f"{args.threads} thread(s), {args.workers} worker(s), "
        f"{'bfloat16' if args.amp else 'float32'}, {device}, torch {torch.__version__};\n"
        f"sweep: {engine_version(CorruptionEngine(args.mode))}; plain: {package_version()}\n"
    )
    print("| way | seconds | ms per image and cell | sweep's time / this |\n|---|--:|--:|--:|")
    for name, seconds in best.items():
        each = 1000 * seconds / (args.images * cells)
        print(f"| {name} | {seconds:.2f} | {each:.2f} | {best['c) sweep'] / seconds:.2f} |")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("val", help="folder of class folders")
    add("--timm", default="fan_tiny_8_p4_hybrid_token", help="network")
    add("--images", type=int, default=16)
    add("--severities", type=int, nargs="+", help="only these; default: all five")
    add("--batch-size", type=int, default=16)
    add("--mode", default="fast", help="corruption engine of the sweep")
    add("--workers", type=int, default=1, help="of plain and sweep")
    add("--threads", type=int, default=1, help="of the network")
    add("--turns", type=int, default=2, help="after the first; 0 counts the first")
    add("--amp", action="store_true", help="bfloat16")
    add("--without-plain", action="store_true", help="leave out b)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
