"""How often the 95 % intervals of a report's class scores hold the true score.

    python benchmarks/class_intervals.py                # 2,000 data sets of each task

Draws data sets from a population whose class scores are known, makes the intervals as a report
does, and counts. Classifiers: classes of 50 to 200 images on average, accuracies of 30 to 95 %.
Segmenters: 100 images in which classes have other shares, and whose pixels are right by a
probability that differs by image, so that pixels of one image are wrong together. The simulation's
own error is about half a point for each class.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from stl_backbones.metrics import percentile_intervals
from stl_backbones.records import CLEAN, CellResult, Provenance
from stl_backbones.report.read.cells import Draws
from stl_backbones.report.tasks import get_task

ACCURACIES = np.array([0.3, 0.5, 0.7, 0.85, 0.95])
SHARES = np.array([0.1, 0.15, 0.2, 0.25, 0.3])  # of 600 images
IMAGES = {"classification": 600, "segmentation": 100}
CLASSES = len(ACCURACIES)
POPULATION = 400_000  # images that give the segmenter's true scores
Samples = dict[str, np.ndarray]


def classified(images: int, rng: np.random.Generator) -> Samples:
    """Labels by their shares; a wrong image is taken for the next class."""
    label = rng.choice(CLASSES, images, p=SHARES)
    right = rng.random(images) < ACCURACIES[label]
    return {"label": label, "prediction": np.where(right, label, (label + 1) % CLASSES)}


def segmented(images: int, rng: np.random.Generator) -> Samples:
    """Confusion matrices of images of about a thousand pixels; a class is on half of them."""
    is_there = rng.random((images, CLASSES)) < 0.5
    pixels = rng.poisson(is_there * rng.gamma(2, 500 * SHARES, (images, CLASSES)))
    quality = np.clip(ACCURACIES + rng.normal(0, 0.15, (images, CLASSES)), 0.02, 0.98)
    right = rng.binomial(pixels, quality)
    matrix = np.zeros((images, CLASSES, CLASSES), np.int64)
    own = np.arange(CLASSES)
    matrix[:, own, own] = right
    matrix[:, own, (own + 1) % CLASSES] = pixels - right
    return {"confusion_matrix": matrix}


def coverage(
    task: str, truth: np.ndarray, draw: Callable[..., Samples], *, sets: int, resamples: int
) -> np.ndarray:
    """``(classes,)`` share of data sets whose interval holds the true score."""
    images, rng, held = IMAGES[task], np.random.default_rng(1), np.zeros(CLASSES)
    for number in range(sets):
        drawn = Draws(resamples=resamples, seed=number).counts(images)
        scores = scores_of(task, draw(images, rng), drawn)
        low, high = percentile_intervals(scores.resampled)
        held += (low <= truth) & (truth <= high)
    return held / sets


def scores_of(task: str, samples: Samples, drawn: np.ndarray) -> object:
    """The class scores of a cell, as a report reads them."""
    images = len(next(iter(samples.values())))
    blank = dict.fromkeys(
        ("model", "protocol", "dataset", "dataset_fingerprint", "config_sha256",
         "checkpoint_sha256", "inference", "corruption_source", "corruption_mode",
         "corruption_package", "channel_order", "device"), ""
    )  # fmt: skip
    provenance = Provenance(
        **blank, task=task, num_images=images, num_images_total=images, skipped=(),
        classes=tuple(map(str, range(CLASSES))), seed=0, versions={},
    )  # fmt: skip
    result = CellResult(CLEAN, provenance, tuple(map(str, range(images))), samples)
    scorer = get_task(task).class_scorer(drawn.T)
    record = scorer(result) if scorer else get_task(task).score_cell(result, drawn).classes
    return next(iter(record.scores.values()))


def main() -> None:
    """Simulate, and print one row a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=2000, help="data sets of each task")
    parser.add_argument("--resamples", type=int, default=1000)
    args = parser.parse_args()
    none = np.zeros((0, POPULATION), np.float32)
    rng = np.random.default_rng(0)
    truths = {
        "classification": ACCURACIES,
        "segmentation": scores_of("segmentation", segmented(POPULATION, rng), none).values,
    }
    print("| task | true scores (%) | interval holds it (%), by class | mean |\n|---|---|---|--:|")
    for task, draw in (("classification", classified), ("segmentation", segmented)):
        found = coverage(task, truths[task], draw, sets=args.sets, resamples=args.resamples)
        true, held = (", ".join(f"{100 * x:.1f}" for x in one) for one in (truths[task], found))
        print(f"| {task} | {true} | {held} | {100 * found.mean():.1f} |", flush=True)


if __name__ == "__main__":
    main()
