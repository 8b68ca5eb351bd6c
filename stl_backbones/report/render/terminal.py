"""What a terminal shows: the first tables, and once what holds for all of them."""

from __future__ import annotations

from stl_backbones.report.render.markdown import render_table
from stl_backbones.report.sections import Overview, Report, Table


def render(report: Report) -> str:
    """Title, warnings, tables, then footnotes and provenance, each once and as plain text."""
    tables = [one for one in report.sections if isinstance(one, Table)]
    overviews = [one for one in report.sections if isinstance(one, Overview)]
    notes = dict.fromkeys(note for table in tables for note in table.notes)
    parts = [
        f"{report.title}\n{report.lead}",
        "\n".join(report.warnings),
        *("\n".join(map(": ".join, one.sentences.items())) for one in overviews),
        *(f"{table.title}:\n\n{_plain(table, report.precision)}" for table in tables),
        "\n".join(f"- {note}" for note in (*notes, *report.sources)),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _plain(table: Table, precision: int) -> str:
    return render_table(table, precision, escape=str)
