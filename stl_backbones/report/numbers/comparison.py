"""Two models on the same images: paired differences with interval and p value."""

from __future__ import annotations

from dataclasses import dataclass

from stl_backbones.errors import InputError
from stl_backbones.metrics import paired_p_value, percentile_interval
from stl_backbones.report.numbers.aggregates import Aggregate, Findings
from stl_backbones.report.read.runs import Run

PAIRED_NOTE = (
    "Difference: the second model's number minus the first's. Both are scored on the same images "
    "in every resample, so the interval is of the difference itself. p: two-sided, twice the "
    "share of resamples on the rarer side of zero, one resample added; not corrected for the "
    "number of rows."
)


@dataclass(frozen=True)
class Difference:
    """What the second model has more than the first.

    Attributes:
        name: The aggregate's, as in CSV files.
        first: The first model's aggregate.
        second: The second model's.
        value: Second minus first; ``None`` if one of them is missing.
        interval: Its 95 % interval.
        p_value: Two-sided; 1 for equal models, NaN if a resample has no score.
    """

    name: str
    first: Aggregate
    second: Aggregate
    value: float | None
    interval: tuple[float, float] | None
    p_value: float | None


def compare(findings: Findings) -> tuple[Difference, ...]:
    """Compare two models, read with resamples, in every aggregate.

    Raises:
        ValueError: If they are not two, were scored on other images, or there are no resamples.
    """
    if len(findings.runs) != 2:
        raise InputError(f"--compare takes two folders, got {len(findings.runs)}")
    _check_paired(*findings.runs)
    first, second = findings.aggregates
    return tuple(_difference(name, first[name], second[name]) for name in first)


def _check_paired(first: Run, second: Run) -> None:
    pairs = {"": (first.images, second.images)} if first.scores and second.scores else {}
    for name in first.sets.keys() & second.sets.keys():
        pairs[f" in set {name}"] = (first.sets[name].images, second.sets[name].images)
    for where, (mine, theirs) in sorted(pairs.items()):
        if mine != theirs:
            raise InputError(
                f"--compare pairs images: '{first.label}' and '{second.label}' hold other "
                f"images{where}, or in another order; measure one of them again"
            )


def _difference(name: str, first: Aggregate, second: Aggregate) -> Difference:
    if first.replicates is None or second.replicates is None:
        return Difference(name, first, second, None, None, None)
    differences = second.replicates - first.replicates
    if len(differences) < 2:
        raise InputError("--compare needs resamples: expected --resamples of at least 1")
    drawn = differences[1:]
    interval, p_value = percentile_interval(drawn), paired_p_value(drawn)
    return Difference(name, first, second, float(differences[0]), interval, p_value)
