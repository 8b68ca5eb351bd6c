"""What images add to the numbers that are asked for, in visit order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.records import CLEAN, Cell, CellResult, Provenance
from stl_backbones.report.read.metrics import SumMetric
from stl_backbones.results import CellStore
from stl_backbones.robustness.stopping.linear import is_mean_metric
from stl_backbones.robustness.tasks.base import Samples

Terms = npt.NDArray[np.float64]


@dataclass
class Scores:
    """The terms of the metrics in use.

    Attributes:
        metrics: They.
        cells: The corrupted cells.
        provenance: Of the sweep.
        clean: Metric key -> ``(N, S)`` of the clean images, in visit order.
        terms: Metric key -> ``(n, C, S)`` of the corrupted ones, of the first n images.
    """

    metrics: Sequence[SumMetric]
    cells: Sequence[Cell]
    provenance: Provenance
    clean: Mapping[str, Terms] = field(default_factory=dict)
    terms: dict[str, Terms] = field(default_factory=dict)

    def terms_of(self, ids: Sequence[str], samples: Mapping[Cell, Samples]) -> dict[str, Terms]:
        """Metric key -> ``(n, C, S)`` of some images.

        Raises:
            InputError: If a value of a mean is not in 0..1.
        """
        found = {}
        for metric in self.metrics:
            by_cell = [
                _checked_terms(metric, CellResult(cell, self.provenance, tuple(ids), samples[cell]))
                for cell in self.cells
            ]
            found[metric.key] = np.stack(by_cell, axis=1)
        return found

    def add(self, parts: Sequence[Mapping[str, Terms]]) -> None:
        """Put images behind those that are there."""
        for metric in self.metrics:
            own = [self.terms[metric.key]] if metric.key in self.terms else []
            self.terms[metric.key] = np.concatenate([*own, *(part[metric.key] for part in parts)])

    @property
    def images(self) -> int:
        """How many images are there."""
        return len(next(iter(self.terms.values()), ()))


def _checked_terms(metric: SumMetric, result: CellResult) -> Terms:
    """``(images, S)``; of a mean, NaN for images that do not count."""
    terms = metric.terms(result).astype(np.float64)
    if is_mean_metric(metric) and not ((terms >= 0) & (terms <= 1) | np.isnan(terms)).all():
        raise InputError(
            f"--until takes {metric.name} for a mean of values in 0..1, and '{result.cell.name}' "
            f"has {np.nanmin(terms):g}..{np.nanmax(terms):g}: such a number cannot be decided early"
        )
    return terms


def clean_terms(
    metrics: Sequence[SumMetric], result: CellResult, order: npt.NDArray[np.int64]
) -> dict[str, Terms]:
    """Metric key -> ``(N, S)`` of the clean images, in an order."""
    return {metric.key: _checked_terms(metric, result)[order] for metric in metrics}


def read_scores(
    store: CellStore,
    metrics: Sequence[SumMetric],
    cells: Sequence[Cell],
    ids: Sequence[str],
) -> Scores:
    """The terms of a finished sweep, put into an order.

    Raises:
        MissingFileError: If a cell is missing.
        DamagedCellError: If a file is not what was written.
    """
    clean = store.read(CLEAN)
    order = _places(clean.image_ids, ids)
    scores = Scores(metrics, cells, clean.provenance, clean=clean_terms(metrics, clean, order))
    by_metric: dict[str, list[Terms]] = {metric.key: [] for metric in metrics}
    for cell in cells:
        result = store.read(cell)
        if result.image_ids != clean.image_ids:
            raise InputError(f"'{store.path(cell)}' holds other images than its clean cell")
        for metric in metrics:
            by_metric[metric.key].append(_checked_terms(metric, result)[order])
    scores.terms = {key: np.stack(one, axis=1) for key, one in by_metric.items()}
    return scores


def _places(there: Sequence[str], wanted: Sequence[str]) -> npt.NDArray[np.int64]:
    place = {name: index for index, name in enumerate(there)}
    return np.array([place[name] for name in wanted], np.int64)


__all__ = ["Scores", "Terms", "clean_terms", "read_scores"]
