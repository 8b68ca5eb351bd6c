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
_Counts = npt.NDArray[np.integer]
_Indices = npt.NDArray[np.int64]
_Bits = npt.NDArray[np.uint16]
_LANES = 64  # resamples that are accumulated at once, side by side
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
        recalls: Where precision is read, evenly from 0 to 1.

    Returns:
        ``(R, 10, K)`` precision averaged over recalls; NaN for classes without objects.
    """
    matched, ignored = ranked.matched[:, area], ranked.ignored[:, area]
    kept = np.flatnonzero(ignored != _EVERY)  # the others change nothing
    objects = np.flatnonzero(ranked.object_counted[:, area])
    objects = objects[np.argsort(ranked.object_category[objects], kind="stable")]
    resamples = len(counts)
    found = np.empty((-(-resamples // _LANES) * _LANES, NUM_THRESHOLDS, ranked.classes))
    _accumulate(
        _in_lanes(counts),
        ranked.image[kept],
        np.searchsorted(kept, ranked.first),
        matched[kept] & ~ignored[kept],
        ignored[kept],
        ranked.object_image[objects],
        np.searchsorted(ranked.object_category[objects], np.arange(ranked.classes + 1)),
        found,
    )
    return found[:resamples] / len(recalls)


def _in_lanes(counts: _Floats) -> _Counts:
    """``(blocks, N, 64)``: what is added at once lies side by side; the last block is filled up.

    In bytes, where counts are as small as those of a bootstrap: they fit the nearest caches.
    """
    resamples, images = counts.shape
    blocks = -(-resamples // _LANES)
    kind = np.uint8 if counts.max(initial=0) < 2**8 else np.int32
    lanes = np.zeros((blocks * _LANES, images), kind)
    lanes[:resamples] = counts
    return np.ascontiguousarray(lanes.reshape(blocks, _LANES, images).transpose(0, 2, 1))


def _compiled(function: _Function) -> _Function:
    # No cache on disk: it would need a folder that can be written.
    decorate: Any = numba.njit(nogil=True, error_model="numpy")
    return cast("_Function", decorate(function))


@_compiled
def _accumulate(
    counts: _Counts,
    image: _Indices,
    first: _Indices,
    hit: _Bits,
    ignored: _Bits,
    object_image: _Indices,
    first_object: _Indices,
    found: _Doubles,
) -> None:
    """Fill `found` ``(R, T, K)`` with sums over recalls, a block of resamples at a time."""
    thresholds, classes = found.shape[1:]
    lanes = counts.shape[2]
    objects = np.empty(lanes, np.int32)
    for block in range(len(counts)):
        weight = counts[block]
        for k in range(classes):
            objects[:] = 0
            for g in range(first_object[k], first_object[k + 1]):
                for lane in range(lanes):
                    objects[lane] += weight[object_image[g], lane]
            own = slice(first[k], first[k + 1])
            total = _total(weight, image[own], hit[own], ignored[own], objects, thresholds)
            for lane in range(lanes):
                for t in range(thresholds):
                    known = objects[lane] > 0
                    found[block * lanes + lane, t, k] = total[t, lane] if known else np.nan


@_compiled
def _total(
    weight: _Counts, image: _Indices, hit: _Bits, ignored: _Bits, objects: _Counts, thresholds: int
) -> _Doubles:
    """``(T, lanes)`` sums over recalls of the highest precision at that recall or above.

    From the last detection to the first, since the highest precision comes from behind: each object
    found adds the recalls that are reached after it, and not with it.
    """
    lanes = len(objects)
    seen = np.zeros(lanes, np.int32)
    right = np.zeros((thresholds, lanes), np.int32)
    skipped = np.zeros((thresholds, lanes), np.int32)
    _sum_all(weight, image, hit, ignored, seen, right, skipped)
    total, highest = np.zeros((thresholds, lanes)), np.zeros((thresholds, lanes))
    covered = np.empty((thresholds, lanes))
    for t in range(thresholds):
        _reached(right[t], objects, covered[t])
    precision, reached = np.empty(lanes), np.empty(lanes)
    for d in range(len(image) - 1, -1, -1):
        drawn = weight[image[d]]
        if hit[d] | ignored[d]:
            for t in range(thresholds):
                if (ignored[d] >> t) & 1:
                    _subtract(skipped[t], drawn)
                elif (hit[d] >> t) & 1:
                    # An image that was not drawn repeats what is before it, and changes nothing.
                    _precision(right[t], seen, skipped[t], precision)
                    _reached(right[t], objects, reached)
                    _add_recalls(total[t], highest[t], covered[t], reached)
                    _go_on(covered[t], reached, highest[t], precision)
                    _subtract(right[t], drawn)
        _subtract(seen, drawn)
    total += highest * (covered + 1)
    return total


# Each of the loops below is short of arrays, so that the compiler makes vectors of it.
@_compiled
def _precision(right: _Counts, seen: _Counts, skipped: _Counts, precision: _Doubles) -> None:
    for lane in range(len(precision)):
        count = np.float64(seen[lane] - skipped[lane])
        precision[lane] = np.float64(right[lane]) / (count + _EPSILON)


@_compiled
def _reached(right: _Counts, objects: _Counts, reached: _Doubles) -> None:
    """The highest of recalls 0, 0.01, ... 1, in hundredths, that is not above the share."""
    for lane in range(len(reached)):
        share = np.float64(right[lane]) / np.float64(objects[lane])
        step = np.floor(share * 100 + 1e-9)
        # 29 / 100 is below 29 * 0.01, as pycocotools compares them.
        reached[lane] = step - 1.0 if step * 0.01 > share else step


@_compiled
def _add_recalls(total: _Doubles, highest: _Doubles, covered: _Doubles, reached: _Doubles) -> None:
    for lane in range(len(total)):
        total[lane] += highest[lane] * (covered[lane] - reached[lane])


@_compiled
def _go_on(covered: _Doubles, reached: _Doubles, highest: _Doubles, precision: _Doubles) -> None:
    for lane in range(len(covered)):
        covered[lane] = reached[lane]
    for lane in range(len(covered)):
        highest[lane] = max(highest[lane], precision[lane])


@_compiled
def _subtract(sums: _Counts, drawn: _Counts) -> None:
    for lane in range(len(sums)):
        sums[lane] -= drawn[lane]


@_compiled
def _sum_all(
    weight: _Counts,
    image: _Indices,
    hit: _Bits,
    ignored: _Bits,
    seen: _Counts,
    right: _Counts,
    skipped: _Counts,
) -> None:
    """Sum the detections of a class: all, those with an object, and those that do not count."""
    lanes = len(seen)
    for d in range(len(image)):
        drawn = weight[image[d]]
        for lane in range(lanes):
            seen[lane] += drawn[lane]
        if hit[d] | ignored[d]:
            for t in range(len(right)):
                if (ignored[d] >> t) & 1:
                    for lane in range(lanes):
                        skipped[t, lane] += drawn[lane]
                elif (hit[d] >> t) & 1:
                    for lane in range(lanes):
                        right[t, lane] += drawn[lane]
