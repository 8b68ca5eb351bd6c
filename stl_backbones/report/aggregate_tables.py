"""Aggregates with their intervals, paired differences, and bounds kept or not, as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from stl_backbones.metrics import LEVEL
from stl_backbones.report.aggregates import Aggregate, Place
from stl_backbones.report.cells import Draws
from stl_backbones.report.comparison import PAIRED_NOTE, Difference
from stl_backbones.report.numbers import MISSING, NOT_COUNTED, quantity, with_interval
from stl_backbones.report.requirements import Verdict
from stl_backbones.report.runs import Run
from stl_backbones.report.table import Column, Row, Table

_TITLES: Mapping[Place, str] = {"summary": "Aggregates", "corruption": "Aggregates by corruption"}


def interval_note(draws: Draws) -> str:
    """How the intervals were made; empty if there are none."""
    if not draws.resamples:
        return ""
    return (
        f"In brackets: {100 * LEVEL:.0f} % interval, percentiles of {draws.resamples} bootstrap "
        f"resamples of the images, the same ones in every cell (seed {draws.seed}). It tells how "
        "far other images of the same kind would move the number, and nothing of other training "
        "runs."
    )


def aggregate_table(
    runs: Sequence[Run],
    found: Sequence[Mapping[str, Aggregate]],
    place: Place,
    *,
    draws: Draws,
    precision: int,
) -> Table:
    """One row per aggregate, one column per model."""
    columns = tuple(
        Column(str(index), run.label, "Value and interval", better="neither")
        for index, run in enumerate(runs)
    )
    swept = any(run.swept for run in runs)
    keys = [key for key, one in found[0].items() if one.place == place]
    rows = tuple(
        Row(
            _heading(found[0][key]),
            {
                str(index): with_interval(
                    one[key].value, one[key].interval, one[key].unit, precision
                )
                for index, one in enumerate(found)
            },
        )
        for key in keys
        if any(one[key].value is not None or (swept and not one[key].is_absent) for one in found)
    )
    note = interval_note(draws)
    return Table(
        f"{_TITLES[place]} (%, NLL in nats)" if _has_nats(found) else f"{_TITLES[place]} (%)",
        "",
        columns,
        rows,
        rows_compete=False,
        notes=(note,) if note else (),
    )


def _has_nats(found: Sequence[Mapping[str, Aggregate]]) -> bool:
    return any(one.unit == "nats" for one in found[0].values())


def _heading(aggregate: Aggregate) -> str:
    return f"{aggregate.title} (lower is better)" if aggregate.lower_is_better else aggregate.title


def comparison_table(
    runs: Sequence[Run], differences: Sequence[Difference], *, precision: int
) -> Table:
    """One row per aggregate that both models have: both, their difference, p."""
    first, second = (run.label for run in runs)
    columns = (
        Column("first", first, "The first model"),
        Column("second", second, "The second model"),
        Column("difference", "Difference", "Second minus first, with its interval"),
        Column("p", "p", "Two-sided p value of the difference"),
    )
    rows = tuple(
        Row(
            _heading(one.first),
            {
                "first": quantity(one.first.value, one.first.unit, precision),
                "second": quantity(one.second.value, one.first.unit, precision),
                "difference": _signed(one, precision),
                "p": _p_value(one),
            },
        )
        for place in _TITLES
        for one in differences
        if one.first.place == place and not (one.first.value is None and one.second.value is None)
    )
    unit = "%, NLL in nats" if any(one.first.unit == "nats" for one in differences) else "%"
    return Table(
        f"Paired difference ({unit}): {second} minus {first}",
        "",
        columns,
        rows,
        rows_compete=False,
        notes=(PAIRED_NOTE,),
    )


def _signed(one: Difference, precision: int) -> str:
    text = with_interval(one.value, one.interval, one.first.unit, precision)
    known = one.value is not None and one.value > 0
    return f"+{text}" if known and float(text.partition(" ")[0]) > 0 else text


def _p_value(one: Difference) -> str:
    if one.p_value is None or one.first.replicates is None:
        return MISSING
    if math.isnan(one.p_value):
        return NOT_COUNTED
    smallest = 2 / len(one.first.replicates)  # what this many resamples can tell
    return f"{'<= ' if one.p_value <= smallest else ''}{one.p_value:.3f}"


def requirement_table(verdicts: Sequence[Verdict]) -> Table:
    """One row per model and bound."""
    columns = (
        Column("label", "Model", "The model"),
        Column("state", "State", "Whether the bound is kept"),
        Column("found", "Found", "What was found"),
    )
    rows = tuple(
        Row(
            str(one.requirement),
            {
                "label": one.label,
                "state": "passed" if one.passed else "FAILED",
                "found": one.found,
            },
        )
        for one in verdicts
    )
    return Table("Requirements", "Bound", columns, rows, rows_compete=False)
