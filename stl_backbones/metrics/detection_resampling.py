"""COCO's average precision of many resamples of the images, in one compiled loop.

Importing this module imports numba; the loop is compiled when it is first called, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from stl_backbones.metrics.detection_ranking import NUM_THRESHOLDS, RankedDetections

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.int64]
_Bits = npt.NDArray[np.uint16]
_EVERY = (1 << NUM_THRESHOLDS) - 1
_EPSILON = float(np.spacing(1))


def resampled_precisions(
    ranked: RankedDetections, area: int, counts: _Floats, recalls: _Doubles
) -> _Doubles:
    """Accumulate every resample: an image drawn w times adds its detections and objects w times.

    Args:
        ranked: The detections.
        area: Which of the areas.
        counts: ``(R, N)`` how often each image is drawn.
        recalls: Where precision is read, in rising order.

    Returns:
        ``(R, 10, K)`` precision averaged over recalls; NaN for classes without objects.
    """
    matched, ignored = ranked.matched[:, area], ranked.ignored[:, area]
    kept = np.flatnonzero(ignored != _EVERY)  # the others change nothing
    objects = np.flatnonzero(ranked.object_counted[:, area])
    objects = objects[np.argsort(ranked.object_category[objects], kind="stable")]
    found = np.empty((len(counts), NUM_THRESHOLDS, ranked.classes))
    _accumulate(
        np.ascontiguousarray(counts, np.float32),
        ranked.image[kept],
        np.searchsorted(kept, ranked.first),
        matched[kept] & ~ignored[kept],
        ignored[kept],
        ranked.object_image[objects],
        np.searchsorted(ranked.object_category[objects], np.arange(ranked.classes + 1)),
        recalls,
        found,
    )
    return found


def _compiled(function: _Function) -> _Function:
    # No cache on disk: it would need a folder that can be written.
    decorate: Any = numba.njit(nogil=True, error_model="numpy")
    return cast("_Function", decorate(function))


@_compiled
def _accumulate(
    counts: _Floats,
    image: _Indices,
    first: _Indices,
    hit: _Bits,
    ignored: _Bits,
    object_image: _Indices,
    first_object: _Indices,
    recalls: _Doubles,
    found: _Doubles,
) -> None:
    """Fill `found` ``(R, T, K)``."""
    thresholds, classes = found.shape[1:]
    # Precision matters where an object is found: only that is kept, `length` of them.
    precision, recall = np.empty((thresholds, len(hit))), np.empty((thresholds, len(hit)))
    for r in range(len(counts)):
        for k in range(classes):
            objects = 0.0
            for g in range(first_object[k], first_object[k + 1]):
                objects += counts[r, object_image[g]]
            if objects == 0:
                found[r, :, k] = np.nan
                continue
            own = slice(first[k], first[k + 1])
            length = _walk(counts[r], image[own], hit[own], ignored[own], precision, recall)
            for t in range(thresholds):
                total = _total(precision[t], recall[t], length[t], objects, recalls)
                found[r, t, k] = total / len(recalls)


@_compiled
def _walk(
    weight: _Floats,
    image: _Indices,
    hit: _Bits,
    ignored: _Bits,
    precision: _Doubles,
    right: _Doubles,
) -> _Indices:
    """Go through the detections of a class; note precision and the number of objects found."""
    thresholds = len(precision)
    length = np.zeros(thresholds, np.int64)
    seen, found, skipped = 0.0, np.zeros(thresholds), np.zeros(thresholds)
    for d in range(len(image)):
        drawn = weight[image[d]]
        seen += drawn
        if drawn == 0 or (hit[d] | ignored[d]) == 0:
            continue
        for t in range(thresholds):
            if (ignored[d] >> t) & 1:
                skipped[t] += drawn
            elif (hit[d] >> t) & 1:
                found[t] += drawn
                precision[t, length[t]] = found[t] / (seen - skipped[t] + _EPSILON)
                right[t, length[t]] = found[t]
                length[t] += 1
    return length


@_compiled
def _total(
    precision: _Doubles, right: _Doubles, length: int, objects: float, recalls: _Doubles
) -> float:
    """Sum over recalls of the highest precision at that recall or above."""
    total, highest, n = 0.0, 0.0, length - 1
    for point in range(len(recalls) - 1, -1, -1):
        while n >= 0 and right[n] / objects >= recalls[point]:
            highest = max(highest, precision[n])
            n -= 1
        total += highest
    return total
