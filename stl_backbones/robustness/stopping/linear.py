"""A number of a sweep as a weighted sum of its cells' scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.metrics import mean_of_terms
from stl_backbones.records import CellResult
from stl_backbones.report.numbers.aggregates import Aggregate
from stl_backbones.report.read.metrics import CellMetric, SumMetric
from stl_backbones.report.read.text import listed

# Numbers of sums over images that are smooth in them: the asymptotic intervals hold.
_SMOOTH = frozenset({"miou"})
_REFUSED = {
    "ece": "its bins are of all images, so it is no mean of one value per image",
    "nll": "a single image's has no bound, so no part of the images says how large the rest's are",
}
_NO_MEAN = (
    "it is made of the ranking of all images' results, so it is no mean of one bounded value per "
    "image"
)
_EXACT = 1e-9


@dataclass(frozen=True)
class Linear:
    """``offset`` plus the weighted scores of the corrupted cells.

    Attributes:
        metric: What the scores are of.
        offset: What does not depend on corrupted images: the clean score's part among it.
        weights: ``(C,)`` of the cells, in their order.
        class_index: The class whose images alone are counted; ``None`` for all images.
    """

    metric: SumMetric
    offset: float
    weights: npt.NDArray[np.float64]
    class_index: int | None = None

    @property
    def is_mean(self) -> bool:
        """Whether a cell's score is the mean of a value in 0..1 per image; else of sums."""
        return is_mean_metric(self.metric)

    @property
    def low(self) -> float:
        """The least that it can be."""
        return self.offset + float(np.minimum(self.weights, 0).sum())

    @property
    def high(self) -> float:
        """The greatest."""
        return self.offset + float(np.maximum(self.weights, 0).sum())

    @property
    def is_known(self) -> bool:
        """Whether no corrupted image changes it."""
        return not np.any(self.weights)


def is_mean_metric(metric: SumMetric) -> bool:
    """Whether a score is the mean of a term of each image."""
    return metric.score_sums is mean_of_terms


def clean_score(metric: SumMetric, result: CellResult) -> float:
    """The score of a cell of all images; of a mean, of those that have a value."""
    terms = metric.terms(result).astype(np.float64)
    if is_mean_metric(metric):
        return float(np.nanmean(terms)) if not np.isnan(terms).all() else float("nan")
    return float(metric.score_sums(terms.sum(axis=0), len(terms)))


def check_metric(name: str, metric: CellMetric) -> SumMetric:
    """Refuse a number that a part of the images says nothing certain about.

    Raises:
        InputError: If it is neither a mean of bounded values nor a smooth function of sums.
    """
    if isinstance(metric, SumMetric) and (
        (is_mean_metric(metric) and metric.unit == "fraction") or metric.key in _SMOOTH
    ):
        return metric
    why = _REFUSED.get(metric.key, _NO_MEAN)
    raise InputError(f"--until '{name}': {metric.name} cannot be decided early: {why}")


def linear_of(
    name: str, found: Aggregate, metric: SumMetric, class_index: int | None = None
) -> Linear:
    """Read weights off a number's values in sweeps of which one cell alone has the score 1.

    Args:
        name: The number's.
        found: Its values: of those sweeps, cell by cell, of one where all cells have 0, and of one
            where all have 1.
        metric: What cells are scored by.
        class_index: See `Linear`.

    Raises:
        InputError: If it needs cells that are not swept, is undefined, or is no such sum.
    """
    values = found.replicates
    if values is None:
        raise InputError(f"--until '{name}': not swept: {listed(found.missing, limit=5)}")
    if not np.isfinite(values).all():
        raise InputError(f"--until '{name}': undefined where no clean image is right")
    offset, every = float(values[-2]), float(values[-1])
    weights = values[:-2] - offset
    weights[np.abs(weights) < _EXACT] = 0
    if abs(offset + weights.sum() - every) > _EXACT * max(1.0, abs(every)):
        raise InputError(f"--until '{name}': it is no mean of one value per image")
    return Linear(metric, offset, weights, class_index)


__all__ = ["Linear", "check_metric", "clean_score", "is_mean_metric", "linear_of"]
