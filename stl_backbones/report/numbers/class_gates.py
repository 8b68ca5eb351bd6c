"""Numbers that gates ask for by class, ``class:person:fog/5``, or as a breaking point."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions.catalog import cell_at
from stl_backbones.errors import InputError, UnknownNameError, unknown_name
from stl_backbones.metrics import (
    ClassScores,
    IncompleteCellsError,
    Replicates,
    breaking_intervals,
    percentile_intervals,
    retention,
    robust_mean,
)
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.numbers.aggregates import Aggregate, Findings
from stl_backbones.report.numbers.breaking import class_points, points_of
from stl_backbones.report.numbers.classes import class_scores, main_key, occurring
from stl_backbones.report.numbers.keys import Key, average_key, retention_key
from stl_backbones.report.read.class_names import find_class
from stl_backbones.report.read.metrics import CellMetric
from stl_backbones.report.read.runs import Run

EVERY = "*"  # in place of a class's name
# METRIC:class:NAME:PLACE, METRIC:break:CORRUPTION, METRIC:class:NAME:break:CORRUPTION
_FORM = re.compile(r"(?:(?!class:|break:)(\w+):)?(?:class:(.+?):)?(break:)?([\w./+@%-]+)")
_SEVERITY = "severity"


@dataclass(frozen=True)
class ClassName:
    """The parts of a name of classes or breaking points.

    Attributes:
        metric: Key of the score, empty for the task's own.
        class_name: The class, `EVERY`, or empty.
        breaks: Whether it is a breaking point.
        place: Corruption, group, cell, ``'average'``, ...
    """

    metric: str
    class_name: str
    breaks: bool
    place: str


def split_class_name(name: str) -> ClassName | None:
    """Read ``METRIC:class:NAME:PLACE`` and its kin; ``None`` for other names."""
    match = _FORM.fullmatch(name)
    if match is None or not (match[2] or match[3]):
        return None
    metric, class_name, breaks, place = match.groups()
    return ClassName(metric or "", class_name or "", bool(breaks), place)


def gate_aggregates(name: str, run: Run, findings: Findings) -> dict[str, Aggregate] | None:
    """The numbers that a name of classes or breaking points means.

    Returns:
        Class -> number, the empty name for all classes together; ``None`` for other names.

    Raises:
        KeyError: If a metric, class, corruption or place is unknown.
        ValueError: If breaking points need a bound, or the model has no scores by class.
    """
    parts = split_class_name(name)
    if parts is None:
        return None
    key, class_name, place = parts.metric or None, parts.class_name, parts.place
    if parts.breaks:
        return _breaking(name, key, class_name or None, place, run, findings)
    known = findings.task.class_scores
    chosen = _class_key(name, key, findings)
    title = known[chosen]
    made = _place(name, place, findings)
    found = {}
    for index in _classes(name, class_name, run):
        own = run.class_names[index]
        scores = {cell: _of_class(class_scores(run, chosen, cell), index) for cell in run.classes}
        measured = {cell: one for cell, one in scores.items() if one is not None}
        found[own] = _make(f"{own}: {title}, {place}", partial(made, measured), "fraction",
                           percentile_intervals)  # fmt: skip
    return found


def _of_class(scores: ClassScores | None, index: int) -> Replicates | None:
    if scores is None:
        return None
    return np.append(scores.values[index], scores.resampled[:, index]).astype(np.float64)


def _place(
    name: str, place: str, findings: Findings
) -> Callable[[Mapping[Cell, Replicates]], Replicates]:
    """How a class's cells become the number of a place: a mean, a share of clean, or a cell."""
    protocol, levels = findings.protocol, findings.protocol.severities
    place = findings.task.aliases.get(place, place)
    cell = cell_at(place)
    if cell is not None and cell in protocol.cells():
        return partial(robust_mean, severities={cell.corruption: (cell.severity,)})
    whole: dict[str, Callable[[Mapping[Cell, Replicates]], Replicates]] = {
        "clean": partial(robust_mean, severities={CLEAN.corruption: (CLEAN.severity,)}),
    }
    if levels:
        whole[average_key(protocol).place] = partial(robust_mean, severities=levels)
        whole[retention_key(protocol).place] = partial(retention, severities=levels)
    if place in whole:
        return whole[place]
    try:
        chosen = protocol.choose([place])
    except UnknownNameError:
        raise UnknownNameError(
            f"--require {name}: unknown place '{place}'; expected one of {', '.join(whole)}, a "
            f"corruption or group of protocol '{protocol.name}', or CORRUPTION/SEVERITY"
        ) from None
    return partial(robust_mean, severities={one: levels[one] for one in chosen})


def _class_key(name: str, key: str | None, findings: Findings) -> str:
    known = findings.task.class_scores
    chosen = main_key(findings.task) if key is None else key
    if not known:
        raise InputError(f"--require {name}: task '{findings.task.name}' has no scores by class")
    if chosen not in known:
        raise unknown_name("score by class", chosen, known)
    return chosen


def _classes(name: str, class_name: str, run: Run) -> Sequence[int]:
    occurs = [int(index) for index in occurring(run)]
    if class_name == EVERY:
        if not occurs:
            raise InputError(f"--require {name}: '{run.label}' has no scores by class")
        return occurs
    index = find_class(class_name, run.provenance.classes, others=(EVERY,))
    if index not in occurs:
        raise InputError(
            f"--require {name}: class '{class_name}' does not occur in the ground truth"
        )
    return [index]


def _breaking(
    name: str, key: str | None, class_name: str | None, corruption: str, run: Run,
    findings: Findings,
) -> dict[str, Aggregate]:  # fmt: skip
    protocol, bound = findings.protocol, findings.bound
    if bound is None:
        raise InputError(
            f"--require {name} needs --breaking-point, the score below which a model is broken"
        )
    if corruption not in protocol.severities:
        raise unknown_name(f"corruption of protocol '{protocol.name}'", corruption,
                           protocol.corruptions)  # fmt: skip
    if class_name is None:
        points = points_of(run, protocol, corruption, bound, _metric(key, findings))
        columns = {"": 0}
    else:
        points = class_points(run, protocol, corruption, bound, _class_key(name, key, findings))
        columns = {run.class_names[index]: index
                   for index in _classes(name, class_name, run)}  # fmt: skip
    return {
        own: Aggregate(
            Key("break", corruption), f"Breaking point, {corruption}", "detail",
            None if points is None else points.replicates[:, index] if own else points.replicates,
            (corruption,) if points is None else (), _SEVERITY,
            make_interval=_ends(breaking_intervals),
        )
        for own, index in columns.items()
    }  # fmt: skip


def _metric(key: str | None, findings: Findings) -> CellMetric:
    metrics = {one.key: one for one in findings.task.cells}
    if key is not None and key not in metrics:
        raise unknown_name("metric", key, metrics)
    return findings.task.main if key is None else metrics[key]


def _make(
    title: str,
    compute: Callable[[], Replicates],
    unit: str,
    intervals: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> Aggregate:
    replicates: Replicates | None = None
    missing: tuple[str, ...] = ()
    try:
        replicates = compute()
    except IncompleteCellsError as error:
        missing = tuple(cell.name for cell in error.missing)
    return Aggregate(Key("class"), title, "detail", replicates, missing, unit,
                     make_interval=_ends(intervals))  # fmt: skip


def _ends(
    intervals: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> Callable[[Replicates], tuple[float, float]]:
    """An interval of one number by what makes those of many."""

    def make(replicates: Replicates) -> tuple[float, float]:
        low, high = intervals(replicates)
        return float(low), float(high)

    return make


__all__ = ["EVERY", "ClassName", "gate_aggregates", "split_class_name"]
