"""Whether a sweep keeps a GPU busy, on a machine without one.

    python benchmarks/feeding.py                                   # about five minutes
    python benchmarks/feeding.py --tasks detection --modes fast --cores 32

The sweep is the real one, with its pipeline, workers and files, on generated street scenes. Only
the network is a stand-in: it sleeps for as long as a GPU would compute, uses no core meanwhile, and
returns label maps, 100 boxes with masks, or logits. What a GPU does besides, such as normalising
images, packing masks and counting pixels, is timed apart and taken off, and that it computes while
the main process goes on is not reckoned with.

Of the first block of images nothing is counted. Each line: a core's time for a version in the
workers (decoding, corrupting, packing; detections' records); the main process's own; the versions
that one worker feeds a second; the share of the time that the model waits here, with --workers; and
on paper, with --cores of which the main process has one. `--modes torch` corrupts on the model's
device and says nothing without a GPU.

The default times are for a large GPU in mixed precision. FAN-B at 224x224: 3,000 images a second
in batches of 128, 2.5 times what timm's results state of an RTX 3090 for the network nearest to it
(xcit_small_24_p16_224: 1,175, at 9.1 GMACs where FAN-B has 11.3). Whole at 2048x1024, 42 times the
pixels: 40 ms, for attention over 8,192 tokens grows faster. Cascade Mask R-CNN at 1333x800: 40 ms,
where mmdet's model zoo states 89 ms of a V100 for ResNet-50.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import timm
import torch
from mmdet.models.detectors import BaseDetector
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmseg.models.segmentors import BaseSegmentor
from torch import nn

from stl_backbones.config.reading import load_config
from stl_backbones.datasets.imagenet_classes import imagenet_wnids
from stl_backbones.datasets.mini import render_scene
from stl_backbones.datasets.mini.writers import CocoWriter, write_cityscapes
from stl_backbones.evaluation import coco_results
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources import Source
from stl_backbones.robustness.sources.base import DenseModel
from stl_backbones.robustness.sources.classifier import Classifier
from stl_backbones.robustness.sources.timm import TimmSource
from stl_backbones.robustness.sweep import sweep
from stl_backbones.robustness.tasks import segmentation as segmentation_task

ROOT = Path(__file__).parents[1]
SEVERITY = 3
TARGET = 0.1  # of the time that the model may wait
TICKS = os.sysconf("SC_CLK_TCK")


class Gpu:
    """Sleeps in a GPU's stead, and counts."""

    def __init__(self, milliseconds: float) -> None:
        self.seconds, self.slept = milliseconds / 1000, 0.0

    def compute(self) -> None:
        """Take the time of one call."""
        start = time.perf_counter()
        time.sleep(self.seconds)
        self.slept += time.perf_counter() - start


class SleepingSegmentor(BaseSegmentor):
    """Predicts one label map for every image."""

    def __init__(self, gpu: Gpu, classes: int) -> None:
        super().__init__()
        self.gpu, self.test_cfg = gpu, {"mode": "whole"}
        self.decode_head = nn.Conv2d(1, 1, 1)
        self.decode_head.num_classes = self.decode_head.out_channels = classes
        self.decode_head.ignore_index = 255
        self.maps: dict[Any, torch.Tensor] = {}

    def test_step(self, data: Any) -> Any:
        """Sleep, and answer."""
        for sample in data["data_samples"]:
            shape = sample.ori_shape[:2]
            if shape not in self.maps:
                noise = np.random.default_rng(0).integers(0, 19, (16, 32), np.uint8)
                big = cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_NEAREST)
                self.maps[shape] = torch.from_numpy(big)[None].long()
            sample.pred_sem_seg = PixelData(data=self.maps[shape])
        self.gpu.compute()
        return data["data_samples"]

    def _none(self, *_: Any, **__: Any) -> Any: ...

    extract_feat = encode_decode = loss = predict = _forward = _none


class SleepingDetector(BaseDetector):
    """Finds the same 100 things in every image."""

    def __init__(self, gpu: Gpu, classes: int) -> None:
        super().__init__()
        self.gpu, self.bbox_head = gpu, nn.Linear(1, 1)
        self.bbox_head.num_classes = self.classes = classes
        self.found: dict[Any, InstanceData] = {}

    def test_step(self, data: Any) -> Any:
        """Sleep, and answer."""
        for sample in data["data_samples"]:
            shape = sample.ori_shape[:2]
            if shape not in self.found:
                self.found[shape] = instances(*shape, classes=self.classes)
            sample.pred_instances = self.found[shape]
        self.gpu.compute()
        return data["data_samples"]

    def _none(self, *_: Any, **__: Any) -> Any: ...

    extract_feat = loss = predict = _forward = _none


class SleepingNetwork(nn.Module):
    """Gives every image much the same logits."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__()
        self.gpu, self.logits = gpu, nn.Parameter(torch.linspace(0, 1, 1000))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Sleep, and answer."""
        self.gpu.compute()
        return self.logits + images[:, 0, 0, :1]


class Opened(Source):
    """A stand-in that is built already."""

    def __init__(self, task: str, subject: Any) -> None:
        self._task, self.subject, self.name = task, subject, f"sleeping {task}"

    @property
    def task(self) -> str:
        """The task's name."""
        return self._task

    def open(self, *_: Any) -> Any:
        """The stand-in."""
        if isinstance(self.subject, DenseModel):
            init_default_scope(self.subject.config.default_scope)
        return self.subject


@dataclass(frozen=True)
class Case:
    """A task's sweep.

    Attributes:
        source: The stand-in on generated images.
        gpu: What it sleeps on.
        options: The sweep's, but for mode and workers.
        per_call: Versions of one call of the model.
    """

    source: Source
    gpu: Gpu
    options: SweepOptions
    per_call: int = 1


def segmentation(place: Path, args: argparse.Namespace) -> Case:
    """Cityscapes' size, whole images."""
    for number in range(args.images):
        scene = render_scene(number, height=1024, width=2048)
        write_cityscapes(place, "val", number, scene)
    gpu = Gpu(args.segmentation_ms)
    options = {"data_root": str(place), "img_scale": (2048, 1024)}
    config = load_config(ROOT / "configs/seg/stl_fan_b_cityscapes.py", options=options)
    model = SleepingSegmentor(gpu, 19).eval()
    subject = DenseModel("sleeping", config, model, "none")
    return Case(Opened("segmentation", subject), gpu, SweepOptions(severities=[SEVERITY]))


def detection(place: Path, args: argparse.Namespace) -> Case:
    """COCO's usual size."""
    writer = CocoWriter(place, "val")
    for number in range(2 * args.images):
        writer.add(render_scene(number, height=480, width=640))
    writer.close()
    gpu = Gpu(args.detection_ms)
    path = place / "annotations/instances_val2017.json"
    names = tuple(one["name"] for one in json.loads(path.read_text())["categories"])
    config = load_config(
        ROOT / "configs/det/stl_fan_b_cascade_mask_rcnn_coco.py",
        options={"data_root": str(place), "classes": names, "num_classes": len(names)},
    )
    model = SleepingDetector(gpu, len(names)).eval()
    subject = DenseModel("sleeping", config, model, "none")
    return Case(Opened("detection", subject), gpu, SweepOptions(severities=[SEVERITY]))


def classification(place: Path, args: argparse.Namespace) -> Case:
    """ImageNet's usual size, network of 224."""
    size, blocks = args.batch_size, 2
    scenes = [render_scene(number, height=375, width=500) for number in range(4)]
    for number, wnid in enumerate(sorted(imagenet_wnids())[: size * blocks]):
        (place / wnid).mkdir(parents=True)
        picture = scenes[number % len(scenes)].image[..., ::-1]
        cv2.imwrite(str(place / wnid / f"{number}.jpg"), picture)
    weights = place.with_suffix(".pth")
    torch.save(timm.create_model("mobilenetv3_small_050").state_dict(), weights)
    gpu = Gpu(args.classification_ms * size)
    options = SweepOptions(
        severities=[SEVERITY], limit=size * blocks, batch_size=size,
        task_options={"allow_missing": True},
    )  # fmt: skip
    opened = TimmSource("mobilenetv3_small_050", weights, data_root=place).open(options)
    subject = dataclasses.replace(opened, network=SleepingNetwork(gpu))
    return Case(Opened("classification", subject), gpu, options, per_call=size)


def instances(height: int, width: int, *, classes: int) -> InstanceData:
    """100 ellipses of all sizes."""
    rng = np.random.default_rng(0)
    boxes, masks = [], np.zeros((100, height, width), np.uint8)
    for mask in masks:
        center, axes = rng.uniform(0, (width, height)), rng.exponential((width / 12, height / 12))
        half = np.clip(axes, 4, (width / 2, height / 2))
        cv2.ellipse(
            mask, (*np.int32(center).tolist(),), (*np.int32(half).tolist(),), 0, 0, 360, 1, -1
        )
        boxes.append([*(center - half), *(center + half)])
    return InstanceData(
        bboxes=torch.tensor(np.array(boxes)).float(),
        scores=torch.linspace(0.99, 0.05, 100),
        labels=torch.from_numpy(rng.integers(0, classes, 100)),
        masks=torch.from_numpy(masks.astype(bool)),
    )


class Watch:
    """Times between the first and the last block of a sweep."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu, self.on_device = gpu, 0.0
        self.readings: list[tuple[int, dict[str, float]]] = []

    def read(self, progress: Any) -> None:
        """Called when a block is finished."""
        shares = Counter(records=0.0, loader=0.0)
        for process in multiprocessing.active_children():
            kind = "records" if process.name.startswith("records") else "loader"
            shares[kind] += cpu_seconds(process.pid)
        self.readings.append((progress.done * progress.cells, {
            "wall": time.perf_counter(), "slept": self.gpu.slept,
            "main": time.thread_time() - self.on_device, **shares,
        }))  # fmt: skip

    @contextmanager
    def taking_off(self, owner: Any, name: str) -> Iterator[None]:
        """Count a function's time as the device's."""
        original: Callable[..., Any] = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.thread_time()
            try:
                return original(*args, **kwargs)
            finally:
                self.on_device += time.thread_time() - start

        with mock.patch.object(owner, name, call):
            yield

    def per_version(self) -> dict[str, float]:
        """Seconds of each kind, for a version."""
        (before, first), (after, last) = self.readings[0], self.readings[-1]
        return {kind: (last[kind] - first[kind]) / (after - before) for kind in first}


def cpu_seconds(process: int | None) -> float:
    """What a process has computed so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(case: Case, mode: str, workers: int, place: Path) -> dict[str, float]:
    """Seconds for a version, by where they are spent."""
    watch, task = Watch(case.gpu), case.source.task
    options = dataclasses.replace(case.options, mode=mode, workers=workers)
    with watch.taking_off(*DEVICE_PART[task]):
        sweep(case.source, work_dir=place, options=options, on_progress=watch.read)
    return watch.per_version()


def row(case: Case, mode: str, found: dict[str, float], args: argparse.Namespace) -> str:
    """A line of the table."""
    model, main = case.gpu.seconds / case.per_call, max(found["main"], 0.0)
    fed = found["loader"] + found["records"]
    there = max(model + main, fed / (args.cores - 1))
    waits = 1 - model / there
    return (
        f"| {case.source.task} | {mode} | {1000 * model:.2f} | {1000 * found['loader']:.1f} | "
        f"{1000 * found['records']:.1f} | {1000 * main:.2f} | {1 / fed:.1f} | "
        f"{1000 * found['wall']:.1f} | {1 - found['slept'] / found['wall']:.0%} | "
        f"{(args.cores - 1) / fed:.0f} of {1 / model:.0f} | {waits:.0%} | "
        f"{'yes' if waits < TARGET else 'no'} |"
    )


# What is the GPU's work where there is one.
DEVICE_PART = {
    "segmentation": (segmentation_task, "count_pixels"),
    "detection": (coco_results, "pack_rows"),
    "classification": (Classifier, "scores"),
}
CASES = {"segmentation": segmentation, "detection": detection, "classification": classification}


def main() -> None:
    """Measure, and print a table."""
    args = parse()
    torch.set_num_threads(1)
    print(
        f"{args.workers} worker(s) here, {platform.machine()} with "
        f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}; milliseconds for a "
        f"version of an image, severity {SEVERITY} of every corruption\n"
    )
    heads = (
        "task", "mode", "model", "worker: versions", "worker: records", "main process",
        "versions/s a worker feeds", "sweep here", "model waits here",
        f"fed of needed versions/s, {args.cores} cores", "model waits", f"below {TARGET:.0%}",
    )  # fmt: skip
    rows = [f"| {' | '.join(heads)} |\n|---|---|{'--:|' * 9}---|"]
    with tempfile.TemporaryDirectory() as place:
        for task in args.tasks:
            case = CASES[task](Path(place) / task, args)
            for mode in args.modes:
                found = measure(case, mode, args.workers, Path(place) / f"{task} {mode}")
                rows.append(row(case, mode, found, args))
    print(*rows, sep="\n")
    peaks = [
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    print(f"\npeak memory: main process {peaks[0]:.0f} MiB, the largest worker {peaks[1]:.0f} MiB")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--tasks", nargs="+", choices=CASES, default=list(CASES))
    add("--modes", nargs="+", choices=("exact", "fast", "torch"), default=["exact", "fast"])
    add("--workers", type=int, default=1, help="processes of each kind here")
    add("--cores", type=int, default=16, help="on paper")
    add("--images", type=int, default=3, help="2048x1024; twice as many 640x480")
    add("--batch-size", type=int, default=128, help="of the classifier")
    add("--segmentation-ms", type=float, default=40, help="of the model, an image of 2048x1024")
    add("--detection-ms", type=float, default=40, help="an image of 1333x800")
    add("--classification-ms", type=float, default=1 / 3, help="an image of 224x224")
    return parser.parse_args()


if __name__ == "__main__":
    main()
