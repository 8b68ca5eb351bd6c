"""A report as a release gate: bounds that numbers have to keep."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from stl_backbones.corruptions.catalog import cell_at
from stl_backbones.errors import InputError, UnknownNameError
from stl_backbones.report.numbers.aggregates import (
    Aggregate,
    Aggregates,
    Findings,
    cell_aggregate,
)
from stl_backbones.report.numbers.breaking import NOT_REACHED
from stl_backbones.report.numbers.class_gates import gate_aggregates
from stl_backbones.report.numbers.format import MISSING_SHOWN, NOT_COUNTED
from stl_backbones.report.read.runs import Run, wanted_cells
from stl_backbones.report.read.text import listed

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt
}  # fmt: skip
_EXPRESSION = re.compile(
    r"\s*([\w:/.+@%-]+?|(?:\w+:)?class:.+?:[\w:/.+@%-]+?)\s*(>=|<=|>|<)\s*(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)\s*"
)
_ROUNDING = 1e-12  # a mean of fractions that is 0.6 in truth may be 0.5999999999999999


@dataclass(frozen=True)
class Requirement:
    """A bound: what has to keep it (``'fog/5'``), a key of `OPERATORS`, and the number.

    The number is a fraction unless the metric has a unit.
    """

    name: str
    comparison: str
    bound: float

    def __str__(self) -> str:
        return f"{self.name} {self.comparison} {self.bound:g}"


@dataclass(frozen=True)
class Verdict:
    """Whether a model keeps a bound, and in words what was found."""

    requirement: Requirement
    label: str
    passed: bool
    found: str

    def __str__(self) -> str:
        state = "passed" if self.passed else "FAILED"
        return f"{state}: {self.label}: {self.requirement}: {self.found}"


def parse_requirement(text: str) -> Requirement:
    """Read ``NAME OP NUMBER``; another form is a ValueError."""
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        raise InputError(
            f"--require takes 'NAME OP NUMBER' with OP one of {', '.join(OPERATORS)}, "
            f"for example 'average >= 0.60'; got '{text}'"
        )
    name, comparison, bound = match.groups()
    return Requirement(name, comparison, float(bound))


def judge(
    requirements: Sequence[Requirement], findings: Findings, *, by_interval: bool = False
) -> tuple[Verdict, ...]:
    """Hold every model against every bound; what was not measured fails.

    Args:
        requirements: The bounds.
        findings: The models.
        by_interval: Judge by the unfavourable end of the 95 % interval: the lower one for ``>=``.

    Raises:
        KeyError: If a name is unknown.
        ValueError: If a bound can be no fraction, or intervals are needed and there are none.
    """
    verdicts = []
    for requirement in requirements:
        for run, found in findings.pairs:
            several = gate_aggregates(requirement.name, run, findings)
            ones = several or {"": find_number(requirement.name, run, found, findings)}
            own = {}
            for name, one in sorted(ones.items(), key=partial(_badness, requirement)):
                if one.unit == "fraction" and requirement.bound > one.highest:
                    raise InputError(
                        f"--require takes fractions, 0.60 for 60 %; got '{requirement}', which no "
                        "score can miss or meet"
                    )
                own[name] = _verdict(requirement, run.label, one, by_interval=by_interval)
            verdicts.append(_joined(own))
    return tuple(verdicts)


def _badness(requirement: Requirement, named: tuple[str, Aggregate]) -> float:
    """What falls with a number's distance to the bound; least for what has no number."""
    value = named[1].value
    if value is None or math.isnan(value):
        return -math.inf
    return value if requirement.comparison.startswith(">") else -value


def _joined(verdicts: Mapping[str, Verdict]) -> Verdict:
    """One verdict on all classes: kept if each keeps it; the worst that do not are named."""
    first = next(iter(verdicts.values()))
    if len(verdicts) == 1:
        return first
    broken = {name: one.found for name, one in verdicts.items() if not one.passed}
    if not broken:
        return replace(first, found=f"kept by all {len(verdicts)} classes")
    named = listed([f"{name} {found}" for name, found in broken.items()], limit=MISSING_SHOWN)
    return replace(
        first, passed=False, found=f"not kept by {len(broken)} of {len(verdicts)} classes: {named}"
    )


def find_number(name: str, run: Run, found: Aggregates, findings: Findings) -> Aggregate:
    """Look a name up: an aggregate, a metric (of clean images), or a cell."""
    if name in found:
        try:
            return found[name]
        except UnknownNameError as error:
            raise UnknownNameError(f"--require {name}: {error.args[0]}") from error
    task, protocol = findings.task, findings.protocol
    metrics = {one.key: one for one in task.cells}
    head, colon, tail = name.rpartition(":")
    cell = cell_at(tail)
    metric = metrics.get(head) if colon else task.main
    if metric is not None and cell in wanted_cells(protocol, task):
        return cell_aggregate(run, metric, cell)
    hint = (
        "; of the corruptions that were chosen the mean is 'chosen'"
        if name == "average" and "chosen" in found
        else ""
    )
    known = [*task.aliases, *(key for key in found if ":" not in key)]
    raise UnknownNameError(
        f"--require knows no '{name}' under protocol '{protocol.name}'; expected one of "
        f"{', '.join(known)}, CORRUPTION/SEVERITY"
        + ", class:CLASS:NAME, break:CORRUPTION"
        + (
            ""
            if len(metrics) == 1
            else f", or {', '.join(list(metrics)[1:])}, alone or as METRIC:NAME"
        )
        + hint
    )


def _verdict(requirement: Requirement, label: str, one: Aggregate, *, by_interval: bool) -> Verdict:
    value, interval = one.value, one.interval
    if value is None:
        missing = listed(one.missing, limit=MISSING_SHOWN)
        return Verdict(requirement, label, passed=False, found=f"not measured: {missing}")
    if by_interval and interval is None:
        raise InputError("an interval's bound needs resamples: expected --resamples of at least 1")
    lower = requirement.comparison.startswith(">")
    judged = interval[0 if lower else 1] if by_interval and interval is not None else value
    if math.isclose(judged, requirement.bound, rel_tol=0, abs_tol=_ROUNDING):
        judged = requirement.bound
    # NaN, where nothing was counted, compares as false: it fails.
    passed = OPERATORS[requirement.comparison](judged, requirement.bound)
    text = _number(value)
    if interval is not None and not math.isnan(interval[0]) and set(interval) != {value}:
        text += f" (95 % interval {_number(interval[0])} to {_number(interval[1])})"
    if by_interval:
        text += f", judged by its {'lower' if lower else 'upper'} bound"
    return Verdict(requirement, label, passed=bool(passed), found=text)


def _number(value: float) -> str:
    if math.isinf(value):  # a breaking point
        return NOT_REACHED
    return NOT_COUNTED if math.isnan(value) else f"{value:.6g}"
