"""From which strength of a corruption on a score is below a bound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.metrics.bootstrap import LEVEL


def breaking_point(
    severities: Sequence[float],
    scores: npt.NDArray[np.floating],
    bound: npt.NDArray[np.floating] | float,
) -> npt.NDArray[np.float64]:
    """The severity at which scores first fall below a bound, linear between severities.

    Args:
        severities: L of them, rising; 0 is clean.
        scores: ``(L, ...)`` scores, higher is better.
        bound: ``(...)``, or one for all.

    Returns:
        ``(...)`` severities: the first one if the score is below the bound from the start, infinity
            if it never is, NaN if a score or the bound is NaN.

    Raises:
        ValueError: If severities do not rise, or are as many as the scores.
    """
    if len(severities) != len(scores) or list(severities) != sorted(set(severities)):
        raise InputError(
            f"expected rising severities, one per score, got {list(severities)} and {len(scores)} "
            "scores"
        )
    limit = np.broadcast_to(np.asarray(bound, np.float64), scores.shape[1:])
    point = np.full(scores.shape[1:], np.inf)
    for index in reversed(range(len(scores))):
        below = scores[index] < limit
        if not index:
            point[below] = severities[0]
            break
        before, after = severities[index - 1], severities[index]
        height = scores[index - 1].astype(np.float64)
        fallen = below & (height >= limit)
        share = np.divide(height - limit, height - scores[index], out=np.zeros(limit.shape),
                          where=fallen)  # fmt: skip
        point = np.where(fallen, before + share * (after - before), point)
    point[np.isnan(scores).any(axis=0) | np.isnan(limit)] = np.nan
    return point


def breaking_intervals(
    points: npt.NDArray[np.float64], *, level: float = LEVEL
) -> npt.NDArray[np.float64]:
    """Intervals of breaking points: order statistics, since a point may be infinite.

    Args:
        points: ``(R, ...)``, one per resample.
        level: Share of the points between the ends.

    Returns:
        ``(2, ...)`` lower and upper ends, each the point of a resample; NaN where more than
            ``(1 - level) / 2`` of the resamples have none.
    """
    tail, resamples = (1 - level) / 2, len(points)
    if not resamples:
        return np.full((2, *points.shape[1:]), np.nan)
    ordered = np.sort(points, axis=0)  # NaN last
    known = resamples - np.isnan(points).sum(axis=0)
    last = np.maximum(known - 1, 0)
    places = (np.floor(tail * last), np.ceil((1 - tail) * last))
    ends = [np.take_along_axis(ordered, place.astype(np.intp)[None], axis=0)[0] for place in places]
    return np.where(known >= (1 - tail) * resamples, ends, np.nan)
