"""One sentence per model: where it is weakest, by how much against clean, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stl_backbones.metrics import (
    LEVEL,
    ClassScores,
    IncompleteCellsError,
    mean_over,
    percentile_interval,
    percentile_intervals,
)
from stl_backbones.records import CLEAN
from stl_backbones.report.numbers.aggregates import Findings
from stl_backbones.report.numbers.classes import (
    class_scores,
    fall,
    main_key,
    mean_class_scores,
    occurring,
)
from stl_backbones.report.numbers.format import full_name, quantity
from stl_backbones.report.numbers.summary import cells_of
from stl_backbones.report.read.runs import Run

LEAST_IMAGES = 10  # a class on fewer can lose everything by chance
MARGIN = 0.05  # a class is named if it surely loses five points more than classes do on average


@dataclass(frozen=True)
class Weakness:
    """Where a model is weakest.

    Attributes:
        corruption: Under which corruption, mean over severities.
        class_name: On which class; empty where none stands out.
        score_name: What the numbers are.
        unit: Of the numbers.
        clean: The score on clean images.
        score: The score under the corruption.
        interval: 95 % interval of the loss; ``None`` without resamples, NaN where it is unknown.
        average_loss: Mean loss of the classes under the corruption, where a class is named.
    """

    corruption: str
    class_name: str
    score_name: str
    unit: str
    clean: float
    score: float
    interval: tuple[float, float] | None
    average_loss: float | None = None


def weakest_place(run: Run, findings: Findings) -> Weakness | None:
    """A class under a corruption, if it loses more than classes do on average; else a corruption.

    The class is chosen by the lower end of the interval of what it loses beyond the average loss of
    the classes under the same corruption, so that a class of few images does not win by chance.
    ``None`` where nothing is lost, or clean images or all corruptions lack a cell.
    """
    return _weakest_class(run, findings) or _weakest_corruption(run, findings)


def overview(findings: Findings, *, precision: int) -> dict[str, str]:
    """Model -> its sentence."""
    return {
        run.label: _sentence(weakest_place(run, findings), run, findings, precision=precision)
        for run in findings.runs
        if run.swept
    }


def _weakest_class(run: Run, findings: Findings) -> Weakness | None:
    key = main_key(findings.task)
    clean = class_scores(run, key, CLEAN)
    if clean is None:
        return None
    occurs = occurring(run)
    images = run.classes[CLEAN].images[occurs]
    best, found = MARGIN, None
    for name, mean in _corruption_means(run, findings, key):
        lost = fall(clean, mean)
        sure = np.where(images >= LEAST_IMAGES, _least_excess(lost, occurs), -np.inf)
        first = int(np.nanargmax(sure)) if np.isfinite(sure).any() else 0
        if len(sure) and sure[first] > best:
            best, found = float(sure[first]), (name, int(occurs[first]), mean, lost)
    if found is None:
        return None
    name, index, mean, lost = found
    ends = percentile_intervals(lost.resampled[:, index])
    return Weakness(
        name,
        run.class_names[index],
        findings.task.class_scores[key],
        "fraction",
        float(clean.values[index]),
        float(mean.values[index]),
        (float(ends[0]), float(ends[1])) if len(lost.resampled) else None,
        float(np.nanmean(lost.values[occurs])),
    )


def _corruption_means(run: Run, findings: Findings, key: str) -> Iterator[tuple[str, ClassScores]]:
    """Of the corruptions of which every cell was measured."""
    for name in findings.protocol.corruptions:
        mean = mean_class_scores(run, key, cells_of(findings.protocol, name))
        if mean is not None:
            yield name, mean


def _least_excess(lost: ClassScores, occurs: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """What each class surely loses beyond the average; the value itself without resamples."""
    if not len(lost.resampled):
        own = lost.values[occurs]
        beyond: npt.NDArray[np.float64] = own - np.nanmean(own)
        return beyond
    resampled = lost.resampled[:, occurs]
    known = ~np.isnan(resampled)
    average = np.where(known, resampled, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    low: npt.NDArray[np.float64] = percentile_intervals(resampled - average[:, None])[0]
    return low


def _weakest_corruption(run: Run, findings: Findings) -> Weakness | None:
    main, protocol = findings.task.main, findings.protocol
    scores = run.replicates.get(main.key, {})
    sign = -1 if main.lower_is_better else 1
    worst, found = 0.0, None
    for name in protocol.corruptions if CLEAN in scores else ():
        try:
            mean = mean_over(scores, cells_of(protocol, name))
        except IncompleteCellsError:
            continue
        lost = sign * (scores[CLEAN] - mean)
        if lost[0] > worst:  # false for NaN
            worst, found = float(lost[0]), (name, float(mean[0]), lost)
    if found is None:
        return None
    name, score, lost = found
    interval = percentile_interval(lost[1:]) if len(lost) > 1 else None
    clean = float(scores[CLEAN][0])
    return Weakness(name, "", main.name, main.unit, clean, score, interval)


def _sentence(found: Weakness | None, run: Run, findings: Findings, *, precision: int) -> str:
    if found is None:
        if not findings.protocol.corruptions:
            return "Where it is weakest is not known: clean images alone were scored."
        if run.missing(findings.protocol):
            return "Where it is weakest is not known: cells are missing."
        return f"No corruption takes from its {findings.task.main.name} on average."

    def number(value: float) -> str:
        return quantity(value, found.unit, precision)

    is_share = found.unit == "fraction"
    unit, points = ("%", "points") if is_share else (found.unit, found.unit)
    lost = found.clean - found.score
    side = "below" if lost > 0 else "above"
    on = f" on {found.class_name}" if found.class_name else ""
    is_part = bool(run.missing(findings.protocol))
    first = "Of the corruptions that are measured, weakest" if is_part else "Weakest"
    sentence = (
        f"{first}{on} under {_inline(found.corruption)}: {found.score_name} "
        f"{number(found.score)} {unit}, {number(abs(lost))} {points} {side} its clean "
        f"{number(found.clean)} {unit} ({_how_sure(found, precision)})"
    )
    if found.average_loss is not None:
        sentence += f"; classes lose {number(found.average_loss)} {points} there on average"
    elif len(occurring(run)) > 1:
        sentence += "; no single class stands out"
    return sentence + "."


def _how_sure(found: Weakness, precision: int) -> str:
    if found.interval is None:
        return "no interval: made without resamples"
    if math.isnan(found.interval[0]):
        return "too few images for an interval"
    low, high = (quantity(end, found.unit, precision) for end in found.interval)
    return f"{100 * LEVEL:.0f} % interval {low} to {high}"


def _inline(name: str) -> str:
    words = full_name(name)
    return words if words.startswith("JPEG") else words.lower()


__all__ = ["Weakness", "overview", "weakest_place"]
