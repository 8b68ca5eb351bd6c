"""Scores by class: means over severities, falls against clean, and where they are lowest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions.protocols import Protocol
from stl_backbones.metrics import ClassScores, mean_of, mean_over
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.numbers.summary import ROUNDING_OF_MEANS, Extreme, cells_of
from stl_backbones.report.read.metrics import TaskMetrics
from stl_backbones.report.read.runs import Run


def main_key(task: TaskMetrics) -> str:
    """The score by class that charts show; empty where the task has none."""
    return next(iter(task.class_scores), "")


def occurring(run: Run) -> npt.NDArray[np.intp]:
    """The classes that occur in the ground truth, which is one for all cells."""
    record = next(iter(run.classes.values()), None)
    return np.flatnonzero(record.truth) if record is not None else np.empty(0, np.intp)


def class_scores(run: Run, key: str, cell: Cell) -> ClassScores | None:
    """A score of all classes in a cell; ``None`` where it was not measured."""
    record = run.classes.get(cell)
    return None if record is None else record.scores.get(key)


def mean_class_scores(run: Run, key: str, cells: Sequence[Cell]) -> ClassScores | None:
    """Mean over cells, of every resample too; ``None`` if one was not measured."""
    found = [class_scores(run, key, cell) for cell in cells]
    known = [one for one in found if one is not None]
    if len(known) < len(found) or not known:
        return None
    values, resampled = known[0].values.copy(), known[0].resampled.copy()
    for one in known[1:]:
        values += one.values
        resampled += one.resampled
    return ClassScores(values / len(known), resampled / len(known))


def fall(before: ClassScores, after: ClassScores) -> ClassScores:
    """What is lost, in every resample of the same images."""
    return ClassScores(before.values - after.values, before.resampled - after.resampled)


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


def summarise_classes(
    run: Run, protocol: Protocol, key: str, classes: Iterable[int]
) -> dict[int, ClassScore]:
    """A score of classes that occur, by class index; empty for a run without scores by class."""
    indices = np.fromiter(classes, np.intp)
    found = {cell: class_scores(run, key, cell) for cell in run.classes}
    scores = {cell: one.values[indices] for cell, one in found.items() if one is not None}
    if not scores:
        return {}
    clean = scores[CLEAN].tolist() if CLEAN in scores else [None] * len(indices)
    is_whole = all(cell.is_clean for cell in run.missing(protocol))
    if not is_whole or not protocol.corruptions:
        return dict(zip(indices.tolist(), map(ClassScore, clean), strict=True))
    means = {name: mean_over(scores, cells_of(protocol, name)) for name in protocol.corruptions}
    cells = {cell.name: scores[cell] for cell in protocol.cells() if not cell.is_clean}
    average = mean_of(list(means.values())).tolist()
    columns = zip(clean, average, _lowest(means), _lowest(cells), strict=True)
    return {index: ClassScore(*own) for index, own in zip(indices.tolist(), columns, strict=True)}


def _lowest(scores: Mapping[str, npt.NDArray[np.float64]]) -> list[Extreme | None]:
    """The lowest score of each class, NaN aside, of ``(classes,)`` scores by name."""
    table, names = np.stack(list(scores.values())), list(scores)
    lowest = np.fmin.reduce(table)
    tied = [np.flatnonzero(is_tied).tolist() for is_tied in (table - lowest <= ROUNDING_OF_MEANS).T]
    return [
        Extreme(score, tuple(names[index] for index in places)) if places else None
        for score, places in zip(lowest.tolist(), tied, strict=True)
    ]


def largest_falls(run: Run, protocol: Protocol, key: str) -> npt.NDArray[np.float64]:
    """``(classes,)`` largest fall of the mean of a measured corruption against clean.

    Minus infinity where nothing is known.
    """
    clean = class_scores(run, key, CLEAN)
    most = np.full(len(run.provenance.classes), -np.inf)
    for name in protocol.corruptions:
        mean = mean_class_scores(run, key, cells_of(protocol, name))
        if clean is not None and mean is not None:
            most = np.fmax(most, clean.values - mean.values)
    return most


__all__ = [
    "ClassScore",
    "class_scores",
    "fall",
    "largest_falls",
    "main_key",
    "mean_class_scores",
    "occurring",
    "summarise_classes",
]
