"""Where a run is weakest: corruption and cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

from stl_backbones.corruptions.protocols import Protocol
from stl_backbones.metrics import mean_over
from stl_backbones.records import Cell
from stl_backbones.report.read.metrics import CellMetric
from stl_backbones.report.read.runs import Run

ROUNDING_OF_MEANS = 1e-12  # means of equal scores may differ in the last digits


def corruption_scores(run: Run, protocol: Protocol) -> dict[str, float | None]:
    """Mean over severities of each corruption of the protocol; ``None`` where cells are missing."""
    means = {}
    for name in protocol.corruptions:
        cells = cells_of(protocol, name)
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
    tied = tuple(name for name, score in counted.items() if abs(score - worst) <= ROUNDING_OF_MEANS)
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


def cells_of(protocol: Protocol, corruption: str) -> list[Cell]:
    """The cells of one corruption."""
    return [Cell(corruption, severity) for severity in protocol.severities[corruption]]
