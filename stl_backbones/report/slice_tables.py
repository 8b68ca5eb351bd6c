"""Slices of the data set beside each other, and their numbers for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stl_backbones.report.data import Line, model_records
from stl_backbones.report.numbers.aggregates import Aggregate, Findings
from stl_backbones.report.numbers.format import with_interval
from stl_backbones.report.numbers.slices import Slice, SlicedColumn
from stl_backbones.report.sections import Column, DataFile, Group, Row, Table
from stl_backbones.report.tables import units

_ALL = "All images"
_HINT = (
    "Every number of a part of the images, scored as if it were the whole data set. Slices differ "
    "in more than their name: of few images, or of rare classes, a low score may say little."
)
_NOTE = "Intervals are of resamples of the slice's own images; a slice of a single image has none."


def slice_sections(
    findings: Findings, columns: Sequence[SlicedColumn], *, precision: int
) -> Iterator[object]:
    """A table for each column and model, and ``slices.csv``; nothing without slices."""
    if not columns:
        return
    tables = [
        _table(findings, column, place, precision)
        for column in columns
        for place in range(len(column.slices[0].findings.runs))
    ]
    yield Group("Slices", tuple(tables), _HINT)
    yield slice_file(findings, columns)


def _table(findings: Findings, column: SlicedColumn, place: int, precision: int) -> Table:
    """One row per aggregate, one column per slice, of one model."""
    label = column.slices[0].findings.runs[place].label
    whole = next(
        found for run, found in findings.pairs if run.label == label
    )  # fmt: skip
    parts = [whole, *(one.findings.aggregates[place] for one in column.slices)]
    heads = (_ALL, *(one.value for one in column.slices))
    columns = tuple(
        Column(str(number), head, f"{column.name}: {head}") for number, head in enumerate(heads)
    )

    def row(name: str, texts: Sequence[str]) -> Row:
        return Row(name, dict(zip((one.key for one in columns), texts, strict=True)))

    def text(one: Aggregate) -> str:
        return with_interval(one.value, one.interval, one.unit, precision)

    counts = [one.images for one in column.slices]
    total = sum(counts) + column.left_out
    rows = [
        row("Images", [str(total), *map(str, counts)]),
        *(
            row(first.title, [text(part[name]) for part in parts])
            for name, first in whole.items()
            if _is_shown(first) and any(part[name].value is not None for part in parts)
        ),
    ]
    left_out = (
        f"{column.left_out} images without a value are in no slice." if column.left_out else ""
    )
    title = f"Slices by {column.name} ({units(findings.task)}): {label}"
    notes = tuple(filter(None, (_NOTE if findings.draws.resamples else "", left_out)))
    return Table(title, f"By {column.name}", columns, tuple(rows), rows_compete=False, notes=notes)


def _is_shown(one: Aggregate) -> bool:
    of_slices = not one.key.kind.startswith("set") and "mce" not in one.key.kind
    return one.place in ("summary", "corruption") and not one.is_absent and of_slices


def slice_file(findings: Findings, columns: Sequence[SlicedColumn]) -> DataFile:
    """One line per model, column, slice and aggregate: value, interval, and what is missing."""
    records = model_records(findings)
    measured = list(records[""])

    def lines() -> Iterator[Line]:
        for column in columns:
            for part in column.slices:
                yield from _lines(column.name, part, records)

    header = ("model", "slices", "slice", "images", "aggregate", "value", "low", "high", "unit",
              "better", "missing", *measured)  # fmt: skip
    return DataFile("slices", header, tuple(lines()))


def _lines(column: str, part: Slice, records: dict[str, Mapping[str, str]]) -> Iterator[Line]:
    for run, found in part.findings.pairs:
        for name, one in found.items():
            if not one.is_absent:
                better = "lower" if one.lower_is_better else "higher"
                yield (run.label, column, part.value, part.images, name, one.value,
                       *(one.interval or (None, None)), one.unit, better, ", ".join(one.missing),
                       *records[run.label].values())  # fmt: skip


__all__ = ["slice_file", "slice_sections"]
