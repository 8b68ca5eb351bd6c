"""The tables that every task has: by corruption and severity, aggregates, comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from stl_backbones.corruptions.protocols import Protocol
from stl_backbones.metrics import LEVEL
from stl_backbones.records import Cell
from stl_backbones.report.numbers.aggregates import Aggregate, Aggregates, Findings, Place
from stl_backbones.report.numbers.comparison import PAIRED_NOTE, Difference
from stl_backbones.report.numbers.format import (
    MARKS_NOTE,
    MISSING,
    NOT_COUNTED,
    SHORT_NAMES,
    full_name,
    quantity,
    with_interval,
)
from stl_backbones.report.numbers.keys import CLEAN_KEY, Key, average_key, retention_key
from stl_backbones.report.numbers.requirements import Verdict
from stl_backbones.report.read.metrics import CellMetric, TaskMetrics
from stl_backbones.report.read.runs import Run, stopped_mark
from stl_backbones.report.sections import Column, Row, Table, Value

AVERAGE_MEANING = "Mean over severities per corruption, then over corruptions"
_TITLES: Mapping[Place, str] = {"summary": "Aggregates", "corruption": "Aggregates by corruption"}


def score_column(
    task: TaskMetrics, metric: CellMetric, key: Key, title: str, meaning: str, group: str = ""
) -> Column:
    """A column of a metric's aggregates, `AVERAGE` for example; see `Column`."""
    csv = f"{key.place}_{metric.key}_{metric.unit}"
    own = key.of(task, metric)
    return Column(own.text, title, meaning, group, metric.unit, metric.better, csv)


def size_column(key: Literal["params", "macs", "encoder"], title: str, meaning: str) -> Column:
    """A column of a model's size."""
    csv = {
        "params": "parameters_millions",
        "macs": "macs_billions",
        "encoder": "encoder_parameters_millions",
    }
    return Column(key, title, meaning, unit="plain", better="neither", csv=csv[key])


def corruption_columns(
    task: TaskMetrics, metric: CellMetric, protocol: Protocol
) -> tuple[Column, ...]:
    """The protocol's corruptions under its groups."""
    return tuple(
        score_column(task, metric, Key("corruption", name),
                     SHORT_NAMES.get(name, full_name(name)), full_name(name), full_name(group))
        for group, names in protocol.columns.items()
        for name in names
    )  # fmt: skip


def main_columns(task: TaskMetrics, protocol: Protocol) -> tuple[Column, ...]:
    """Clean, average, retention where there is one, and the corruptions: as in Table 13."""
    main, wording = task.main, task.wording
    share = retention_key(protocol)
    kept = Column(share.text, wording.short_retention, f"{wording.average} divided by clean",
                  better=main.better, csv=f"{share.place}_fraction")  # fmt: skip
    return (
        score_column(task, main, CLEAN_KEY, "Clean", f"{main.name} on clean images"),
        score_column(task, main, average_key(protocol), wording.short_average, AVERAGE_MEANING),
        *((kept,) if main.has_retention else ()),
        *corruption_columns(task, main, protocol),
    )


def main_table(
    findings: Findings, columns: Sequence[Column], published: Sequence[Row], notes: Sequence[str]
) -> Table:
    """The table by corruption, in the layout of the paper's Table 12 or 13.

    Args:
        findings: One's own models.
        columns: Its columns, see `main_columns`.
        published: Published rows, set below.
        notes: What must be known of those.
    """
    main, protocol = findings.task.main, findings.protocol
    title = f"{main.name} ({main.shown_unit}), protocol {protocol.name}"
    table = model_table(findings, title, columns, file="table", notes=(MARKS_NOTE, *notes))
    unit = main.unit.replace("fraction", "percent")
    caption = f"{main.name} in {unit}, protocol {protocol.name} ({protocol.source})"
    return replace(table, rows=(*table.rows, *published), caption=caption)


def model_table(
    findings: Findings,
    title: str,
    columns: Sequence[Column],
    published: Sequence[Row] = (),
    *,
    file: str,
    notes: Sequence[str] = (),
) -> Table:
    """One row per model, published ones below, in a CSV file of its own and in LaTeX."""
    sizes, known = ("params", "macs", "encoder"), findings.aggregates[0]
    columns = [one for one in columns if one.key in sizes or one.key in known]
    rows = (*_own_rows(findings, columns), *published)
    return Table(title, "Model", tuple(columns), rows, notes=tuple(notes), file=file,
                 is_printed=True)  # fmt: skip


def _own_rows(findings: Findings, columns: Sequence[Column]) -> tuple[Row, ...]:
    """One row per model: its sizes, and aggregates, by the columns' keys."""

    def values(run: Run, found: Aggregates) -> dict[str, Value]:
        record = run.provenance
        sizes = {
            "params": record.parameters / 1e6 or None,
            "macs": record.macs / 1e9 or None,
            "encoder": record.encoder_parameters / 1e6 or None,
        }
        keys = [column.key for column in columns]
        return {key: sizes[key] if key in sizes else found[key].value for key in keys}

    def marks(run: Run) -> Iterator[str]:
        if findings.paper and run.is_approximate:
            yield f"{run.provenance.corruption_mode} mode"
        if findings.paper and run.swept and findings.task.why_apart(run.provenance):
            yield "other data"

    return tuple(
        Row(run.label, values(run, found), ", ".join(marks(run))) for run, found in findings.pairs
    )


def severity_tables(findings: Findings) -> tuple[Table, ...]:
    """One table per severity that the protocol has; corruptions without it are left blank."""
    levels, main = findings.protocol.severities, findings.task.main
    columns = corruption_columns(findings.task, main, findings.protocol)

    def row(run: Run, severity: float) -> Row:
        cells = {name: Cell(name, severity) for name in levels if severity in levels[name]}
        scores = {Key("corruption", name).text: run.scores.get(cells[name]) for name in cells}
        return Row(run.label, scores)

    return tuple(
        Table(f"Severity {severity:g}: {main.name} ({main.shown_unit})", "Model", columns,
              tuple(row(run, severity) for run in findings.runs))
        for severity in findings.protocol.levels
        if any(severity in chosen for chosen in levels.values())
    )  # fmt: skip


def _text_table(
    title: str,
    heading: str,
    heads: Sequence[tuple[str, str]],
    rows: Iterable[tuple[str, Sequence[str]]],
    *,
    notes: tuple[str, ...] = (),
    is_printed: bool = False,
) -> Table:
    """A table of texts: columns by title and meaning, rows by name and texts."""
    columns = tuple(Column(str(index), *head) for index, head in enumerate(heads))
    keys = [column.key for column in columns]
    found = tuple(Row(name, dict(zip(keys, texts, strict=True))) for name, texts in rows)
    return Table(title, heading, columns, found, rows_compete=False, notes=notes,
                 is_printed=is_printed)  # fmt: skip


def aggregate_table(findings: Findings, place: Place, *, precision: int) -> Table:
    """One row per aggregate, one column per model."""

    def rows() -> Iterator[tuple[str, Sequence[str]]]:
        for name, first in findings.aggregates[0].items():
            ones = [found[name] for found in findings.aggregates]
            known = [
                one.value is not None or (findings.swept and not one.is_absent) for one in ones
            ]
            if first.place == place and any(known):
                yield (
                    _heading(first),
                    [with_interval(one.value, one.interval, one.unit, precision) for one in ones],
                )

    return _text_table(
        f"{_TITLES[place]} ({units(findings.task)})",
        "",
        [(run.label, "Value and interval") for run in findings.runs],
        rows(),
        notes=_interval_notes(findings),
        is_printed=place == "summary",
    )


def units(task: TaskMetrics) -> str:
    """Those of a task's numbers, for example ``'%, NLL in nats'``."""
    others = [f"{one.name} in {one.unit}" for one in task.cells if one.unit != "fraction"]
    return ", ".join(["%", *others])


def _interval_notes(findings: Findings) -> tuple[str, ...]:
    """How the intervals were made; empty if there are none."""
    draws = findings.draws
    if not draws.resamples or all(stopped_mark(run.provenance) for run in findings.runs):
        return ()
    return (
        f"In brackets: {100 * LEVEL:.0f} % interval, percentiles of {draws.resamples} bootstrap "
        f"resamples of the images, the same ones in every cell (seed {draws.seed}). It says how "
        "far other images of the same kind would move the number, and nothing of other training "
        "runs.",
    )


def _heading(aggregate: Aggregate) -> str:
    return f"{aggregate.title} (lower is better)" if aggregate.lower_is_better else aggregate.title


def comparison_table(
    findings: Findings, differences: Sequence[Difference], *, precision: int
) -> Table:
    """One row per aggregate that both models have: both, their difference, p."""
    first, second = (run.label for run in findings.runs)
    heads = [
        (first, "The first model"),
        (second, "The second model"),
        ("Difference", "Second minus first, with its interval"),
        ("p", "Two-sided p value of the difference"),
    ]

    def texts(one: Difference) -> Sequence[str]:
        values = (one.first.value, one.second.value)
        return [
            *(quantity(value, one.first.unit, precision) for value in values),
            signed_difference(one, precision),
            _p_value(one),
        ]

    rows = (
        (_heading(one.first), texts(one))
        for place in _TITLES
        for one in differences
        if one.first.place == place and not (one.first.value is None and one.second.value is None)
    )
    title = f"Paired difference ({units(findings.task)}): {second} minus {first}"
    return _text_table(title, "", heads, rows, notes=(PAIRED_NOTE,), is_printed=True)


def signed_difference(one: Difference, precision: int) -> str:
    """A difference with its interval; with a sign unless it rounds to zero."""
    text = with_interval(one.value, one.interval, one.first.unit, precision)
    known = one.value is not None and one.value > 0
    return f"+{text}" if known and float(text.partition(" ")[0]) > 0 else text


def _p_value(one: Difference) -> str:
    if one.p_value is None or one.first.replicates is None:
        return MISSING
    if math.isnan(one.p_value):
        return NOT_COUNTED
    smallest = 2 / len(one.first.replicates)  # what this many resamples can show
    return f"{'<= ' if one.p_value <= smallest else ''}{one.p_value:.3f}"


def requirement_table(verdicts: Sequence[Verdict]) -> Table:
    """One row per model and bound."""
    heads = [
        ("Model", "The model"),
        ("State", "Whether the bound is kept"),
        ("Found", "What was found"),
    ]
    rows = (
        (str(one.requirement), (one.label, "passed" if one.passed else "FAILED", one.found))
        for one in verdicts
    )
    return _text_table("Requirements", "Bound", heads, rows)
