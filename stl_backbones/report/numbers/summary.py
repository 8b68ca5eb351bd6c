"""Where a run is weakest: corruption, cell and class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

import numpy as np

from stl_backbones.corruptions.catalog import Protocol
from stl_backbones.metrics import mean_of, mean_over
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.read.metrics import CellMetric
from stl_backbones.report.read.runs import Run

_ROUNDING = 1e-12  # means of equal scores may differ in the last digits


def corruption_scores(run: Run, protocol: Protocol) -> dict[str, float | None]:
    """Mean over severities of each corruption of the protocol; ``None`` where cells are missing."""
    means = {}
    for name in protocol.corruptions:
        cells = _cells(protocol, name)
        known = all(cell in run.scores for cell in cells)
        means[name] = mean_over(run.scores, cells) if known else None
    return means


@dataclass(frozen=True)
class Extreme:
    """The worst of several scores, and what has it: one name, or tied ones, in order."""

    score: float
    names: tuple[str, ...]


def worst_of(scores: Mapping[str, float | None], *, lower_is_better: bool) -> Extreme | None:
    """The worst of scores, NaN aside; ``None`` unless there are some and all were measured."""
    known = {name: score for name, score in scores.items() if score is not None}
    counted = {name: score for name, score in known.items() if not isnan(score)}
    if len(known) < len(scores) or not counted:
        return None
    worst = (max if lower_is_better else min)(counted.values())
    tied = tuple(name for name, score in counted.items() if abs(score - worst) <= _ROUNDING)
    return Extreme(worst, tied)


def weakest(run: Run, protocol: Protocol, metric: CellMetric) -> tuple[Extreme, Extreme] | None:
    """The worst corruption, and the worst cell, which may be another's; ``None`` if one is missing.

    Returns:
        Names of corruptions, ``'fog'``, and of cells, ``'snow-5'``.
    """
    cells = {cell.name: run.scores.get(cell) for cell in protocol.cells() if not cell.is_clean}
    lower = metric.lower_is_better
    corruption = worst_of(corruption_scores(run, protocol), lower_is_better=lower)
    cell = worst_of(cells, lower_is_better=lower)
    return None if corruption is None or cell is None else (corruption, cell)


@dataclass(frozen=True)
class ClassScore:
    """A class's scores; what needs a missing cell is ``None``.

    Attributes:
        clean: On clean images.
        average: The protocol's mean.
        worst: The lowest mean of a corruption, which is the largest loss against clean.
        cell: The lowest score of a cell.
    """

    clean: float | None
    average: float | None = None
    worst: Extreme | None = None
    cell: Extreme | None = None

    @property
    def loss(self) -> float | None:
        """What the worst corruption takes from the clean score."""
        if self.clean is None or self.worst is None:
            return None
        return self.clean - self.worst.score

    @property
    def is_never_found(self) -> bool:
        """Whether it is found neither on clean images nor under any corruption."""
        return self.clean == 0 and self.average == 0


def summarise_classes(run: Run, protocol: Protocol) -> dict[int, ClassScore]:
    """Scores by class index, of the classes that occur in the ground truth; empty without any."""
    scores = run.class_scores
    if not scores:
        return {}
    occurs = np.isfinite(next(iter(scores.values())))  # the truth is one for all cells
    is_whole = all(cell.is_clean for cell in run.missing(protocol))

    def of_class(index: int) -> ClassScore:
        clean = float(scores[CLEAN][index]) if CLEAN in scores else None
        if not is_whole:
            return ClassScore(clean)
        cells = {cell: float(scores[cell][index]) for cell in protocol.cells() if not cell.is_clean}
        means = {name: mean_over(cells, _cells(protocol, name)) for name in protocol.corruptions}
        return ClassScore(
            clean,
            mean_of(list(means.values())),
            worst_of(means, lower_is_better=False),
            worst_of({cell.name: one for cell, one in cells.items()}, lower_is_better=False),
        )

    return {int(index): of_class(index) for index in np.flatnonzero(occurs)}


def _cells(protocol: Protocol, corruption: str) -> list[Cell]:
    return [Cell(corruption, severity) for severity in protocol.severities[corruption]]
