"""CSV for other programs: unrounded numbers, the unit in every header."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch

from stl_backbones.report.sections import PAPER_PREFIX, DataFile, Report, Table

_FORMULA = re.compile(r"\s*[=@]|[+-].|[\t\r]")


def render(report: Report) -> dict[str, str]:
    """File name -> text of all CSV files."""
    return {
        name: text for section in report.sections for name, text in render_section(section, report)
    }


@singledispatch
def render_section(section: object, report: Report) -> Iterable[tuple[str, str]]:
    """The file of a section, name and text; most kinds have none."""
    del section, report
    return ()


@render_section.register
def _(section: DataFile, report: Report) -> Iterable[tuple[str, str]]:
    del report
    yield f"{section.file}.csv", _write(section.header, section.rows, section.ends)


@render_section.register
def _(section: Table, report: Report) -> Iterable[tuple[str, str]]:
    """One line per model, the paper's included."""

    def lines() -> Iterator[Sequence[object]]:
        for row in section.rows:
            record = report.records["" if row.published else row.label]
            source = "paper" if row.published else "own"
            label = row.label.removeprefix(PAPER_PREFIX) if row.published else row.label
            values = [row.values.get(column.key) for column in section.columns]
            yield (source, label, *values, *record.values())

    if section.file:
        columns = [column.csv for column in section.columns]
        header = ("source", "model", *columns, *report.records[""])
        yield f"{section.file}.csv", _write(header, lines())


def _write(
    header: Sequence[object],
    rows: Iterable[Sequence[object]],
    ends: Mapping[str, Sequence[object]] | None = None,
) -> str:
    lines: list[str] = []
    writer = csv.writer(_Lines(lines.append), lineterminator="\n")
    writer.writerow(map(as_field, header))
    if not ends:
        writer.writerows(map(as_field, row) for row in rows)
        return "".join(lines)
    written = {first: _write(end, ()) for first, end in ends.items()}  # once, not line by line
    for row in rows:
        writer.writerow(map(as_field, row))
        lines[-1] = f"{lines[-1][:-1]},{written[str(row[0])]}"
    return "".join(lines)


@dataclass(frozen=True)
class _Lines:
    """What `csv` writes to, a line each time."""

    write: Callable[[str], object]


def as_field(value: object) -> object:
    """A field as it is written: what is missing is empty, a text is no formula."""
    if type(value) in (int, float):  # `csv` writes the shortest that reads back equal
        return value
    if isinstance(value, float):  # numpy's
        return float(value)
    return "" if value is None else _inert(value)


def _inert(value: object) -> object:
    """Mark a text that a spreadsheet would compute, ``=1+1``, as text."""
    if not isinstance(value, str) or not _FORMULA.match(value):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
