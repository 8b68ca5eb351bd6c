"""A number of a sweep as a weighted sum of its cells' scores, by the report's own formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions import get_protocol
from stl_backbones.errors import InputError, UnknownNameError
from stl_backbones.metrics import mean_of_terms
from stl_backbones.records import CLEAN, Cell, Provenance
from stl_backbones.report.numbers.aggregates import Aggregate, Findings
from stl_backbones.report.numbers.requirements import find_number
from stl_backbones.report.read.metrics import CellMetric, SumMetric, TaskMetrics
from stl_backbones.report.read.runs import Run
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
        is_mean: Whether a cell's score is the mean of a value in 0..1 per image; else of sums.
    """

    metric: SumMetric
    offset: float
    weights: npt.NDArray[np.float64]
    is_mean: bool

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


def check_metric(name: str, metric: CellMetric) -> SumMetric:
    """Refuse a number that a part of the images says nothing certain about.

    Raises:
        InputError: If it is neither a mean of bounded values nor a smooth function of sums.
    """
    is_mean = isinstance(metric, SumMetric) and metric.score_sums is mean_of_terms
    if isinstance(metric, SumMetric) and (
        (is_mean and metric.unit == "fraction") or metric.key in _SMOOTH
    ):
        return metric
    why = _REFUSED.get(metric.key, _NO_MEAN)
    raise InputError(f"--until '{name}': {metric.name} cannot be decided early: {why}")


def find_linear(
    name: str,
    task: TaskMetrics,
    provenance: Provenance,
    cells: Sequence[Cell],
    clean: Mapping[str, float],
) -> Linear:
    """Resolve a name.

    Args:
        name: As in a requirement, ``'average'``, ``'fog/5'``, ``'mce'``, ``'top5:blur'``, ...
        task: Its numbers.
        provenance: Of the sweep.
        cells: The corrupted cells that are swept.
        clean: Metric key -> score of all clean images.

    Raises:
        UnknownNameError: If there is no such number.
        InputError: If it cannot be decided early, or needs cells that are not swept.
    """
    # The number of sweeps in which one cell alone has the score 1, of one where all have 0, and of
    # one where all have 1.
    count = len(cells)
    one_hot = np.hstack([np.eye(count), np.zeros((count, 1)), np.ones((count, 1))])
    scores = {cell: one_hot[index] for index, cell in enumerate(cells)}
    replicates = {
        metric.key: {CLEAN: np.full(count + 2, clean.get(metric.key, np.nan)), **scores}
        for metric in task.cells
    }
    run = Run(label="", folder=Path(), provenance=provenance, replicates=replicates)
    findings = Findings((run,), get_protocol(provenance.protocol), task)
    try:
        found = find_number(name, run, findings.aggregates[0], findings)
    except UnknownNameError as error:
        raise UnknownNameError(str(error.args[0]).replace("--require", "--until")) from error
    metrics = {metric.key: metric for metric in task.cells}
    metric = check_metric(name, metrics.get(found.key.metric, task.main))
    return _linear(name, found, metric)


def _linear(name: str, found: Aggregate, metric: SumMetric) -> Linear:
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
    return Linear(metric, offset, weights, metric.score_sums is mean_of_terms)


__all__ = ["Linear", "check_metric", "find_linear"]
