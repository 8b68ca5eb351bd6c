"""From a run's cells to the numbers of its row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import isnan

import numpy as np

from stl_backbones.corruptions.catalog import Protocol
from stl_backbones.metrics import IncompleteCellsError, mean_over, retention, robust_mean
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.read.metrics import CellMetric
from stl_backbones.report.read.runs import Run


def summarise(run: Run, protocol: Protocol) -> dict[str, float | None]:
    """Compute a run's row: ``'clean'``, ``'average'``, ``'retention'``, and corruptions by name.

    Returns:
        Key -> number; ``None`` where cells are missing. Retention is NaN if the clean score is 0.

    References:
        The columns of Tables 12 and 13 of the STL paper; retention as in its Table 2.
    """
    scores, levels = run.scores, protocol.severities
    return {
        "clean": scores.get(CLEAN),
        "average": _or_none(partial(robust_mean, scores, levels)),
        "retention": _or_none(partial(retention, scores, levels)),
        **{
            name: _or_none(partial(mean_over, scores, _cells(protocol, name)))
            for name in protocol.corruptions
        },
    }


def weakest(
    row: Mapping[str, float | None], protocol: Protocol, metric: CellMetric
) -> tuple[str, float] | None:
    """Corruption of the worst mean of a row; ``None`` unless all of them were measured."""
    means = {name: row[name] for name in protocol.corruptions}
    known = {name: mean for name, mean in means.items() if mean is not None and not isnan(mean)}
    if len(known) < len(means):
        return None
    worst = (max if metric.lower_is_better else min)(known, key=lambda name: known[name])
    return worst, known[worst]


def summarise_classes(run: Run, protocol: Protocol) -> dict[int, dict[str, float | str | None]]:
    """Compute scores by class, for the classes that occur in the ground truth.

    Returns:
        Class index -> ``'clean'``; ``'average'``, the protocol's mean of the class's score;
        ``'worst'``, its lowest mean over severities, and the corruption that it is ``'under'``.
        What needs a missing cell is ``None`` or not there. Empty where there are no such scores.
    """
    scores = run.class_scores
    if not scores:
        return {}
    occurs = np.isfinite(next(iter(scores.values())))  # the truth is one for all cells
    found: dict[int, dict[str, float | str | None]] = {
        int(index): {"clean": float(scores[CLEAN][index]) if CLEAN in scores else None}
        for index in np.flatnonzero(occurs)
    }
    if not [cell for cell in run.missing(protocol) if not cell.is_clean]:
        names = protocol.corruptions
        means = np.stack(  # (corruptions, classes)
            [np.mean([scores[cell] for cell in _cells(protocol, name)], axis=0) for name in names]
        )
        for index, row in found.items():
            worst = int(np.argmin(means[:, index]))
            row["average"] = float(means[:, index].mean())
            row["worst"], row["under"] = float(means[worst, index]), names[worst]
    return found


def _cells(protocol: Protocol, corruption: str) -> list[Cell]:
    return [Cell(corruption, severity) for severity in protocol.severities[corruption]]


def _or_none(compute: Callable[[], float]) -> float | None:
    try:
        return compute()
    except IncompleteCellsError:
        return None
