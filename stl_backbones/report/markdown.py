"""Markdown that reads as well in a terminal as on GitHub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stl_backbones.report.document import Document
from stl_backbones.report.table import Table

# Characters that would make markup of a name; `_` only does so at the edge of a word.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~&$]|(?<!\w)_|_(?!\w)")


def escape(text: str) -> str:
    """Keep a name from being read as markup."""
    return _SPECIAL.sub(lambda match: f"\\{match.group()}", text)


def render_table(table: Table, precision: int) -> str:
    """A table whose columns are aligned in plain text as well.

    Markdown has one header line: where columns have groups, it holds the groups, and the
    columns' own names are the first line below it.
    """
    grouped = [(name, columns) for name, columns in table.groups() if name]
    top, second = [escape(table.heading)], [""]
    for name, columns in table.groups():
        titles = [escape(column.title) for column in columns]
        top += [escape(name), *[""] * (len(titles) - 1)] if name else titles
        second += titles if name else [""] * len(titles)
    body = [
        [escape(row.heading), *(escape(table.text(row, c, precision)) for c in table.columns)]
        for row in table.rows
    ]
    lines = [top, second, *body] if grouped else [top, *body]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(top))]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(line, widths) for line in (lines[0], rule, *lines[1:]))


def render_head(document: Document) -> str:
    """Title, warnings, main tables, notes and provenance: what the terminal shows."""
    parts = [f"# {escape(document.title)}"]
    parts += [f"**{escape(warning)}**" for warning in document.warnings]
    for table in document.head_tables():
        parts += [f"{escape(table.title)}:", *_with_notes(table, document.precision)]
    parts += ["## Provenance", "\n".join(f"- {fact}" for fact in _facts(document))]
    return "\n\n".join(parts) + "\n"


def render(document: Document) -> str:
    """The whole report."""
    parts = [render_head(document)]
    if document.by_corruption is not None:
        parts += ["## By corruption\n", _section(document.by_corruption, document.precision)]
    if document.severities:
        parts += ["## By severity\n"]
        parts += [_section(table, document.precision) for table in document.severities]
    if document.classes is not None:
        parts += ["## Classes\n", _section(document.classes, document.precision)]
    return "\n".join(parts)


def _with_notes(table: Table, precision: int) -> list[str]:
    remarks = " ".join(f"**{escape(remark)}.**" for remark in table.remarks)
    notes = "\n".join(f"- {escape(note)}" for note in (*table.notes, *table.sources))
    return [render_table(table, precision), *filter(None, [remarks, notes])]


def _facts(document: Document) -> Iterator[str]:
    for label, text in document.shared_facts.items():
        yield f"{label}: {escape(text)}"
    for model, facts in document.model_facts.items():
        told = "; ".join(f"{label.lower()} {escape(text)}" for label, text in facts.items())
        yield f"{escape(model)}: {told}"


def _section(table: Table, precision: int) -> str:
    return "\n\n".join([f"### {escape(table.title)}", *_with_notes(table, precision)]) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = [
        cell.ljust(width) if i == 0 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join([first, *rest]) + " |"
