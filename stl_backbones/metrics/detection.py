"""COCO's average precision from stored matches: of the data set, and of resamples of its images.

Which detection has an object is decided image by image, see `stl_backbones.evaluation.detection`.
What is left is the order of all detections of a class by score, which decides precision and recall;
AP is no mean over images, so that every resample is accumulated anew.

References:
    Lin et al. 2014, "Microsoft COCO" (arXiv:1405.0312), and pycocotools' ``COCOeval``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.metrics.bootstrap import Replicates
from stl_backbones.metrics.detection_ranking import (
    NUM_AREAS,
    NUM_THRESHOLDS,
    RankedDetections,
    Samples,
    rank,
)

RECALLS = np.linspace(0, 1, 101, dtype=np.float64)
# Number -> (thresholds, area) that it is the mean of.
_NUMBERS: Mapping[str, tuple[slice, int]] = {
    "ap": (slice(None), 0),
    "ap50": (slice(0, 1), 0),
    "ap75": (slice(5, 6), 0),
    "ap_small": (slice(None), 1),
    "ap_medium": (slice(None), 2),
    "ap_large": (slice(None), 3),
}
AP_NUMBERS = tuple(_NUMBERS)
_AP_DETECTIONS = 100  # of an image and class; the other numbers take all that were matched


@dataclass(frozen=True)
class AveragePrecision:
    """The numbers of one kind of detections.

    Attributes:
        numbers: A name of `AP_NUMBERS` -> ``(1 + resamples,)`` fractions, of the data set and of
            each resample. 0 where nothing was detected, NaN where there is no object of that area.
        by_class: ``(1 + resamples, classes)`` AP likewise; NaN for a class without objects.
    """

    numbers: Mapping[str, Replicates]
    by_class: npt.NDArray[np.float64]


def average_precision(
    samples: Samples,
    kind: str,
    *,
    classes: int,
    counts: npt.NDArray[np.float32] | None = None,
    ranked: RankedDetections | None = None,
) -> AveragePrecision:
    """Compute COCO's AP, exactly as pycocotools does.

    AP and the APs of the classes take the 100 highest scores of each image and class, the other
    numbers all that were matched: mmdet has up to 1000 of them matched, COCO's own evaluation 100.

    Args:
        samples: Of a cell, see `stl_backbones.records.CellResult`.
        kind: ``'bbox'`` or ``'segm'``.
        classes: Number of classes K.
        counts: ``(R, N)`` how often each image is drawn; ``None`` for no resamples. Equals
            pycocotools on a data set in which the image and its detections occur that often;
            where one image has detections of equal class and score, each is repeated in turn.
        ranked: What `rank` made of the samples, where it is known already.

    Raises:
        ValueError: If samples are missing or do not fit each other.

    References:
        At each of 101 recalls the highest precision at that recall or above, averaged over
        recalls, thresholds and the classes that have objects.
    """
    ranked = ranked or rank(samples, kind, classes=classes)
    images = len(samples["image_number"])
    if counts is not None and counts.shape[1] != images:
        raise InputError(f"expected counts of {images} images, got {counts.shape[1]}")
    parts = _all_precisions(ranked, counts)
    numbers = {
        name: _mean_of_known(parts[:, area, thresholds])
        for name, (thresholds, area) in _NUMBERS.items()
    }
    by_class = parts[:, 0].mean(axis=1)
    if (ranked.place >= _AP_DETECTIONS).any():
        best = _all_precisions(ranked.best(_AP_DETECTIONS), counts)[:, 0]
        numbers["ap"], by_class = _mean_of_known(best), best.mean(axis=1)
    return AveragePrecision(numbers, by_class)


def _all_precisions(
    ranked: RankedDetections, counts: npt.NDArray[np.float32] | None
) -> npt.NDArray[np.float64]:
    """``(1 + R, 4, 10, K)``: of the data set, then of each resample."""
    own = _precisions(ranked)[None]
    if counts is None or not len(counts):
        return own
    return np.concatenate([own, _resampled(ranked, counts)])


def _precisions(ranked: RankedDetections) -> npt.NDArray[np.float64]:
    """``(4, 10, K)`` precision averaged over recalls; NaN for classes without objects."""
    found = np.empty((NUM_AREAS, NUM_THRESHOLDS, ranked.classes))
    for area in range(NUM_AREAS):
        counted = ranked.object_category[ranked.object_counted[:, area]]
        objects = np.bincount(counted, minlength=ranked.classes)
        for threshold in range(NUM_THRESHOLDS):
            found[area, threshold] = _precision_by_class(ranked, area, threshold, objects)
    return found


def _precision_by_class(
    ranked: RankedDetections, area: int, threshold: int, objects: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Recall and the envelope of precision change where an object is found, and only there."""
    counts = (ranked.ignored[:, area] & (1 << threshold)) == 0
    hits = np.flatnonzero(counts & ((ranked.matched[:, area] & (1 << threshold)) != 0))
    seen = np.concatenate([[0], np.cumsum(counts)])  # detections up to there, of all classes
    ends = np.searchsorted(hits, ranked.first)  # where the hits of each class begin
    mean = np.full(ranked.classes, np.nan)
    for index in np.flatnonzero(objects):
        own = hits[ends[index] : ends[index + 1]]
        if not len(own):
            mean[index] = 0
            continue
        right = np.arange(1, len(own) + 1)
        # The least step, as in pycocotools: its precision of 1 / 1 is 1 - 2e-16.
        precision = right / (seen[own + 1] - seen[ranked.first[index]] + np.spacing(1))
        envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
        mean[index] = envelope[np.searchsorted(right / objects[index], RECALLS)].mean()
    return mean


def _resampled(
    ranked: RankedDetections, counts: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """``(R, 4, 10, K)``, as `_precisions`."""
    from stl_backbones.metrics.detection_resampling import resampled_precisions  # numba

    areas = [resampled_precisions(ranked, area, counts, RECALLS) for area in range(NUM_AREAS)]
    return np.stack(areas, axis=1)


def _mean_of_known(values: npt.NDArray[np.float64]) -> Replicates:
    """``(R, T, K)`` -> ``(R,)`` means over what is no NaN; NaN where nothing is."""
    flat = values.reshape(len(values), -1)
    known = np.isfinite(flat)
    count = known.sum(axis=1)
    total = np.where(known, flat, 0.0).sum(axis=1)
    mean: Replicates = np.divide(total, count, out=np.full(len(flat), np.nan), where=count > 0)
    return mean
