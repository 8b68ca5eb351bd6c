"""Monocular depth as a task of sweeps: an example of a task of one's own.

Scores mmseg's depth estimators (VPD's configs for NYU Depth V2, say) by what their config's
`DepthMetric` counts. Used as `--custom-imports docs/examples/depth/depth_task.py`; reports need
`depth_report.py` beside it. See docs/how-to/own_task.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stl_backbones.errors import InputError
from stl_backbones.robustness.tasks.base import Samples, Tally
from stl_backbones.robustness.tasks.dense import DenseSet, DenseTask
from stl_backbones.robustness.tasks.registry import register_task

RATIO = 1.25  # Eigen et al. 2014 (arXiv:1406.2283): the first of the three accuracies


class DepthSet(DenseSet):
    """A depth estimator on its images.

    An image's numbers are means over its pixels, a data set's means over its images, as mmseg's.
    """

    metric = "d1"

    def find_classes(self) -> tuple[str, ...]:
        """No classes: the names of a data set of rooms are not predicted."""
        return ()

    def check(self) -> None:
        """Refuse a config whose evaluator does not say which pixels count."""
        if len(self.evaluators) != 1 or not hasattr(self.evaluators[0], "max_depth_eval"):
            raise InputError(
                "expected a test_evaluator of type DepthMetric, which says what counts"
            )

    def files(self) -> Iterator[tuple[str, Path]]:
        """Images and depth maps."""
        for info, key in zip(self.data.infos, self.keys, strict=True):
            yield key, Path(info["img_path"])
            yield f"{key} depth", Path(info["depth_map_path"])

    def record(self, image: int, sample: Any) -> Samples:
        """Per image ``abs_rel``, ``d1`` and, in metres, ``rmse``: ``(1,)`` each."""
        metric = self.evaluators[0]
        metric.process({}, [sample.to_dict()])
        truth, guess = (depth.double().cpu().numpy() for depth in metric.results.pop())
        if not truth.size or not np.isfinite(guess).all():
            raise InputError(
                f"'{self.keys[image]}': {truth.size} pixels count, and the predicted depth is "
                f"{'finite' if np.isfinite(guess).all() else 'not finite'}"
            )
        return {
            "abs_rel": np.array([np.mean(abs(guess - truth) / truth)]),
            "d1": np.array([np.mean(np.maximum(guess / truth, truth / guess) < RATIO)]),
            "rmse": np.array([np.sqrt(np.mean((guess - truth) ** 2))]),
        }

    def tally(self, samples: Samples) -> Tally:
        """The sum over images."""
        return samples["d1"].sum()

    def score_of(self, tally: Tally, images: int) -> float:
        """The mean."""
        return float(tally / images)


class DepthTask(DenseTask):
    """Depth of every pixel, in metres."""

    name = "depth"
    default_protocol = "coco-c"
    bases = (("mmseg", "DepthEstimator"),)
    scored = DepthSet


register_task(DepthTask())
