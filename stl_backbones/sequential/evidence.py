r"""Evidence on the mean of N bounded values, of which some were drawn without replacement.

A gambler bets on each value before it is drawn. If the mean of all N values is m, those left before
draw t have the mean :math:`r_t = (N m - S_{t-1}) / (N - t + 1)`, the bet is fair, and

.. math:: K_t(m) = \frac{1}{J}\sum_j \prod_{i \le t} (1 + \lambda_{ij} (x_i - r_i))

is a martingale that starts at 1 and is never negative; under a smaller mean it is a
supermartingale. So it reaches :math:`1/\alpha` at any time with a chance of at most
:math:`\alpha`, whenever one looks and stops.

References:
    Waudby-Smith & Ramdas 2020, "Confidence sequences for sampling without replacement",
    arXiv:2006.04347, and 2021, "Estimating means of bounded random variables by betting",
    arXiv:2010.09686; Ville 1939. That a bet grows by N / (N - i + 1) is ours: under another mean
    the drift of x - r grows so, and a bet may be anything that is known before the draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

METHOD = "betting mixture 1"  # changes with whatever changes the evidence
_BETS = tuple(np.geomspace(0.008, 3.0, 14))  # per unit of the values' range
_CAP = 0.75  # share of the wealth that one image may cost, at most
_SLACK = 1e-6  # share of one image that rounding may make of a sum
_STEP = 100  # images after which a covariate's slope is estimated anew
_WEIGHT, _SPREAD = 50, 0.05  # of the starting slope: images, and the covariate's variance in them
_TINY = 1e-12
_LOOKS_CLOSER = 1e-4  # of the range: how far an interval's end may be out


@dataclass(frozen=True)
class BoundedMean:
    """The mean of all N values, that is asked for.

    Attributes:
        total: N.
        low: No value is below it.
        high: No value is above it.
    """

    total: int
    low: float = 0.0
    high: float = 1.0

    @property
    def range(self) -> float:
        """How far two values may be apart."""
        return self.high - self.low


@dataclass(frozen=True)
class Covariate:
    """A number in 0..1 that is known of all N images before the first draw.

    Attributes:
        values: ``(T,)``, of the images drawn, in visit order.
        mean: Of all N.
        start: Slope of the values on it, before any was drawn.
    """

    values: Values
    mean: float
    start: float = 0.5

    def slopes(self, values: Values, most: float) -> Values:
        """``(T,)`` slope for each draw, from full hundreds of draws before it; 0 to ``most``."""
        number = np.arange(1, len(values) + 1)
        mean_x, mean_z = np.cumsum(values) / number, np.cumsum(self.values) / number
        covariance = np.cumsum(values * self.values) / number - mean_x * mean_z
        variance = np.cumsum(self.values**2) / number - mean_z**2
        weight = _WEIGHT * _SPREAD / number
        slope = np.clip((covariance + weight * self.start) / (variance + weight), 0, most)
        before = np.arange(len(values)) // _STEP * _STEP - 1
        return np.where(before >= 0, slope[np.maximum(before, 0)], min(self.start, most))


def log_evidence(
    values: npt.ArrayLike,
    bound: float,
    mean: BoundedMean,
    *,
    side: int = 1,
    covariate: Covariate | None = None,
    bets: Sequence[float] = _BETS,
) -> Values:
    """Evidence against a bound after each draw.

    Args:
        values: ``(..., T)`` in visit order.
        bound: m.
        mean: What the bound is of.
        side: 1: evidence against "the mean is m or less"; -1: against "m or more".
        covariate: What is known of all images; of one row of values.
        bets: The mixture, see `_BETS`.

    Returns:
        ``(..., T)`` natural logarithm of K; infinite once the values contradict the bound. It is
        not monotone: of evidence that was reached once the maximum counts.
    """
    x = np.atleast_1d(np.asarray(values, np.float64))
    left = mean.total - np.arange(x.shape[-1])  # images before each draw
    rest = (mean.total * bound - (np.cumsum(x, -1) - x)) / left
    gain = side * (x - rest)
    room = (rest - mean.low) if side > 0 else (mean.high - rest)
    over = -left * room  # more than all that is left can make up
    if covariate is not None:
        slope = covariate.slopes(x, mean.range)
        z = covariate.values
        z_rest = (mean.total * covariate.mean - (np.cumsum(z) - z)) / left
        gain = gain - side * slope * (z - z_rest)
        room = room + slope * ((1 - z_rest) if side > 0 else z_rest)
    impossible = np.maximum.accumulate(over > _SLACK * mean.range, -1)
    most = _CAP / np.maximum(room, _TINY)
    scale = mean.total / left / mean.range
    wealth = np.full(x.shape, -np.inf)
    for bet in bets:
        own = np.cumsum(np.log1p(np.minimum(bet * scale, most) * gain), -1)
        wealth = np.logaddexp(wealth, own)
    return np.where(impossible, np.inf, wealth - np.log(len(bets)))


def mean_interval(
    values: npt.ArrayLike,
    mean: BoundedMean,
    *,
    alpha: float,
    covariate: Covariate | None = None,
) -> tuple[float, float]:
    """Ends of the confidence sequence of the mean, after these draws.

    Not the intersection with those of earlier draws: that is valid too, but narrows in just the
    orders that mislead, and stopping by its width would pick those.

    Args:
        values: ``(T,)`` in visit order.
        mean: What is asked for.
        alpha: Chance that it ever leaves the mean out, at most.
        covariate: What is known of all images.

    Returns:
        The ends, too far out by 1e-4 of the range at most.
    """
    x = np.asarray(values, np.float64)
    left, done = mean.total - len(x), float(x.sum())
    if not left:
        return done / mean.total, done / mean.total
    need = np.log(2 / alpha)
    ends = []
    for side, extreme in ((1, mean.low), (-1, mean.high)):
        out = (done + left * extreme) / mean.total  # what is certain
        inside = done / len(x)
        while abs(inside - out) > _LOOKS_CLOSER * mean.range:
            middle = (out + inside) / 2
            found = log_evidence(x, middle, mean, side=side, covariate=covariate)
            out, inside = (middle, inside) if found[-1] >= need else (out, middle)
        ends.append(out)
    return ends[0], ends[1]
