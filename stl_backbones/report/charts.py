"""Severity curves as inline SVG: no script, no library, the same bytes every time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from stl_backbones.corruptions.catalog import SEVERITIES, Protocol
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.runs import Run
from stl_backbones.report.table import full_name

WIDTH, HEIGHT = 300, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 10, 10, 34
# Colours are classes `s0`, `s1`, ... of the page's style sheet, so that dark mode can change them.
NUM_COLOURS = 7
# Beyond them the line's pattern changes.
_DASHES = ("", "6 3", "2 3", "8 3 2 3")


@dataclass(frozen=True)
class Curve:
    """One line: score over severity.

    Attributes:
        label: Name in the legend.
        points: Severity (0 = clean) -> fraction; what was not measured is not there.
        levels: The severities that the line should have; it breaks at those not in `points`.
    """

    label: str
    points: dict[int, float]
    levels: tuple[int, ...]


@dataclass(frozen=True)
class Panel:
    """One small chart.

    Attributes:
        group: The corruption group that it belongs to.
        title: Heading.
        curves: Its lines.
    """

    group: str
    title: str
    curves: tuple[Curve, ...]


def make_panels(runs: Sequence[Run], protocol: Protocol) -> tuple[Panel, ...]:
    """One panel per group with a line per corruption; with several models, one per corruption."""
    if len(runs) == 1:
        return tuple(
            Panel(group, full_name(group), _by_corruption(runs[0], names, protocol))
            for group, names in protocol.columns.items()
        )
    return tuple(
        Panel(
            group,
            full_name(name),
            tuple(_curve(run.label, run, name, protocol) for run in runs),
        )
        for group, names in protocol.columns.items()
        for name in names
    )


def _by_corruption(run: Run, names: Sequence[str], protocol: Protocol) -> tuple[Curve, ...]:
    return tuple(_curve(full_name(name), run, name, protocol) for name in names)


def _curve(label: str, run: Run, corruption: str, protocol: Protocol) -> Curve:
    cells = {0: CLEAN, **{s: Cell(corruption, s) for s in protocol.severities[corruption]}}
    points = {
        severity: run.scores[cell]
        for severity, cell in cells.items()
        if cell in run.scores and not math.isnan(run.scores[cell])
    }
    return Curve(label, points, tuple(cells))


def axis_top(panels: Sequence[Panel]) -> float:
    """Upper end of the axis that all panels share: the highest value, rounded up to a tenth."""
    values = [v for panel in panels for curve in panel.curves for v in curve.points.values()]
    return max(0.1, math.ceil(10 * max(values, default=1.0) - 1e-9) / 10)


def legend(labels: Sequence[str]) -> str:
    """HTML: a swatch of each line beside its name."""
    items = "".join(
        f'<li><svg viewBox="0 0 30 10" aria-hidden="true"><path class="line {_style(i)}" '
        f'd="M1 5H29"{_dash(i)}/>{_marker(i, 15, 5)}</svg>{escape(label)}</li>'
        for i, label in enumerate(labels)
    )
    return f'<ul class="legend">{items}</ul>'


def render_panel(panel: Panel, *, top: float, metric: str, precision: int) -> str:
    """One chart as an ``<svg>``.

    Args:
        panel: What to draw.
        top: Upper end of the vertical axis, a fraction; its lower end is 0.
        metric: The metric's name.
        precision: Decimals in tooltips.
    """
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(panel.title)}: {escape(metric)} by severity">',
        *_axes(top, metric),
    ]
    for index, curve in enumerate(panel.curves):
        path = _path(curve, top)
        parts.append(f'<path class="line {_style(index)}" d="{path}"{_dash(index)}/>')
        for severity, value in sorted(curve.points.items()):
            where = "clean" if severity == 0 else f"severity {severity}"
            tip = f"{curve.label}, {where}: {100 * value:.{precision}f} %"
            marker = _marker(index, _x(severity), _y(value, top))
            parts.append(f"<g>{marker}<title>{escape(tip)}</title></g>")
    return "".join([*parts, "</svg>"])


def _axes(top: float, metric: str) -> Iterator[str]:
    step = 0.1 if top <= 0.5 else 0.2
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    for tick in range(int(top / step + 1e-9) + 1):
        y = _y(tick * step, top)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>'
        yield f'<text class="tick end" x="{_LEFT - 5}" y="{y + 3.5:.1f}">{tick * step * 100:.0f}'
        yield "</text>"
    for severity in (0, *SEVERITIES):
        name = "clean" if severity == 0 else str(severity)
        x = f"{_x(severity):.1f}"
        yield f'<path class="axis" d="M{x} {bottom}v4"/>'
        yield f'<text class="tick mid" x="{x}" y="{bottom + 15}">{name}</text>'
    yield f'<path class="axis" d="M{_LEFT} {bottom}H{right}"/>'
    middle = (_LEFT + right) / 2
    yield f'<text class="tick mid" x="{middle:.0f}" y="{HEIGHT - 4}">severity</text>'
    height = (_TOP + bottom) / 2
    yield f'<text class="tick mid" transform="translate(9 {height:.0f}) rotate(-90)">'
    yield f"{escape(metric)} (%)</text>"


def _path(curve: Curve, top: float) -> str:
    commands = []
    pen_down = False
    for severity in curve.levels:
        value = curve.points.get(severity)
        if value is not None:
            command = "L" if pen_down else "M"
            commands.append(f"{command}{_x(severity):.1f} {_y(value, top):.1f}")
        pen_down = value is not None
    return "".join(commands)


def _x(severity: int) -> float:
    inset = 12.0  # keeps the first and last label inside the picture
    return _LEFT + inset + (WIDTH - _LEFT - _RIGHT - 2 * inset) * severity / max(SEVERITIES)


def _y(value: float, top: float) -> float:
    return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - value / top)


def _style(index: int) -> str:
    return f"s{index % NUM_COLOURS}"


def _dash(index: int) -> str:
    dash = _DASHES[index // NUM_COLOURS % len(_DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def _marker(index: int, x: float, y: float) -> str:
    """A shape per line, so that colour is not the only difference."""
    r = 3.2
    shapes = (
        f'<circle class="dot {{style}}" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>',
        f'<path class="dot {{style}}" d="M{x - r:.1f} {y - r:.1f}h{2 * r}v{2 * r}h{-2 * r}z"/>',
        f'<path class="dot {{style}}" d="M{x:.1f} {y - 4:.1f}l4 7h-8z"/>',
        f'<path class="dot {{style}}" d="M{x:.1f} {y - 4.4:.1f}l4.4 4.4l-4.4 4.4l-4.4 -4.4z"/>',
        f'<path class="dot {{style}}" d="M{x:.1f} {y + 4:.1f}l4 -7h-8z"/>',
    )
    return shapes[index % len(shapes)].format(style=_style(index))
