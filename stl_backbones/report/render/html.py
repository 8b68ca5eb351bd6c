"""One self-contained page: overview, pictures, tables; no network; light, dark and on paper."""

from __future__ import annotations

import math
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache, partial, singledispatch
from hashlib import sha256
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from stl_backbones.report.numbers.format import (
    MISSING,
    NOT_COUNTED,
    NOT_IN_PROTOCOL,
    cell_words,
    full_name,
    quantity,
)
from stl_backbones.report.render.charts import FRAME, Charts, Line
from stl_backbones.report.render.colours import gradient, shade, shades
from stl_backbones.report.sections import (
    Cards,
    CellDetail,
    ClassMap,
    Curves,
    Figure,
    Gallery,
    Group,
    HeatMap,
    Overview,
    Report,
    Row,
    Table,
)

_MARKS = (MISSING, NOT_IN_PROTOCOL, NOT_COUNTED)


class Part(NamedTuple):
    """A section as the page shows it: its anchor, heading, name in the contents, and markup."""

    anchor: str
    title: str
    short: str
    markup: str


def render(report: Report) -> str:
    """The whole page; every name in it is escaped."""
    style, script = _style(), _script()
    return _environment().get_template("page.html").render(
        report=report,
        parts=list(_parts(report)),
        models=list(report.model_facts),
        notes=[note for note, count in _notes(report).items() if count > 1],
        provenance=[("", report.shared_facts), *report.model_facts.items()],
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )  # fmt: skip


def _parts(report: Report) -> Iterator[Part]:
    for number, section in enumerate(report.sections):
        markup = render_section(section, report)
        if markup:
            title = _TITLES.get(type(section), getattr(section, "title", ""))
            short = title.partition(" (")[0].partition(":")[0]
            yield Part(f"part{number}", title, short, markup)


_TITLES = {Overview: "Overview", Gallery: "Pictures"}


@singledispatch
def render_section(section: object, report: Report) -> str:
    """What stands below a section's heading as `markupsafe.Markup`; empty for kinds without a form.

    What another function registers here and is plain text is escaped.
    """
    del section, report
    return ""


@render_section.register(Cards)
@render_section.register(ClassMap)
@render_section.register(Curves)
@render_section.register(Gallery)
@render_section.register(Group)
@render_section.register(HeatMap)
@render_section.register(Overview)
@render_section.register(Table)
def _(section: object, report: Report) -> str:
    precisely: dict[str, Callable[..., object]] = {
        "Charts": Charts, "figure_text": _figure_text, "ends": _ends, "number": quantity,
        "facts": _facts,
    }  # fmt: skip
    words = {
        "report": report, "marks": _MARKS, "outside": NOT_IN_PROTOCOL, "full_name": full_name,
        "cell_words": cell_words,
        "frame": FRAME, "line": Line, "limit": _limit, "shade": shade,
        "models": list(report.model_facts), "by_cell": _by_cell, "by_drop": _by_drop,
        "own_notes": partial(_own_notes, counts=_notes(report)),
        **{name: partial(one, precision=report.precision) for name, one in precisely.items()},
    }  # fmt: skip
    macros: Any = _environment().get_template("sections.html").make_module(words)
    markup: str = getattr(macros, type(section).__name__)(section)
    return markup


@lru_cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("stl_backbones.report.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@lru_cache
def _style() -> Markup:
    template = _environment().get_template("page.css")
    return Markup(template.render(shades=shades(), gradient=gradient()))


@lru_cache
def _script() -> Markup:
    return Markup(_environment().get_template("page.js").render())


def _hash(text: str) -> str:
    """The source expression of a Content-Security-Policy that allows this text alone."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _notes(report: Report) -> Counter[str]:
    """How many tables have each note."""
    groups = [one.tables for one in report.sections if isinstance(one, Group)]
    single = [one for one in report.sections if isinstance(one, Table)]
    return Counter(note for tables in (single, *groups) for one in tables for note in one.notes)


def _own_notes(table: Table, *, counts: Counter[str]) -> list[str]:
    """The notes that no other table has."""
    return [note for note in table.notes if counts[note] < 2]


def _figure_text(figure: Figure, *, precision: int) -> str:
    if isinstance(figure.value, str):
        return figure.value
    return quantity(figure.value, figure.unit, precision)


def _ends(interval: tuple[float, float] | None, unit: str, *, precision: int) -> str:
    """For example ``'56.9 to 57.9'``; empty if there are none."""
    if interval is None or math.isnan(interval[0]):
        return ""
    low, high = (quantity(end, unit, precision) for end in interval)
    return f"{low} to {high}"


def _limit(value: float, unit: str) -> str:
    """An end of the colour scale."""
    return f"{100 * value:.0f}" if unit == "fraction" else f"{value:.1f}"


def _facts(detail: CellDetail, unit: str, *, precision: int) -> dict[str, str]:
    """What the script shows of a cell, by the name of the attribute that holds it."""
    classes = [f"{name}\t{quantity(s, 'fraction', precision)}" for name, s in detail.classes]
    found = {"cell": detail.cell, "ends": _ends(detail.interval, unit, precision=precision),
             "classes": "\n".join(classes)}  # fmt: skip
    return {name: text for name, text in found.items() if text}


def _by_cell(section: Gallery) -> dict[str, list[Any]]:
    """Cell -> its pictures."""
    found: dict[str, list[Any]] = {}
    for picture in section.pictures:
        found.setdefault(picture.cell, []).append(picture)
    return found


def _by_drop(rows: list[Row]) -> list[Row]:
    """Rows of a class map, the largest fall first; those without one last."""

    def fall(row: Row) -> float:
        drop = row.values.get("drop")
        return drop if isinstance(drop, float) and not math.isnan(drop) else -math.inf

    return sorted(rows, key=fall, reverse=True)
