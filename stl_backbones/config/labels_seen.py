"""A few label maps of a data set, as its own pipeline hands them out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from stl_backbones.config.reading import building

_IMAGES = 8


@dataclass
class LabelsSeen:
    """Labels of some images.

    Attributes:
        images: How many were looked at.
        of: Images of the data set.
        pixels: Label -> its pixels.
        first_file: Label -> the first file that holds it.
        wrong_sizes: Sentences on label maps that are not of their image's size.
    """

    of: int
    images: int = 0
    pixels: Counter[int] = field(default_factory=Counter)
    first_file: dict[int, str] = field(default_factory=dict)
    wrong_sizes: list[str] = field(default_factory=list)

    def add(self, labels: np.ndarray, file: str) -> None:
        """Count an image's labels."""
        self.images += 1
        for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
            self.pixels[int(label)] += int(count)
            self.first_file.setdefault(int(label), file)


def look_at_labels(dataset: Any, split: str) -> LabelsSeen | None:
    """Load a few images spread over a data set, and count their labels.

    Args:
        dataset: A built data set of mmengine, not wrapped. Random numbers are as before.
        split: What it is for, for messages.

    Returns:
        What was seen, nothing if its samples hold no truth; ``None`` if they hold another one than
        a label map: depth, say.

    Raises:
        ValueError: If the pipeline fails.
    """
    seen = LabelsSeen(of=len(dataset))
    if not hasattr(dataset, "prepare_data"):
        return seen
    indices = np.unique(np.linspace(0, len(dataset) - 1, _IMAGES).round().astype(int))
    with _same_randomness(), _watched(dataset) as watch, building(f"a sample of the {split} data"):
        for index in indices.tolist():
            packed = _first(dataset.prepare_data(index))
            found = getattr(packed, "gt_sem_seg", None)
            pixels = getattr(found, "data", getattr(found, "sem_seg", None))
            if pixels is None:
                truths = [name for name in dir(packed) if name.startswith("gt_")]
                has_other = any(getattr(packed, name, None) is not None for name in truths)
                return None if has_other else seen
            seen.add(np.asarray(pixels), watch.file)
    seen.wrong_sizes = watch.wrong_sizes
    return seen


class _Watch:
    """Runs a pipeline step by step, and compares image and label map once both are there."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.wrong_sizes: list[str] = []
        self.file = "label map"

    def __call__(self, results: Any) -> Any:
        steps = getattr(self.pipeline, "transforms", [self.pipeline])
        compared = False
        for step in steps:
            results = step(results)
            if results is None:
                return None
            if not compared and isinstance(results.get("gt_seg_map"), np.ndarray):
                compared = True
                self._compare(results)
        return results

    def _compare(self, results: Any) -> None:
        self.file = str(results.get("seg_map_path") or results.get("img_path", "label map"))
        size, image = results["gt_seg_map"].shape[:2], results.get("img")
        sizes = [getattr(image, "shape", size)[:2], tuple(results.get("ori_shape", size))[:2]]
        if size not in sizes:
            self.wrong_sizes.append(
                f"'{self.file}' is {size[1]}x{size[0]}, its image {sizes[1][1]}x{sizes[1][0]}"
            )


@contextmanager
def _watched(dataset: Any) -> Iterator[_Watch]:
    before = dataset.pipeline
    dataset.pipeline = watch = _Watch(before)
    try:
        yield watch
    finally:
        dataset.pipeline = before


@contextmanager
def _same_randomness() -> Iterator[None]:
    """Leave the generators as they were: a run's draws do not depend on the check."""
    plain, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(plain)
            np.random.set_state(numbers)  # noqa: NPY002


def _first(sample: Any) -> Any:
    """What is packed of an item; the first one of several views."""
    packed = sample.get("data_samples") if isinstance(sample, dict) else None
    return packed[0] if isinstance(packed, list) and packed else packed


__all__ = ["LabelsSeen", "look_at_labels"]
