"""The table model that every format renders: grouped columns, rows of fractions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from types import MappingProxyType
from typing import Literal

from stl_backbones.corruptions.catalog import SEVERITIES, Protocol
from stl_backbones.records import Cell
from stl_backbones.report.cell_metrics import TaskMetric
from stl_backbones.report.numbers import MISSING, NOT_IN_PROTOCOL, percent, plain
from stl_backbones.report.paper import PaperRow
from stl_backbones.report.runs import Run
from stl_backbones.report.summary import ClassSummary, Summary, summarise_classes

Value = float | str | None

AVERAGE_MEANING = "Mean over severities per corruption, then over corruptions"
PAPER_PREFIX = "paper: "  # of published rows' names

# The paper's abbreviations (Tables 12 and 13), and the like for the three it does not use.
SHORT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "motion_blur": "Motion",
        "defocus_blur": "Defoc",
        "glass_blur": "Glass",
        "gaussian_blur": "Gauss",
        "zoom_blur": "Zoom",
        "gaussian_noise": "Gauss",
        "impulse_noise": "Impul",
        "shot_noise": "Shot",
        "speckle_noise": "Speck",
        "brightness": "Bright",
        "contrast": "Contr",
        "saturate": "Satur",
        "jpeg_compression": "JPEG",
        "pixelate": "Pixel",
        "elastic_transform": "Elast",
        "snow": "Snow",
        "spatter": "Spatt",
        "fog": "Fog",
        "frost": "Frost",
    }
)


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: Where rows keep its value.
        title: Short heading.
        meaning: The heading in full.
        group: Heading above it and its neighbours; empty for none.
        unit: ``'percent'`` for fractions, or ``'plain'``: a number with one decimal.
        better: Which end is the best: ``'higher'``, ``'lower'`` or ``'neither'``.
        csv: Its header in CSV files, where it is not the key with the metric's name.
    """

    key: str
    title: str
    meaning: str
    group: str = ""
    unit: Literal["percent", "plain"] = "percent"
    better: Literal["higher", "lower", "neither"] = "higher"
    csv: str = ""


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        label: Its name.
        values: Column key -> fraction, or text; ``None`` is missing, NaN not counted, and a
            key that is not there is no part of the protocol.
        mark: What a reader of the bare table must know of the row; set behind its name.
        published: Whether the numbers are the paper's.
        decimals: No more decimals than the source printed; ``None`` for unrounded values.
    """

    label: str
    values: Mapping[str, Value]
    mark: str = ""
    published: bool = False
    decimals: int | None = None

    @property
    def heading(self) -> str:
        """Name and mark, for example ``'FAN-B (fast mode)'``."""
        return f"{self.label} ({self.mark})" if self.mark else self.label


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: What it shows.
        heading: Heading of the rows' names.
        columns: In order; columns of one group are neighbours.
        rows: In order.
        rows_compete: Whether the best of a column means something: rows are models.
        remarks: What must not be overlooked: limits, missing cells.
        sources: What was measured, on what images, by what engine and versions.
        notes: Footnotes.
    """

    title: str
    heading: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    rows_compete: bool = True
    remarks: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def groups(self) -> Iterator[tuple[str, list[Column]]]:
        """Neighbouring columns of one group."""
        for name, columns in groupby(self.columns, key=lambda column: column.group):
            yield name, list(columns)

    def text(self, row: Row, column: Column, precision: int) -> str:
        """A value as it is printed."""
        if column.key not in row.values:
            return NOT_IN_PROTOCOL
        value = row.values[column.key]
        if isinstance(value, str):
            return value
        if column.unit == "plain":
            return MISSING if value is None else f"{value:.1f}"
        decimals = precision if row.decimals is None else min(precision, row.decimals)
        return percent(value, decimals)

    def best(self) -> set[tuple[str, str]]:
        """Row label and column key of the best value among one's own models.

        Only for columns in which at least two of them, and all of them, have a number.
        """
        own = [row for row in self.rows if self.rows_compete and not row.published]
        best = set()
        for column in self.columns:
            values = {row.label: row.values.get(column.key) for row in own}
            numbers = {
                label: value
                for label, value in values.items()
                if isinstance(value, float) and not math.isnan(value)
            }
            if len(own) >= 2 and len(numbers) == len(own) and column.better != "neither":
                top = (max if column.better == "higher" else min)(numbers.values())
                best |= {(label, column.key) for label, v in numbers.items() if v == top}
        return best


def corruption_columns(protocol: Protocol) -> tuple[Column, ...]:
    """The protocol's corruptions under its groups."""
    return tuple(
        Column(name, SHORT_NAMES.get(name, full_name(name)), full_name(name), full_name(group))
        for group, names in protocol.columns.items()
        for name in names
    )


def full_name(name: str) -> str:
    """A corruption's or group's name in words, for example ``'Motion blur'``."""
    return name.replace("_", " ").capitalize().replace("Jpeg", "JPEG")


def main_table(
    runs: Sequence[Run],
    summaries: Sequence[Summary],
    paper: Sequence[PaperRow],
    *,
    protocol: Protocol,
    metric: TaskMetric,
) -> Table:
    """The table in the layout of the paper's Table 13.

    Args:
        runs: One's own models.
        summaries: Their numbers.
        paper: Published rows, set below.
        protocol: Decides the columns.
        metric: The task's numbers.
    """
    wording = metric.wording
    columns = (
        Column("clean", "Clean", f"{metric.name} on clean images"),
        Column("average", wording.short_average, AVERAGE_MEANING),
        Column("retention", wording.short_retention, f"{wording.average} divided by clean"),
        *corruption_columns(protocol),
    )
    own = tuple(
        Row(
            run.label,
            _values(row.clean, row.average, row.retention, row.corruptions),
            mark=mode_mark(run) if paper else "",
        )
        for run, row in zip(runs, summaries, strict=True)
    )
    published = tuple(
        Row(
            f"{PAPER_PREFIX}{row.model}",
            _values(
                fraction(row.clean),
                fraction(row.average),
                fraction(row.retention),
                {name: fraction(row.corruptions.get(name)) for name in protocol.corruptions},
            ),
            published=True,
            decimals=1,
        )
        for row in paper
    )
    title = f"{metric.name} (%), protocol {protocol.name}"
    return Table(title, "Model", columns, own + published)


def severity_tables(runs: Sequence[Run], protocol: Protocol, *, metric: str) -> tuple[Table, ...]:
    """One table per severity that the protocol has; corruptions without it are left blank."""
    return tuple(
        Table(
            f"Severity {severity}: {metric} (%)",
            "Model",
            corruption_columns(protocol),
            tuple(
                Row(
                    run.label,
                    {
                        name: run.scores.get(Cell(name, severity))
                        for name in protocol.corruptions
                        if severity in protocol.severities[name]
                    },
                )
                for run in runs
            ),
        )
        for severity in SEVERITIES
        if any(severity in levels for levels in protocol.severities.values())
    )


def class_table(
    runs: Sequence[Run], protocol: Protocol, classes: Sequence[str], *, metric: TaskMetric
) -> Table | None:
    """Which classes break, and where; ``None`` where the task has no scores by class."""
    by_run = [summarise_classes(run, protocol) for run in runs]
    unmeasured, short = ClassSummary(None, None, None, None), metric.wording.short_average
    columns: list[Column] = []
    rows: dict[int, dict[str, Value]] = {
        index: {} for index in sorted({index for scores in by_run for index in scores})
    }
    for number, (run, by_class) in enumerate(zip(runs, by_run, strict=True)):
        columns += [
            Column(f"{number} clean", "Clean", "On clean images", run.label),
            Column(f"{number} average", short, "The protocol's mean", run.label),
            Column(f"{number} worst", "Worst", "Lowest mean of a corruption", run.label),
            Column(f"{number} under", "under", "Corruption of that lowest mean", run.label),
        ]
        for index, values in rows.items():
            scores = by_class.get(index, unmeasured)
            values[f"{number} clean"] = scores.clean
            values[f"{number} average"] = scores.average
            values[f"{number} worst"] = scores.worst
            name = scores.worst_corruption
            values[f"{number} under"] = None if name is None else full_name(name)
    if not rows:
        return None
    return Table(
        f"Classes: {metric.class_score} (%) of the classes that occur",
        "Class",
        tuple(columns),
        tuple(Row(plain(classes[index]), values) for index, values in rows.items()),
        rows_compete=False,
    )


def _values(
    clean: float | None,
    average: float | None,
    retention: float | None,
    corruptions: Mapping[str, float | None],
) -> dict[str, Value]:
    return {"clean": clean, "average": average, "retention": retention, **corruptions}


def mode_mark(run: Run) -> str:
    """What a reader must know of a row beside published ones."""
    return f"{run.provenance.corruption_mode} mode" if run.is_approximate else ""


def fraction(printed: Decimal | None) -> float | None:
    """A printed percentage as a fraction."""
    # Decimal first: 58.2 / 100 in binary is not the float nearest to 0.582.
    return None if printed is None else float(printed / 100)
