"""Intervals of a number that is no mean, mIoU: valid in the limit of many images.

References:
    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2021, "Time-uniform central limit theory and
    asymptotic confidence sequences", arXiv:2103.06476; Robbins 1970. Of N images
    without replacement, n are worth n / (1 - n/N): (S_t - t mu) / (N - t) is a martingale of that
    variance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FIRST_LOOK = 100  # images; of fewer, a part's mIoU is biased by half a point and more
_PLANNED = 0.3  # share of all images at which the interval is the narrowest that it can be

Values = npt.NDArray[np.float64]


def half_width(deviation: float, images: int, total: int, *, alpha: float) -> float:
    """Half the width of the interval, two-sided; one-sided with twice the alpha.

    Args:
        deviation: Standard deviation of the leave-one-out values.
        images: How many were drawn.
        total: Of how many.
        alpha: Chance, in the limit, that it ever leaves the number out.
    """
    if images >= total:
        return 0.0
    worth = images / (1 - images / total)
    log_alpha = np.log(alpha)
    rho = _PLANNED * total / (1 - 2 * log_alpha + np.log(-2 * log_alpha))
    spread = (worth + rho) * np.log((worth + rho) / (rho * alpha**2))
    return float(deviation * np.sqrt(spread) / worth)


def leave_one_out(terms: Values, score: Callable[[Values], Values]) -> Values:
    """What each image does to a score of sums: its jackknife values, but for a constant.

    Args:
        terms: ``(n, ..., S)`` what each image adds to S sums.
        score: Sums ``(..., S)`` -> ``(...)``.

    Returns:
        ``(n, ...)``, of the scale of a single image.
    """
    sums = terms.sum(axis=0)
    return (len(terms) - 1) * (score(sums) - score(sums - terms))


def control_slope(parts: Values, control: Values) -> float:
    """Slope of ``(n,)`` leave-one-out values on those of a number known on all images."""
    variance = float(control.var(ddof=1))
    return float(np.cov(parts, control)[0, 1]) / variance if variance else 0.0
