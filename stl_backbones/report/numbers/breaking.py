"""Breaking points: the severity at which a score falls below a bound."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions.catalog import level_text
from stl_backbones.corruptions.protocols import Protocol
from stl_backbones.errors import InputError
from stl_backbones.metrics import ClassScores, Replicates, breaking_intervals, breaking_point
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.numbers.classes import class_scores
from stl_backbones.report.read.metrics import CellMetric
from stl_backbones.report.read.runs import Run

NOT_REACHED = "not reached"
_FORM = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*(%\s*of\s+clean)?\s*")


@dataclass(frozen=True)
class Bound:
    """A score that must not be fallen short of: absolute, or a share of the clean score."""

    number: float
    is_share: bool = False

    def __str__(self) -> str:
        return f"{100 * self.number:g}% of clean" if self.is_share else f"{self.number:g}"

    def of(self, clean: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """The bound beside clean scores."""
        return self.number * clean if self.is_share else np.full_like(clean, self.number)


def parse_bound(text: str) -> Bound:
    """Read ``'0.5'`` or ``'50% of clean'``; another form is a ValueError."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise InputError(
            "--breaking-point takes a score, such as 0.5, or a share of the clean one, such as "
            f"'50% of clean'; got '{text}'"
        )
    number, share = float(match[1]), match[2] is not None
    if share and not 0 < number <= 100:
        raise InputError(f"--breaking-point takes more than 0% of clean, to 100%; got '{text}'")
    return Bound(number / 100 if share else number, share)


def check_bound(bound: Bound, metric: CellMetric) -> None:
    """Refuse a bound that no score of the metric can miss or meet."""
    if not bound.is_share and metric.unit == "fraction" and not 0 < bound.number <= 1:
        raise InputError(
            f"--breaking-point takes fractions, 0.5 for 50 %, got '{bound}' for {metric.name}"
        )


@dataclass(frozen=True)
class Points:
    """Breaking points under one corruption.

    Attributes:
        corruption: The corruption.
        strongest: The highest severity that was measured.
        replicates: ``(1 + R, ...)`` of the data set and of each resample: a severity, 0 = clean;
            infinity if not reached; NaN if nothing was counted.
    """

    corruption: str
    strongest: float
    replicates: npt.NDArray[np.float64]

    @property
    def intervals(self) -> npt.NDArray[np.float64] | None:
        """``(2, ...)`` ends; ``None`` without resamples."""
        return breaking_intervals(self.replicates[1:]) if len(self.replicates) > 1 else None


def points_of(
    run: Run, protocol: Protocol, corruption: str, bound: Bound, metric: CellMetric
) -> Points | None:
    """Of the model's score; ``None`` unless clean images and a severity were measured."""
    scores = run.replicates.get(metric.key, {})
    sign = -1 if metric.lower_is_better else 1
    found = {cell.severity: sign * scores[cell] for cell in _cells(protocol, corruption)
             if cell in scores}  # fmt: skip
    limit = sign * bound.of(scores[CLEAN]) if CLEAN in scores else None
    return _points(corruption, found, limit)


def class_points(
    run: Run, protocol: Protocol, corruption: str, bound: Bound, key: str
) -> Points | None:
    """Of every class, ``(1 + R, K)``."""
    scores = {cell: class_scores(run, key, cell) for cell in _cells(protocol, corruption)}
    found = {cell.severity: _joined(one) for cell, one in scores.items() if one is not None}
    return _points(corruption, found, bound.of(found[0]) if 0 in found else None)


def _cells(protocol: Protocol, corruption: str) -> Sequence[Cell]:
    levels = sorted(protocol.severities[corruption])
    return [CLEAN, *(Cell(corruption, severity) for severity in levels)]


def _joined(scores: ClassScores) -> Replicates:
    return np.concatenate([scores.values[None], scores.resampled])


def _points(
    corruption: str,
    scores: dict[float, npt.NDArray[np.float64]],
    limit: npt.NDArray[np.floating] | None,
) -> Points | None:
    if limit is None or len(scores) < 2:
        return None
    levels = sorted(scores)
    stack = np.stack([scores[level] for level in levels])
    return Points(corruption, levels[-1], breaking_point(levels, stack, limit))


def in_words(value: float, corruption: str, interval: Sequence[float] | None = None) -> str:
    """For example ``'2.6 (2.1 to not reached)'``, or ``'180 m'`` where levels have a unit."""
    text = level_at(value, corruption)
    if interval is None or np.isnan([value, *interval]).any():
        return text
    low, high = (level_at(end, corruption) for end in interval)
    return text if low == high == text else f"{text} ({low} to {high})"


def level_at(value: float, corruption: str) -> str:
    """A breaking point in words: in the levels' unit where they have one, else the severity."""
    if np.isnan(value):
        return "n/a"
    if np.isinf(value):
        return NOT_REACHED
    if value < 1 and level_text(corruption, 1):
        return f"before {level_text(corruption, 1)}"  # clean images have no level in a unit
    return level_text(corruption, value) or f"{value:.1f}"


__all__ = ["NOT_REACHED", "Bound", "Points", "check_bound", "class_points", "in_words", "level_at",
           "parse_bound", "points_of"]  # fmt: skip
