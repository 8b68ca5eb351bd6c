"""A target with its number resolved: its evidence and interval after some of the images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stl_backbones.report.numbers.requirements import OPERATORS
from stl_backbones.robustness.stopping.linear import Linear
from stl_backbones.robustness.stopping.scores import Scores, Terms
from stl_backbones.robustness.stopping.targets import Target
from stl_backbones.sequential import (
    BoundedMean,
    Covariate,
    control_slope,
    half_width,
    leave_one_out,
    log_evidence,
    mean_interval,
)
from stl_backbones.sequential.asymptotic import FIRST_LOOK

_FIRST, _GROWTH = 20, 1.05  # images of the first look at an interval, and how looks grow
_ROUNDING = 1e-12  # as reports judge
_START = 0.5  # slope on the covariate before any image is drawn, per unit of weight
Logs = npt.NDArray[np.float64]


def looks(total: int, first: int = _FIRST) -> Iterator[int]:
    """Numbers of images at which intervals are computed: they depend on nothing but N."""
    images = first
    while images < total:
        yield images
        images = max(images + 1, math.ceil(images * _GROWTH))


@dataclass(frozen=True)
class Part:
    """A model's share of a number: it, or with sign -1 what it is compared with."""

    linear: Linear
    scores: Scores
    sign: int = 1


@dataclass
class Question:
    """What is asked of a number, exact or asymptotic.

    Attributes:
        target: The target.
        parts: One model's number, or those of two.
        total: N.
        gates: How many gates there are.
        alpha: Chance of a wrong verdict.
        counted: ``(N,)`` in visit order: whether an image counts, for the mean of some of them.
        covariate: ``(N,)`` in visit order, in 0..1: what is known of all images; ``None`` for none.
    """

    target: Target
    parts: Sequence[Part]
    total: int
    gates: int
    alpha: float
    counted: npt.NDArray[np.bool_]
    covariate: npt.NDArray[np.float64] | None = None
    _found: dict[int, tuple[float, float, float]] = field(default_factory=dict)

    @property
    def is_exact(self) -> bool:
        """Whether it is the mean of one bounded value per image."""
        return all(part.linear.is_mean for part in self.parts)

    @property
    def mean(self) -> BoundedMean:
        """What is asked for, as a mean."""
        ends = [sorted((p.sign * p.linear.low, p.sign * p.linear.high)) for p in self.parts]
        low, high = (sum(own) for own in zip(*ends, strict=True))
        return BoundedMean(int(self.counted.sum()), low, high)

    @property
    def known(self) -> float | None:
        """The number, where no corrupted image changes it."""
        if not all(part.linear.is_known for part in self.parts):
            return None
        return sum(part.sign * part.linear.offset for part in self.parts)

    def values(self, images: int) -> npt.NDArray[np.float64]:
        """Each image's own value of a mean, of the images that count."""
        own = self.counted[:images]
        found = np.zeros(int(own.sum()))
        for part in self.parts:
            hits = part.scores.terms[part.linear.metric.key][:images, :, 0][own]
            found += part.sign * (part.linear.offset + hits @ part.linear.weights)
        return found

    def known_covariate(self, images: int) -> Covariate | None:
        """The covariate of the images that count."""
        if self.covariate is None:
            return None
        weight = float(sum(part.sign * part.linear.weights.sum() for part in self.parts))
        z = self.covariate if weight > 0 else 1 - self.covariate
        own = self.counted[:images]
        mean = float(z[self.counted].mean())
        return Covariate(z[:images][own], mean, start=_START * abs(weight))

    def evidence(self, images: int) -> tuple[Logs, Logs]:
        """``(n,)`` log evidence after each image that a gate is kept, and that it is broken."""
        target, side = self.target, self.target.side
        if self.known is not None:
            keeps = self.keeps(self.known)
            always, never = np.full(images, np.inf), np.full(images, -np.inf)
            return (always, never) if keeps else (never, always)
        if not self.is_exact:
            return self._asymptotic_evidence(images)
        x, mean, known = self.values(images), self.mean, self.known_covariate(images)
        found = [
            log_evidence(x, target.bound, mean, side=one, covariate=known) for one in (side, -side)
        ]
        if len(x) == mean.total:  # all that count are there
            is_kept = self.keeps(float(x.mean()))
            found[0][-1], found[1][-1] = (np.inf, -np.inf) if is_kept else (-np.inf, np.inf)
        number = np.cumsum(self.counted[:images])  # before the first one there is no evidence
        kept, broken = (np.concatenate([[0.0], logs])[number] for logs in found)
        return kept, broken

    def _asymptotic_evidence(self, images: int) -> tuple[Logs, Logs]:
        """Infinite once an interval's end is beyond the bound, at the looks alone."""
        kept, broken = np.full(images, -np.inf), np.full(images, -np.inf)
        for look in looks(self.total, FIRST_LOOK):
            if look > images:
                break
            value, deviation, _ = self._jackknife(look)
            over = self.target.side * (value - self.target.bound)
            for logs, sign, alpha in ((kept, 1, self.alpha), (broken, -1, self.alpha / self.gates)):
                # One-sided: the boundary with twice the alpha.
                if sign * over > half_width(deviation, look, self.total, alpha=2 * alpha):
                    logs[look - 1] = np.inf
        return kept, broken

    def interval(self, images: int) -> tuple[float, float, float]:
        """Estimate and ends of the 1 - alpha interval; without ends where there are too few."""
        if self.known is not None:
            return self.known, self.known, self.known
        if self.is_exact:
            x, mean, known = self.values(images), self.mean, self.known_covariate(images)
            if not len(x):
                return math.nan, mean.low, mean.high
            low, high = mean_interval(x, mean, alpha=self.alpha, covariate=known)
            estimate = float(x.mean())
            if known is not None:
                slope = float(known.slopes(x, mean.range)[-1])
                estimate += slope * (known.mean - float(known.values.mean()))
            return min(max(estimate, low), high), low, high
        value, deviation, _ = self._jackknife(images)
        if images >= FIRST_LOOK or images == self.total:
            half = half_width(deviation, images, self.total, alpha=self.alpha)
            return value, value - half, value + half
        return value, -math.inf, math.inf

    def _jackknife(self, images: int) -> tuple[float, float, float]:
        """Value of a number of sums, and the deviation of its leave-one-out values."""
        if images not in self._found:
            value, parts, control, off = 0.0, np.zeros(images), np.zeros(images), 0.0
            for part in self.parts:
                score = _score_of(part)
                terms = part.scores.terms[part.linear.metric.key][:images]
                clean = part.scores.clean[part.linear.metric.key]
                weights = part.sign * part.linear.weights
                value += part.sign * part.linear.offset + float(score(terms.sum(0)) @ weights)
                parts += leave_one_out(terms, score) @ weights
                control += part.sign * leave_one_out(clean[:images], score)
                off += part.sign * float(score(clean[:images].sum(0)) - score(clean.sum(0)))
            slope = control_slope(parts, control) if images > 1 else 0.0
            rest = parts - slope * control
            deviation = float(rest.std(ddof=1)) if images > 1 else math.inf
            self._found[images] = (value - slope * off, deviation, slope)
        return self._found[images]

    def truth(self) -> float:
        """The number itself, once all images are there."""
        if self.known is not None:
            return self.known
        return (
            float(self.values(self.total).mean())
            if self.is_exact
            else self._jackknife(self.total)[0]
        )

    def keeps(self, value: float) -> bool:
        """Whether a number keeps the bound."""
        if math.isclose(value, self.target.bound, rel_tol=0, abs_tol=_ROUNDING):
            value = self.target.bound
        return bool(OPERATORS[self.target.comparison](value, self.target.bound))


def _score_of(part: Part):  # noqa: ANN202
    """Sums -> scores of one model's metric."""

    def score(sums: Terms) -> Terms:
        return part.linear.metric.score_sums(sums, 0)

    return score


__all__ = ["Part", "Question", "looks"]
