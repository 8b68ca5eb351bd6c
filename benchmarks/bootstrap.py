"""Seconds and memory of the bootstrap behind a report's intervals.

    python benchmarks/bootstrap.py                                    # 50,000 x 80 x 1,000
    python benchmarks/bootstrap.py --images 500 --cells 72 --task segmentation

One process, one thread. Cells are generated one by one, scored with all metrics of the task and
resampled, as a report does while it reads them; the drawing of the images is timed separately. Peak
memory is that of the whole process. `--compare` does it for two models and compares them.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before anything reads them

import argparse
import resource
import time
from collections.abc import Iterator

import numpy as np

from stl_backbones.metrics import paired_p_value, percentile_interval
from stl_backbones.records import Cell, CellResult, Provenance
from stl_backbones.report.read.cells import Draws
from stl_backbones.report.read.metrics import replicate
from stl_backbones.report.tasks import get_task

CLASSES = {"classification": 1000, "segmentation": 19}


def make_samples(task: str, images: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random records of one cell, of the sizes and types that sweeps write."""
    classes = CLASSES[task]
    if task == "segmentation":
        return {"confusion_matrix": rng.integers(0, 10_000, (images, classes, classes))}
    label = rng.integers(0, classes, images, dtype=np.int32)
    prediction = np.where(rng.random(images) < 0.6, label, (label + 1) % classes)
    return {
        "label": label,
        "prediction": prediction.astype(np.int32),
        "in_top5": (prediction == label) | (rng.random(images) < 0.5),
        "confidence": rng.random(images, dtype=np.float32),
        "nll": rng.exponential(1.0, images).astype(np.float32),
    }


def cells(task: str, images: int, count: int, *, seed: int) -> Iterator[CellResult]:
    """Generate one cell after the other, so that none of them stays in memory."""
    rng = np.random.default_rng(seed)
    blank = dict.fromkeys(
        ("model", "protocol", "dataset", "dataset_fingerprint", "config_sha256",
         "checkpoint_sha256", "inference", "corruption_source", "corruption_mode",
         "corruption_package", "channel_order", "device"), ""
    )  # fmt: skip
    provenance = Provenance(
        **blank, task=task, num_images=images, num_images_total=images, skipped=(),
        classes=tuple(map(str, range(CLASSES[task]))), seed=0, versions={},
    )  # fmt: skip
    ids = tuple(map(str, range(images)))
    for index in range(count):
        cell = Cell(f"corruption{index // 5}", 1 + index % 5)
        yield CellResult(cell, provenance, ids, make_samples(task, images, rng))


def main() -> None:
    """Print one line per step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=tuple(CLASSES), default="classification")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--cells", type=int, default=80)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--compare", action="store_true", help="two models, and their difference")
    args = parser.parse_args()
    metrics = get_task(args.task).cells
    draws = Draws(resamples=args.resamples)
    started = time.perf_counter()
    counts = draws.counts(args.images)
    drawn = time.perf_counter() - started
    scored = 0.0
    averages = []
    for model in range(2 if args.compare else 1):
        scores = []
        for result in cells(args.task, args.images, args.cells, seed=model):
            before = time.perf_counter()
            scores.append(replicate(result, metrics, counts)[metrics[0].key])
            scored += time.perf_counter() - before
        averages.append(np.mean(scores, axis=0))
        low, high = percentile_interval(averages[-1][1:])
        print(f"model {model}: average {averages[-1][0]:.5f}, 95 % {low:.5f} to {high:.5f}")
    if args.compare:
        print(f"difference: p = {paired_p_value((averages[1] - averages[0])[1:]):.3f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # KiB on Linux
    names = ", ".join(metric.name for metric in metrics)
    print(
        f"{args.images} images x {args.cells} cells x {args.resamples} resamples, {names}: "
        f"drawing {drawn:.1f} s, scoring and resampling {scored:.1f} s, peak {peak:.2f} GiB"
    )


if __name__ == "__main__":
    main()
