"""One self-contained page: no script, no network, light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial, singledispatch
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from stl_backbones.report.numbers.format import (
    MISSING,
    NOT_COUNTED,
    NOT_IN_PROTOCOL,
    full_name,
    quantity,
)
from stl_backbones.report.render.charts import FRAME, Charts, Line
from stl_backbones.report.render.colours import gradient, scale_colour, text_colour, to_hex
from stl_backbones.report.sections import Cards, Curves, Figure, Group, HeatMap, Report, Table

_MARKS = (MISSING, NOT_IN_PROTOCOL, NOT_COUNTED)


def render(report: Report) -> str:
    """The whole page; every name in it is escaped."""
    shown = [render_section(section, report) for section in report.sections]
    page = _environment().get_template("page.html")
    provenance = [("", report.shared_facts), *report.model_facts.items()]
    return page.render(report=report, sections=filter(None, shown), provenance=provenance)


@singledispatch
def render_section(section: object, report: Report) -> str:
    """A section as `markupsafe.Markup`; empty for kinds that the page does not show.

    What another function registers here and is plain text is escaped.
    """
    del section, report
    return ""


@render_section.register(Cards)
@render_section.register(Curves)
@render_section.register(Group)
@render_section.register(HeatMap)
@render_section.register(Table)
def _(section: object, report: Report) -> str:
    precisely: dict[str, Callable[..., object]] = {
        "Charts": Charts, "figure_text": _figure_text, "figure_ends": _figure_ends,
        "number": _number,
    }  # fmt: skip
    words = {
        "report": report, "marks": _MARKS, "outside": NOT_IN_PROTOCOL, "full_name": full_name,
        "frame": FRAME, "line": Line, "gradient": gradient(), "limit": _limit, "colours": _colours,
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


def _figure_text(figure: Figure, *, precision: int) -> str:
    if isinstance(figure.value, str):
        return figure.value
    return quantity(figure.value, figure.unit, precision)


def _figure_ends(figure: Figure, *, precision: int) -> str:
    if figure.interval is None or math.isnan(figure.interval[0]):
        return ""
    low, high = (quantity(end, figure.unit, precision) for end in figure.interval)
    return f"{low} to {high}"


def _number(section: HeatMap, value: float | None, *, precision: int) -> str:
    return quantity(value, section.metric.unit, precision)


def _limit(section: HeatMap, end: int) -> str:
    """An end of the colour scale."""
    value = section.limits[end]
    return f"{100 * value:.0f}" if section.metric.unit == "fraction" else f"{value:.1f}"


def _colours(section: HeatMap, value: float) -> str:
    """The style of a cell."""
    low, high = section.limits
    colour = scale_colour((value - low) / (high - low))
    return f"background:{to_hex(colour)};color:{text_colour(colour)}"
