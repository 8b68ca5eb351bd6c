"""One self-contained page: no script, no network, light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib import resources

from stl_backbones.report.charts import axis_top, legend, make_panels, render_panel
from stl_backbones.report.document import Document
from stl_backbones.report.heat_map import render_map, render_scale, value_range
from stl_backbones.report.numbers import MISSING, NOT_COUNTED, NOT_IN_PROTOCOL, percent
from stl_backbones.report.summary import Summary
from stl_backbones.report.table import Column, Row, Table, full_name

_MARKS = (MISSING, NOT_IN_PROTOCOL, NOT_COUNTED)


def render(document: Document) -> str:
    """The whole page; every name in it is escaped."""
    style = resources.files("stl_backbones.report").joinpath("page.css").read_text(encoding="utf-8")
    title = escape(document.title)
    body = "\n".join(
        [
            _head(document),
            _main_section(document),
            _heat_section(document),
            _curve_section(document),
            _severity_section(document),
            _class_section(document),
            _provenance_section(document),
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def render_table(table: Table, precision: int) -> str:
    """A table with its group headings, in a box that scrolls sideways."""
    starts = {columns[0].key for name, columns in table.groups() if name}
    grouped = any(name for name, _ in table.groups())
    best = table.best()
    head = "".join(
        f'<th scope="colgroup" colspan="{len(columns)}" class="group start">{escape(name)}</th>'
        if name
        else f'<td colspan="{len(columns)}"></td>'
        for name, columns in table.groups()
    )
    titles = "".join(
        f'<th scope="col" title="{escape(column.meaning)}"{_start(column, starts)}>'
        f"{escape(column.title)}</th>"
        for column in table.columns
    )
    rows = "".join(
        f"<tr{_published(row)}><th scope='row'>{escape(row.heading)}</th>"
        + "".join(
            f"<td{_start(column, starts)}>"
            f"{_value(table, row, column, precision=precision, best=best)}</td>"
            for column in table.columns
        )
        + "</tr>"
        for row in table.rows
    )
    group_row = f"<tr><th></th>{head}</tr>" if grouped else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">'
        f'<table class="grid-table"><thead>{group_row}'
        f'<tr><th scope="col">{escape(table.heading)}</th>{titles}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _start(column: Column, starts: set[str]) -> str:
    return ' class="start"' if column.key in starts else ""


def _published(row: Row) -> str:
    return ' class="published"' if row.published else ""


def _value(
    table: Table, row: Row, column: Column, *, precision: int, best: set[tuple[str, str]]
) -> str:
    text = table.text(row, column, precision)
    if text in _MARKS:
        return f'<span class="mark">{text}</span>'
    if not row.published and (row.label, column.key) in best:
        return f"<strong>{escape(text)}</strong>"
    return escape(text)


def _head(document: Document) -> str:
    protocol, record = document.protocol, document.runs[0].provenance
    warnings = "".join(f'<p class="warning">{escape(text)}</p>' for text in document.warnings)
    cards = "".join(
        _card(run.label, summary, document)
        for run, summary in zip(document.runs, document.summaries, strict=True)
    )
    return (
        f"<h1>{escape(document.title)}</h1>"
        f'<p class="lead">{escape(document.metric.name)} under {len(protocol.corruptions)} '
        f"corruptions, protocol {escape(protocol.name)}, {record.num_images} images</p>"
        f'{warnings}<div class="cards">{cards}</div>'
    )


def _card(label: str, summary: Summary, document: Document) -> str:
    def number(name: str, value: float | None, kind: str = "") -> str:
        text = percent(value, document.precision)
        unit = "" if text in _MARKS else "<small>%</small>"
        return f"<div{kind}><dt>{name}</dt><dd>{text}{unit}</dd></div>"

    weakest = MISSING
    if summary.weakest is not None:
        name, score = summary.weakest
        weakest = f"{full_name(name)} ({percent(score, document.precision)} %)"
    return (
        f'<section class="card"><h3>{escape(label)}</h3><dl>'
        + number("Clean", summary.clean)
        + number("Average", summary.average, ' class="main"')
        + number("Retention", summary.retention)
        + f'<div class="wide"><dt>Weakest under</dt><dd>{escape(weakest)}</dd></div></dl></section>'
    )


def _main_section(document: Document) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in document.notes)
    table = render_table(document.main, document.precision)
    return (
        f"<section><h2>{escape(document.main.title)}</h2>{table}"
        f'<ul class="notes">{notes}</ul></section>'
    )


def _heat_section(document: Document) -> str:
    limits = value_range(document.runs)
    maps = "".join(
        '<div class="scroll">'
        + render_map(
            run,
            summary,
            protocol=document.protocol,
            limits=limits,
            precision=document.precision,
        )
        + "</div>"
        for run, summary in zip(document.runs, document.summaries, strict=True)
    )
    return (
        "<section><h2>Corruption by severity</h2>"
        f'{render_scale(limits, document.metric.name)}<div class="maps">{maps}</div></section>'
    )


def _curve_section(document: Document) -> str:
    panels = make_panels(document.runs, document.protocol)
    top = axis_top(panels)
    labels = [[curve.label for curve in panel.curves] for panel in panels]
    shared = all(names == labels[0] for names in labels)
    charts = []
    for number, (panel, names) in enumerate(zip(panels, labels, strict=True)):
        if shared and (number == 0 or panel.group != panels[number - 1].group):
            charts.append(f"<h3>{escape(full_name(panel.group))}</h3>")
        drawing = render_panel(
            panel, top=top, metric=document.metric.name, precision=document.precision
        )
        key = "" if shared else legend(names)
        charts.append(f'<div class="panel"><h4>{escape(panel.title)}</h4>{drawing}{key}</div>')
    return (
        "<section><h2>Severity curves</h2>"
        '<p class="hint">From clean images to severity 5; a line breaks where a cell was not '
        "measured, and ends where the protocol does.</p>"
        + (legend(labels[0]) if shared else "")
        + f'<div class="panels">{"".join(charts)}</div></section>'
    )


def _severity_section(document: Document) -> str:
    tables = "".join(
        f"<h3>{escape(table.title)}</h3>{render_table(table, document.precision)}"
        for table in document.severities
    )
    return f"<section><h2>By severity</h2><details><summary>Show tables</summary>{tables}" + (
        "</details></section>"
    )


def _class_section(document: Document) -> str:
    if document.classes is None:
        return ""
    return (
        f"<section><h2>Classes</h2><p class='hint'>{escape(document.classes.title)}: on clean "
        "images, in the protocol's average, and under the corruption that hurts it most.</p>"
        f"{render_table(document.classes, document.precision)}</section>"
    )


def _provenance_section(document: Document) -> str:
    shared = _facts(document.shared_facts)
    models = "".join(_facts(facts, name=label) for label, facts in document.model_facts.items())
    return f'<section><h2>Provenance</h2><div class="scroll">{shared}{models}</div></section>'


def _facts(facts: Mapping[str, str], name: str | None = None) -> str:
    heading = "" if name is None else f'<dt class="name">{escape(name)}</dt>'
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    return f'<dl class="facts">{heading}{items}</dl>'
