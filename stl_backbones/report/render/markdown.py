"""Markdown that reads as well in an editor as on GitHub."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import singledispatch

from stl_backbones.report.sections import Group, Overview, Report, Table

# Characters that would make markup of a name; `_` only does so at the edge of a word.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~&$]|(?<!\w)_|_(?!\w)")


def escape(text: str) -> str:
    """Keep a name from being read as markup."""
    return _SPECIAL.sub(lambda match: f"\\{match.group()}", text)


def render_table(table: Table, precision: int, escape: Callable[[str], str] = escape) -> str:
    """A table whose columns are aligned in plain text as well.

    ``escape`` keeps names from being read as markup.

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


def render(report: Report) -> str:
    """Title, warnings, first tables, notes and provenance, then the long tables."""
    parts = [f"# {escape(report.title)}"]
    parts += [f"**{escape(warning)}**" for warning in report.warnings]
    for section in report.sections:
        if not isinstance(section, Group):
            parts += render_section(section, report)
    parts += ["## Provenance", "\n".join(f"- {escape(fact)}" for fact in report.facts)]
    long = [part for section in report.sections if isinstance(section, Group)
            for part in render_section(section, report)]  # fmt: skip
    return "\n".join(["\n\n".join(parts) + "\n", *long])


@singledispatch
def render_section(section: object, report: Report) -> list[str]:
    """The paragraphs of a section; kinds without a function of their own have none."""
    del section, report
    return []


@render_section.register
def _(section: Overview, report: Report) -> list[str]:
    del report
    lines = (f"- {escape(label)}: {escape(text)}" for label, text in section.sentences.items())
    return ["\n".join(lines)]


@render_section.register
def _(section: Table, report: Report) -> list[str]:
    return [f"{escape(section.title)}:", *_with_notes(section, report)]


@render_section.register
def _(section: Group, report: Report) -> list[str]:
    parts = [
        "\n\n".join([f"### {escape(table.title)}", *_with_notes(table, report)]) + "\n"
        for table in section.tables
    ]
    return [f"## {section.title}\n", *parts]


def _with_notes(table: Table, report: Report) -> list[str]:
    remarks = " ".join(f"**{escape(remark)}.**" for remark in report.remarks)
    notes = "\n".join(f"- {escape(note)}" for note in (*table.notes, *report.sources))
    return [render_table(table, report.precision), *filter(None, [remarks, notes])]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = [
        cell.ljust(width) if i == 0 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join([first, *rest]) + " |"
