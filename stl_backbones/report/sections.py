"""What a report consists of, before any format: a title, facts, and sections.

A writer of `render` has one function for each kind of section that it has a form for, and leaves
the others out. A new section is a function that returns one of these; a new kind is a class of
one's own, and a function in each writer that shall show it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from stl_backbones.report.numbers.format import MISSING, NOT_IN_PROTOCOL, quantity
from stl_backbones.report.read.metrics import CellMetric

Value = float | str | None

PAPER_PREFIX = "paper: "  # of published rows' names
_FLAGS = ("PARTIAL", "CHOSEN CELLS", "LIMITED", "SKIPPED", "NOT OFFICIAL", "UNVERIFIED")


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: Where rows keep its value.
        title: Short heading.
        meaning: The heading in full.
        group: Heading above it and its neighbours; empty for none.
        unit: ``'fraction'``, printed as percent; ``'plain'``: a number with one decimal; or that
            of a metric.
        better: Which end is the best: ``'higher'``, ``'lower'`` or ``'neither'``.
        csv: Its header in CSV files; empty where the table is in none.
    """

    key: str
    title: str
    meaning: str
    group: str = ""
    unit: str = "fraction"
    better: Literal["higher", "lower", "neither"] = "higher"
    csv: str = ""


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        label: Its name.
        values: Column key -> number, or text; ``None`` is missing, NaN not counted, and a
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
        notes: Footnotes.
        file: Stem of its CSV file, whose rows are models; empty for none.
        is_printed: Whether it is one for a paper, in LaTeX.
        caption: Its caption there, where that is not the title.
    """

    title: str
    heading: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    rows_compete: bool = True
    notes: tuple[str, ...] = ()
    file: str = ""
    is_printed: bool = False
    caption: str = ""

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
        return quantity(value, column.unit, decimals)

    def best(self) -> set[tuple[str, str]]:
        """Row label and column key of the best value among one's own models.

        Only for columns in which at least two of them, and all of them, have a number.
        """
        own = [row for row in self.rows if self.rows_compete and not row.published]
        best = set()
        for column in self.columns:
            values = [row.values.get(column.key) for row in own]
            numbers = [v for v in values if isinstance(v, float) and not math.isnan(v)]
            if len(own) >= 2 and len(numbers) == len(own) and column.better != "neither":
                top = (max if column.better == "higher" else min)(numbers)
                best |= {(row.label, column.key) for row in own if row.values[column.key] == top}
        return best


@dataclass(frozen=True)
class Group:
    """Long tables under one heading, behind the provenance.

    Attributes:
        title: The heading.
        tables: In order.
        hint: What a reader of the page reads first.
        folded: Whether the page shows them on request alone.
    """

    title: str
    tables: tuple[Table, ...]
    hint: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A number of a card, with its 95 % interval; a text where it is ``'wide'``."""

    name: str
    value: Value
    unit: str = "fraction"
    interval: tuple[float, float] | None = None
    kind: Literal["", "main", "wide"] = ""

    @property
    def shown_unit(self) -> str:
        """The unit behind the number."""
        return "%" if self.unit == "fraction" else self.unit


@dataclass(frozen=True)
class Cards:
    """Key figures: model -> those of its card."""

    cards: Mapping[str, Sequence[Figure]]


@dataclass(frozen=True)
class CellDetail:
    """What a map's cell says beside its number.

    Attributes:
        cell: Its name, ``'fog-5'``.
        interval: 95 % interval of its number.
        classes: The classes with the lowest scores, the lowest first, and these scores.
    """

    cell: str
    interval: tuple[float, float] | None = None
    classes: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class HeatMap:
    """Maps of coloured cells that share a scale, one per model.

    Attributes:
        title: What they show.
        metric: The number that they show.
        columns: Heads of the cells' columns; one more, of `mean`, follows.
        maps: Model -> groups of rows; their values by column, and ``'mean'``.
        limits: Ends of the colour scale.
        clean: Model -> number on clean images; ``None`` for missing.
        details: Model -> label of a row and column -> what is said on request.
    """

    title: str
    metric: CellMetric
    columns: tuple[str, ...]
    maps: Mapping[str, Sequence[Sequence[Row]]]
    limits: tuple[float, float]
    clean: Mapping[str, float | None]
    details: Mapping[str, Mapping[tuple[str, str], CellDetail]]


@dataclass(frozen=True)
class ClassMap:
    """Score of each class under each corruption, mean over severities.

    Attributes:
        title: What it shows.
        metric_name: The score's name, ``'IoU'`` for example.
        columns: ``'clean'``, then the protocol's corruptions.
        maps: Model -> one row a class that occurs. Its values: by column a fraction (``None``
            missing, NaN nothing counted); ``'worst'``, the lowest score of a cell, and
            ``'worst_cell'``, which one, in words; ``'drop'``, the largest fall of a column
            against clean; ``'frequency'``, the class's share of the truth.
        limits: Ends of the colour scale.
    """

    title: str
    metric_name: str
    columns: tuple[str, ...]
    maps: Mapping[str, Sequence[Row]]
    limits: tuple[float, float]


@dataclass(frozen=True)
class Overview:
    """Model -> one sentence that says where it is weakest, by how much, and how sure that is."""

    sentences: Mapping[str, str]


@dataclass(frozen=True)
class Picture:
    """A picture of images where a model fails.

    Attributes:
        file: Its path, relative to the page, or a ``data:`` URI.
        caption: What it shows.
        cell: Name of the cell, ``'fog-5'``.
        image: The image's id.
        model: The model's label.
        note: What else to know of it.
    """

    file: str
    caption: str
    cell: str
    image: str
    model: str
    note: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures, in order."""

    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Curve:
    """One line: score over severity.

    Attributes:
        label: Name in the legend.
        points: Severity (0 = clean) -> score; what was not measured is not there.
        levels: The severities that the line should have; it breaks at those not in `points`.
    """

    label: str
    points: Mapping[float, float]
    levels: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """One small chart of a corruption group."""

    group: str
    title: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Curves:
    """Small charts of a number that share their axes, and how to read them."""

    title: str
    hint: str
    metric: CellMetric
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class DataFile:
    """Unrounded numbers for other programs: the stem of a CSV file, its columns and lines.

    Attributes:
        file: The stem.
        header: The columns.
        rows: The lines.
        ends: First value of a line -> the values that follow its own, for all such lines.
    """

    file: str
    header: Sequence[str]
    rows: Sequence[Sequence[Value | int]]
    ends: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """A report's contents.

    Attributes:
        title: Its heading.
        lead: What it is of, in one line.
        precision: Decimals of printed percentages.
        warnings: What must not be overlooked: limits, skipped files, missing cells.
        remarks: The same in short, below every table that is copied.
        sources: What was measured, on what images, by what engine and versions; there too.
        shared_facts: Provenance that all models share: label -> text.
        model_facts: Model -> label -> text.
        records: Model -> column of CSV files -> what its row was measured with. The empty name is
            that of published rows.
        sections: In order.
    """

    title: str
    lead: str
    precision: int
    warnings: Sequence[str]
    remarks: Sequence[str]
    sources: Sequence[str]
    shared_facts: Mapping[str, str]
    model_facts: Mapping[str, Mapping[str, str]]
    records: Mapping[str, Mapping[str, str]]
    sections: tuple[object, ...]

    @property
    def facts(self) -> list[str]:
        """The provenance in lines: one per shared fact, then one per model."""
        return [f"{label}: {text}" for label, text in self.shared_facts.items()] + [
            f"{model}: " + "; ".join(f"{label.lower()} {text}" for label, text in own.items())
            for model, own in self.model_facts.items()
        ]

    @property
    def flags(self) -> list[str]:
        """The remarks in a word each, for captions: ``'LIMITED'``; ``'NOTED'`` for sentences."""
        found = [[flag for flag in _FLAGS if flag in remark] for remark in self.remarks]
        return list(dict.fromkeys(flag for flags in found for flag in flags or ["NOTED"]))
