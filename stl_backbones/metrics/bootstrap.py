"""Intervals and p values from resampled images.

Every score here is a function of sums over images. A resample draws as many images as there are,
with replacement, the same ones in every cell and for every model; it is a row of counts, how often
each image was drawn, and its sums are one product of matrices:
``(resamples, images) @ (images, terms)``.

References:
    Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapters 13 (percentile intervals)
    and 15.4 (their inversion to a test).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError

LEVEL = 0.95
_TIE = 1e-12  # what equal scores may differ by in rounding
_BLOCK = 1 << 25  # elements of a block of counts in float64: 256 MiB

Replicates = npt.NDArray[np.float64]


def resample_counts(
    images: int, *, resamples: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """How often each image is drawn.

    Args:
        images: Number of images N, at least one.
        resamples: Number of resamples R.
        rng: Decides the draws; equal generators give equal counts.

    Returns:
        ``(R, N)`` float32 counts, each row a draw from the multinomial distribution that sums
        to N.

    Raises:
        ValueError: If there is no image, or the number of resamples is negative.
    """
    if images < 1 or resamples < 0:
        raise InputError(
            f"expected at least one image and no negative number of resamples, got {images} "
            f"images and {resamples} resamples"
        )
    counts = np.empty((resamples, images), dtype=np.float32)
    for row in counts:
        row[:] = np.bincount(rng.integers(0, images, images), minlength=images)
    return counts


def weighted_sums(
    counts: npt.NDArray[np.float32], terms: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Sum the terms of the drawn images.

    Args:
        counts: ``(R, N)`` of `resample_counts`.
        terms: ``(N, S)`` what each image adds to each of S sums. In float32 the sums are made in
            float32 (exact for counts of images); in float64 in float64, in blocks, so that no
            second copy of the counts is needed.

    Returns:
        ``(R, S)`` float64 sums.

    Raises:
        ValueError: If the numbers of images differ.
    """
    if counts.shape[1] != len(terms):
        raise InputError(f"expected terms of {counts.shape[1]} images, got {len(terms)}")
    if terms.dtype == np.float32:
        return (counts @ terms).astype(np.float64)
    exact = terms.astype(np.float64, copy=False)
    step = max(1, _BLOCK // max(1, counts.shape[1]))
    sums = np.empty((len(counts), exact.shape[1]), dtype=np.float64)
    for start in range(0, len(counts), step):
        sums[start : start + step] = counts[start : start + step].astype(np.float64) @ exact
    return sums


def percentile_interval(replicates: Replicates, *, level: float = LEVEL) -> tuple[float, float]:
    """The interval between two percentiles of the resampled scores.

    Args:
        replicates: ``(R,)`` scores, one per resample.
        level: Share of the scores between the ends.

    Returns:
        Lower and upper end; NaN if a resample has no score (a share of nothing, say).
    """
    if not len(replicates) or not np.isfinite(replicates).all():
        return float("nan"), float("nan")
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def percentile_intervals(
    replicates: npt.NDArray[np.floating], *, level: float = LEVEL
) -> npt.NDArray[np.float64]:
    """The intervals of many numbers, of each over the resamples in which it has a value.

    Args:
        replicates: ``(R, ...)`` scores; NaN where a resample has none, no image of a class say.
        level: Share of the scores between the ends.

    Returns:
        ``(2, ...)`` lower and upper ends. NaN where more than ``(1 - level) / 2`` of the resamples
        have no value: a class of three images or fewer, of which nothing can be said.
    """
    tail = (1 - level) / 2
    resamples = len(replicates)
    if not resamples:
        return np.full((2, *replicates.shape[1:]), np.nan)
    ordered = np.sort(replicates, axis=0)  # NaN last
    if not np.isnan(ordered[-1]).any():
        low, high = (_at(ordered, share * (resamples - 1)) for share in (tail, 1 - tail))
        return np.stack([low, high])
    known = resamples - np.isnan(replicates).sum(axis=0)
    ends = []
    for share in (tail, 1 - tail):
        place = share * np.maximum(known - 1, 0)
        below = place.astype(np.intp)
        above = np.minimum(below + 1, np.maximum(known - 1, 0))
        low, high = (np.take_along_axis(ordered, one[None], axis=0)[0] for one in (below, above))
        ends.append(low + (place - below) * (high.astype(np.float64) - low))
    return np.where(known >= (1 - tail) * resamples, ends, np.nan)


def _at(ordered: npt.NDArray[np.floating], place: float) -> npt.NDArray[np.float64]:
    """The row at a place between two of them, on the straight line."""
    below = int(place)
    rows = ordered[[below, min(below + 1, len(ordered) - 1)]].astype(np.float64)
    between: npt.NDArray[np.float64] = rows[0] + (place - below) * (rows[1] - rows[0])
    return between


def paired_p_value(differences: Replicates) -> float:
    """Two-sided p value that two models differ, from the differences in each resample.

    The percentile interval inverted: twice the smaller share of resamples on either side of zero,
    a difference of exactly zero on both, one resample added to each (Davison & Hinkley 1997,
    equation 4.11), so that it is never 0: the smallest is 2 / (R + 1). Unlike a sign-flip
    permutation of images it agrees with the interval, and holds for ratios such as retention,
    which are no means over images.

    Args:
        differences: ``(R,)`` differences of two scores of the same resamples.

    Returns:
        The p value; 1 if the models are equal, NaN if a resample has no score.
    """
    if not len(differences) or not np.isfinite(differences).all():
        return float("nan")
    below, above = int((differences <= _TIE).sum()), int((differences >= -_TIE).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (len(differences) + 1))
