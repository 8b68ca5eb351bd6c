"""One self-contained page: no script, no network, light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib import resources

from stl_backbones.report.aggregates import Aggregate
from stl_backbones.report.charts import axis_top, legend, make_panels, render_panel
from stl_backbones.report.document import Document
from stl_backbones.report.heat_map import render_map, render_scale, value_range
from stl_backbones.report.numbers import MISSING, NOT_COUNTED, NOT_IN_PROTOCOL, percent
from stl_backbones.report.summary import Summary
from stl_backbones.report.table import Column, Row, Table, full_name

# The page is its own text and colours: whatever a name might hold, nothing is run or fetched.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MARKS = (MISSING, NOT_IN_PROTOCOL, NOT_COUNTED)
# Aggregates that a card shows if they were measured.
_CARD_EXTRAS = ("mce", "imagenet-a", "imagenet-r", "mask_ap:clean", "mask_ap:average")


def render(document: Document) -> str:
    """The whole page; every name in it is escaped."""
    style = resources.files("stl_backbones.report").joinpath("page.css").read_text(encoding="utf-8")
    title = escape(document.title)
    sections = [_head(document), *_table_sections(document)]
    if document.main is not None:
        told = _told(document.main)
        sections += [_heat_section(document, told), _curve_section(document, told)]
    sections += [
        _detail_section(document),
        _class_section(document),
        _provenance_section(document),
    ]
    body = "\n".join(sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
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
    protocol = document.protocol
    images = next((run.provenance.num_images for run in document.runs if run.swept), 0)
    warnings = "".join(f'<p class="warning">{escape(text)}</p>' for text in document.warnings)
    cards = "".join(
        _card(run.label, summary, found, document)
        for run, summary, found in zip(
            document.runs, document.summaries, document.aggregates, strict=True
        )
    )
    lead = (
        f"{escape(document.metric.name)} under {len(protocol.corruptions)} "
        f"corruptions, protocol {escape(protocol.name)}, {images} images"
        if document.main is not None
        else f"{escape(document.metric.name)} on sets of other images"
    )
    return (
        f"<h1>{escape(document.title)}</h1>"
        f'<p class="lead">{lead}</p>'
        f'{warnings}<div class="cards">{cards}</div>'
    )


def _card(label: str, summary: Summary, found: Mapping[str, Aggregate], document: Document) -> str:
    """A model's key figures; what lies in the sets of other images beside them."""

    def number(name: str, key: str, kind: str = "") -> str:
        text = percent(found[key].value, document.precision)
        unit = "" if text in _MARKS else "<small>%</small>"
        return (
            f"<div{kind}><dt>{name}</dt><dd>{text}{unit}{_range(found[key], document)}</dd></div>"
        )

    figures, wording = "", document.metric.wording
    if document.main is not None:
        weakest = MISSING
        if summary.weakest is not None:
            name, score = summary.weakest
            weakest = f"{full_name(name)} ({percent(score, document.precision)} %)"
        figures = (
            number("Clean", "clean")
            + number(escape(wording.average), "average", ' class="main"')
            + number(escape(wording.retention), "retention")
            + f'<div class="wide"><dt>Weakest under</dt><dd>{escape(weakest)}</dd></div>'
        )
    others = [key for key in _CARD_EXTRAS if key in found and found[key].value is not None]
    figures += "".join(number(escape(found[key].title), key) for key in others)
    return f'<section class="card"><h3>{escape(label)}</h3><dl>{figures}</dl></section>'


def _range(aggregate: Aggregate, document: Document) -> str:
    if aggregate.interval is None or math.isnan(aggregate.interval[0]):
        return ""
    low, high = (percent(end, document.precision) for end in aggregate.interval)
    return f'<span class="range">{low} to {high}</span>'


def _table_sections(document: Document) -> Iterator[str]:
    for table in document.head_tables():
        yield (
            f"<section><h2>{escape(table.title)}</h2>"
            f"{_with_notes(table, document.precision)}</section>"
        )


def _with_notes(table: Table, precision: int) -> str:
    return render_table(table, precision) + _told(table, table.notes)


def _told(table: Table, notes: Sequence[str] = ()) -> str:
    """What stands below a table, or below another picture of its numbers."""
    remarks = " ".join(f"{escape(remark)}." for remark in table.remarks)
    items = "".join(f"<li>{escape(note)}</li>" for note in (*notes, *table.sources))
    return (f'<p class="remark">{remarks}</p>' if remarks else "") + (
        f'<ul class="notes">{items}</ul>' if items else ""
    )


def _heat_section(document: Document, told: str) -> str:
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
        f'{render_scale(limits, document.metric.name)}<div class="maps">{maps}</div>'
        f"{told}</section>"
    )


def _curve_section(document: Document, told: str) -> str:
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
        + f'<div class="panels">{"".join(charts)}</div>{told}</section>'
    )


def _detail_section(document: Document) -> str:
    """The long tables, folded."""
    found = [*filter(None, [document.by_corruption]), *document.severities]
    if not found:
        return ""
    tables = "".join(
        f"<h3>{escape(table.title)}</h3>{_with_notes(table, document.precision)}" for table in found
    )
    return (
        "<section><h2>By corruption and severity</h2><details><summary>Show tables</summary>"
        f"{tables}</details></section>"
    )


def _class_section(document: Document) -> str:
    if document.classes is None:
        return ""
    return (
        f"<section><h2>Classes</h2><p class='hint'>{escape(document.classes.title)}: on clean "
        "images, in the protocol's average, and under the corruption that hurts it most.</p>"
        f"{_with_notes(document.classes, document.precision)}</section>"
    )


def _provenance_section(document: Document) -> str:
    shared = _facts(document.shared_facts)
    models = "".join(_facts(facts, name=label) for label, facts in document.model_facts.items())
    return f'<section><h2>Provenance</h2><div class="scroll">{shared}{models}</div></section>'


def _facts(facts: Mapping[str, str], name: str | None = None) -> str:
    heading = "" if name is None else f'<dt class="name">{escape(name)}</dt>'
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    return f'<dl class="facts">{heading}{items}</dl>'
