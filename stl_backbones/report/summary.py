"""From a run's cells to the numbers of its row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from stl_backbones.corruptions.catalog import Protocol
from stl_backbones.metrics import IncompleteCellsError, mean_over, retention, robust_mean
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.cell_metrics import ClassScores
from stl_backbones.report.runs import Run

_T = TypeVar("_T")


@dataclass(frozen=True)
class Summary:
    """One model's row; every number a fraction, ``None`` where cells are missing.

    Attributes:
        clean: Score on clean images.
        average: Mean over severities per corruption, then over corruptions.
        retention: Average divided by clean; NaN if the clean score is zero.
        corruptions: Corruption -> mean over the protocol's severities.
    """

    clean: float | None
    average: float | None
    retention: float | None
    corruptions: Mapping[str, float | None]

    @property
    def weakest(self) -> tuple[str, float] | None:
        """Corruption of the lowest mean; ``None`` unless all of them were measured."""
        known = [(name, mean) for name, mean in self.corruptions.items() if mean is not None]
        if len(known) < len(self.corruptions) or np.isnan([mean for _, mean in known]).any():
            return None
        return min(known, key=lambda pair: pair[1])


def summarise(run: Run, protocol: Protocol) -> Summary:
    """Compute a run's row.

    References:
        The columns of Tables 12 and 13 of the STL paper; retention as in its Table 2.
    """
    clean = run.scores.get(CLEAN)
    average = _or_none(partial(robust_mean, run.scores, protocol.severities))
    kept = (
        float("nan")  # a share of nothing
        if clean == 0
        else _or_none(partial(retention, run.scores, protocol.severities))
    )
    return Summary(
        clean=clean,
        average=average,
        retention=None if average is None else kept,
        corruptions={
            name: _or_none(partial(mean_over, run.scores, _cells(protocol, name)))
            for name in protocol.corruptions
        },
    )


@dataclass(frozen=True)
class ClassSummary:
    """Scores of one class under one model, as fractions; ``None`` where cells are missing.

    Attributes:
        clean: Score on clean images.
        average: The protocol's mean of this class's score.
        worst: Lowest mean over severities, of `worst_corruption`.
        worst_corruption: Where it breaks.
    """

    clean: float | None
    average: float | None
    worst: float | None
    worst_corruption: str | None


def summarise_classes(run: Run, protocol: Protocol) -> dict[int, ClassSummary]:
    """Compute scores by class, for the classes that occur in the ground truth.

    Returns:
        Class index -> its scores; empty where the task has none.
    """
    if not run.class_scores:
        return {}
    occurs = np.isfinite(next(iter(run.class_scores.values())))  # the truth is one for all cells
    clean = run.class_scores.get(CLEAN)
    means: ClassScores | None = None  # (corruptions, classes)
    if not [cell for cell in run.missing(protocol) if not cell.is_clean]:
        means = np.stack(
            [
                np.mean([run.class_scores[cell] for cell in _cells(protocol, name)], axis=0)
                for name in protocol.corruptions
            ]
        )
    return {
        int(index): _class_summary(int(index), clean, means, protocol=protocol)
        for index in np.flatnonzero(occurs)
    }


def _class_summary(
    index: int, clean: ClassScores | None, means: ClassScores | None, *, protocol: Protocol
) -> ClassSummary:
    if means is None:
        return ClassSummary(None if clean is None else float(clean[index]), None, None, None)
    worst = int(np.argmin(means[:, index]))
    return ClassSummary(
        clean=None if clean is None else float(clean[index]),
        average=float(means[:, index].mean()),
        worst=float(means[worst, index]),
        worst_corruption=protocol.corruptions[worst],
    )


def _cells(protocol: Protocol, corruption: str) -> list[Cell]:
    return [Cell(corruption, severity) for severity in protocol.severities[corruption]]


def _or_none(compute: Callable[[], _T]) -> _T | None:
    try:
        return compute()
    except IncompleteCellsError:
        return None
