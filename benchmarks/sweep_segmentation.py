"""A segmentation sweep beside the bare network and beside the authors' way.

    python benchmarks/sweep_segmentation.py CITYSCAPES                 # FAN-T, 4 images, 1024x512
    python benchmarks/sweep_segmentation.py CITYSCAPES --images 8 --severities 3

CITYSCAPES holds a data set in Cityscapes' layout; its first validation images are resized. Random
weights: time does not depend on them. In turns:

a) bare: the network's predictions of the same number of images, in memory;
b) authors: write every cell as PNG files with the imagecorruptions package and OpenCV, one image
   after the other; then a pass per cell that builds model and data set anew, and compares;
c) sweep: what tools/robustness.py does, exact, cells written to disk.

All three use the same threads and worker processes. Prints a table of times, one of where the
sweep's time goes in one process, its memory after each image, and, with --scaling, the time of
the tool in one process and in two under torchrun, each with one thread and no workers.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch.utils.data import DataLoader

from stl_backbones.config.reading import load_config
from stl_backbones.corruptions import CorruptionEngine, corrupt, engine_version, prepare
from stl_backbones.corruptions.reference import package_version
from stl_backbones.evaluation.segmentation import sample_confusion
from stl_backbones.records import Cell
from stl_backbones.results import CellStore
from stl_backbones.robustness import dense_data
from stl_backbones.robustness.blocks import BlockStore
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.pipeline import Exchange
from stl_backbones.robustness.progress import OnProgress
from stl_backbones.robustness.sources.config import ConfigSource
from stl_backbones.robustness.sweep import sweep
from stl_backbones.robustness.tasks import dense, get_task, segmentation

CONFIG = Path(__file__).parents[1] / "configs/seg/stl_fan_t_cityscapes.py"
TOOL = Path(__file__).parents[1] / "tools/robustness.py"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
IMAGES, LABELS = "leftImg8bit/val", "gtFine/val"


class Bench:
    """The three ways, over the same images and cells."""

    def __init__(self, args: argparse.Namespace, place: Path) -> None:
        self.args, self.place = args, place
        self.data = place / "data"
        self.keys = list(write_data(Path(args.data_root), self.data, args))
        self.options = {
            "data_root": str(self.data),
            "img_scale": (args.width, args.height),
            "model.test_cfg.mode": "whole",
        }
        self.sweep_options = SweepOptions(
            severities=args.severities, mode=args.mode, workers=args.workers
        )
        self.cells = get_task("segmentation").resolved(self.sweep_options).cells()
        self.config = load_config(CONFIG, options=self.options)
        init_default_scope("mmseg")
        self.weights = place / "weights.pth"
        torch.save({"state_dict": MODELS.build(self.config.model).state_dict()}, self.weights)
        self.model = dense.build_model(self.config, self.weights)

    def bare(self) -> None:
        """The network alone."""
        dataset = DATASETS.build(self.config.test_dataloader.dataset)
        samples = [dataset[index] for index in range(len(self.keys))]
        for _ in self.cells:
            for sample in samples:
                with torch.inference_mode():
                    self.model.test_step(pseudo_collate([sample]))

    def authors(self) -> None:
        """Files first, then a pass per cell."""
        root = self.place / "corrupted"
        for cell in self.cells:
            folder = self.data / IMAGES
            if not cell.is_clean:
                folder = root / cell.name
                self._write_cell(cell, folder)
            self._score_folder(folder)
        shutil.rmtree(root)

    def _write_cell(self, cell: Cell, folder: Path) -> None:
        for key in self.keys:
            image = cv2.imread(str(self.data / IMAGES / key))
            made = corrupt(image, cell.corruption, cell.severity, key=key, mode="reference")
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / key), made)

    def _score_folder(self, folder: Path) -> None:
        config: Config = load_config(CONFIG, options=self.options)
        model = dense.build_model(config, self.weights)
        settings = config.test_dataloader.dataset
        settings.data_prefix.img_path = str(folder)
        loader = DataLoader(
            DATASETS.build(settings), num_workers=self.args.workers, collate_fn=pseudo_collate
        )
        for batch in loader:
            with torch.inference_mode():
                for sample in model.test_step(batch):
                    sample_confusion(sample, num_classes=19)

    def sweep(self, workers: int | None = None, on_progress: OnProgress | None = None) -> None:
        """What the tool does."""
        out = self.place / "out"
        options = self.sweep_options
        if workers is not None:
            options = dataclasses.replace(options, workers=workers)
        source = ConfigSource(CONFIG, self.weights, options=self.options)
        sweep(source, work_dir=out, options=options, on_progress=on_progress)
        shutil.rmtree(out)

    def memory(self) -> list[float]:
        """MiB of this process after each image."""
        found: list[float] = []
        self.sweep(on_progress=lambda _: found.append(resident()))
        return found

    def tool(self, *launch: str) -> float:
        """Seconds of the tool, from its start to its end."""
        out = self.place / "out"
        words = [str(CONFIG), str(self.weights), "--work-dir", str(out), "--workers", "0"]
        if self.args.severities:
            words += ["--severities", *map(str, self.args.severities)]
        words += ["--cfg-options", f"data_root={self.data}", "model.test_cfg.mode=whole"]
        words += [f"img_scale=({self.args.width},{self.args.height})"]
        start = time.perf_counter()
        command = [sys.executable, *launch, str(TOOL), *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        shutil.rmtree(out)
        return time.perf_counter() - start

    def stages(self) -> tuple[dict[str, float], float]:
        """Seconds of the sweep by stage, in one process, and in all."""
        spent: dict[str, float] = defaultdict(float)
        with ExitStack() as stack:
            for name, owner, attribute in (
                ("decode image", LoadImageFromFile, "transform"),
                ("decode image", Exchange, "_pixels"),
                ("corrupt", dense_data, "apply_corruption"),
                ("resize, label map, pack", dense_data.DenseVersions, "make"),
                ("network", dense.DenseSet, "_predict_batch"),
                ("metric", segmentation, "count_pixels"),
                ("store", BlockStore, "write"),
                ("store", CellStore, "write"),
            ):
                stack.enter_context(clocked(owner, attribute, spent, name))
            start = time.perf_counter()
            self.sweep(workers=0)
            total = time.perf_counter() - start
        return dict(spent), total


@contextmanager
def clocked(owner: Any, attribute: str, spent: dict[str, float], name: str) -> Iterator[None]:
    """Add the time of every call of a function up, without that of other clocked ones in it."""
    original = getattr(owner, attribute)

    def call(*args: Any, **kwargs: Any) -> Any:
        start, others = time.perf_counter(), sum(spent.values())
        try:
            return original(*args, **kwargs)
        finally:
            spent[name] += time.perf_counter() - start - (sum(spent.values()) - others)

    with mock.patch.object(owner, attribute, call):
        yield


def resident() -> float:
    """MiB of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def write_data(source: Path, target: Path, args: argparse.Namespace) -> Iterator[str]:
    """Resize the first validation pairs; yields the images' ids."""
    found = sorted((source / IMAGES).rglob("*.png"))[: args.images]
    if len(found) < args.images:
        raise SystemExit(f"'{source / IMAGES}' holds {len(found)} images, wanted {args.images}")
    for path in found:
        key = path.relative_to(source / IMAGES).as_posix()
        label = key.replace("_leftImg8bit.png", "_gtFine_labelTrainIds.png")
        for folder, name, how in (
            (IMAGES, key, cv2.INTER_CUBIC),
            (LABELS, label, cv2.INTER_NEAREST),
        ):
            pixels = cv2.imread(str(source / folder / name), cv2.IMREAD_UNCHANGED)
            out = target / folder / name
            out.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(out), cv2.resize(pixels, (args.width, args.height), interpolation=how))
        yield key


def main() -> None:
    """Time the three, then the stages."""
    args = parse()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(args, Path(place))
        names = tuple({cell.corruption for cell in bench.cells if not cell.is_clean})
        for mode in (args.mode, "reference"):
            prepare(names, mode=mode)
        ways: dict[str, Callable[[], None]] = {"a) bare": bench.bare, "c) sweep": bench.sweep}
        if not args.without_authors:
            ways["b) authors"] = bench.authors
        best = dict.fromkeys(sorted(ways), float("inf"))
        for _ in range(args.turns):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                best[name] = min(best[name], time.perf_counter() - start)
        stages, total = bench.stages()
        print_tables(best, stages, total, args, len(bench.cells))
        print("\nMiB while it runs:", ", ".join(f"{mib:.0f}" for mib in bench.memory()))
        if args.scaling:
            one, two = bench.tool(), bench.tool(*TORCHRUN)
            print(f"one process {one:.1f} s, two {two:.1f} s: {one / two:.2f} times faster")


def print_tables(
    best: dict[str, float],
    stages: dict[str, float],
    total: float,
    args: argparse.Namespace,
    cells: int,
) -> None:
    """Times and ratios, then the sweep's stages."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"FAN-T with SegFormer head, {args.images} images of {args.width}x{args.height} x {cells} "
        f"cells, {args.threads} thread(s), {args.workers} worker(s), float32, {device}, torch "
        f"{torch.__version__}, numpy {np.__version__}; peak memory {peak:.0f} MiB;\n"
        f"sweep: {engine_version(CorruptionEngine(args.mode))}; authors: {package_version()}\n"
    )
    print("| way | seconds | ms per image and cell | sweep's time / this |\n|---|--:|--:|--:|")
    for name, seconds in best.items():
        each = 1000 * seconds / (args.images * cells)
        print(f"| {name} | {seconds:.2f} | {each:.1f} | {best['c) sweep'] / seconds:.2f} |")
    print("\n| stage of the sweep, one process | seconds | share |\n|---|--:|--:|")
    rest = total - sum(stages.values())
    for name, seconds in {**stages, "all else": rest}.items():
        print(f"| {name} | {seconds:.2f} | {seconds / total:.1%} |")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data_root", help="folder with leftImg8bit and gtFine")
    add("--images", type=int, default=4)
    add("--width", type=int, default=1024)
    add("--height", type=int, default=512)
    add("--severities", type=int, nargs="+", help="only these; default: the protocol's")
    add("--mode", default="exact", help="corruption engine of the sweep")
    add("--workers", type=int, default=1, help="of authors' way and sweep")
    add("--threads", type=int, default=1, help="of the network")
    add("--turns", type=int, default=1)
    add("--scaling", action="store_true", help="time the tool in one and in two processes too")
    add("--without-authors", action="store_true", help="leave out b)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
