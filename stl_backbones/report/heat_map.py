"""Corruption x severity as a table of coloured cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from stl_backbones.corruptions.catalog import SEVERITIES, Protocol
from stl_backbones.records import Cell
from stl_backbones.report.colours import gradient, scale_colour, text_colour, to_hex
from stl_backbones.report.numbers import MISSING, NOT_COUNTED, percent
from stl_backbones.report.runs import Run
from stl_backbones.report.summary import Summary
from stl_backbones.report.table import full_name


def value_range(runs: Sequence[Run]) -> tuple[float, float]:
    """Ends of the colour scale that all maps share: lowest and highest score, to a tenth."""
    values = [v for run in runs for v in run.scores.values() if not math.isnan(v)]
    low = math.floor(10 * min(values, default=0.0) + 1e-9) / 10
    high = math.ceil(10 * max(values, default=1.0) - 1e-9) / 10
    return low, max(high, low + 0.1)


def render_scale(limits: tuple[float, float], metric: str) -> str:
    """The colour scale with its two ends."""
    low, high = (f"{100 * value:.0f}" for value in limits)
    return (
        f'<p class="scale"><span>{low}</span><span class="bar" style="background:{gradient()}">'
        f"</span><span>{high}</span><span>{escape(metric)} (%)</span></p>"
    )


def render_map(
    run: Run,
    summary: Summary,
    *,
    protocol: Protocol,
    limits: tuple[float, float],
    precision: int,
) -> str:
    """One model's map, a ``<table>``."""
    head = "".join(f'<th scope="col">{severity}</th>' for severity in SEVERITIES)
    rows = "".join(_rows(run, summary, protocol=protocol, limits=limits, precision=precision))
    return (
        f'<table class="heat"><caption>{escape(run.label)}</caption><thead><tr>'
        f'<th scope="col">Severity</th>{head}<th scope="col">Mean</th></tr></thead>{rows}</table>'
    )


def _rows(
    run: Run,
    summary: Summary,
    *,
    protocol: Protocol,
    limits: tuple[float, float],
    precision: int,
) -> Iterator[str]:
    for names in protocol.columns.values():
        yield "<tbody>"
        for name in names:
            cells = "".join(
                _cell(run.scores.get(Cell(name, severity)), limits, precision)
                if severity in protocol.severities[name]
                else '<td class="outside">·</td>'
                for severity in SEVERITIES
            )
            mean = percent(summary.corruptions[name], precision)
            yield f'<tr><th scope="row">{escape(full_name(name))}</th>{cells}'
            yield f'<td class="mean">{mean}</td></tr>'
        yield "</tbody>"


def _cell(value: float | None, limits: tuple[float, float], precision: int) -> str:
    if value is None:
        return f'<td class="missing" title="not measured">{MISSING}</td>'
    if math.isnan(value):
        return f'<td class="missing" title="nothing counted">{NOT_COUNTED}</td>'
    low, high = limits
    colour = scale_colour((value - low) / (high - low))
    return (
        f'<td style="background:{to_hex(colour)};color:{text_colour(colour)}">'
        f"{percent(value, precision)}</td>"
    )
