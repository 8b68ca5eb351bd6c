"""Geometry of severity curves in SVG: the same numbers every time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from stl_backbones.corruptions.catalog import SEVERITIES
from stl_backbones.report.numbers.format import quantity
from stl_backbones.report.sections import Curve, Curves


class Frame(NamedTuple):
    """The picture, and the box of its axes."""

    width: int = 300
    height: int = 210
    left: int = 36
    right: int = 290
    top: int = 10
    bottom: int = 176


FRAME = Frame()
_INSET = 12.0  # keeps the first and last label inside the picture
# Colours are classes `s0`, `s1`, ... of the page's style sheet, so that dark mode can change them.
_NUM_COLOURS = 7
# Beyond them the line's pattern changes.
_DASHES = ("", "6 3", "2 3", "8 3 2 3")
# A shape per line, so that colour is not the only difference: where it begins, and its path.
_MARKERS = (
    (-3.2, 0.0, "a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0z"),
    (-3.2, -3.2, "h6.4v6.4h-6.4z"),
    (0.0, -4.0, "l4 7h-8z"),
    (0.0, -4.4, "l4.4 4.4l-4.4 4.4l-4.4 -4.4z"),
    (0.0, 4.0, "l4 -7h-8z"),
)


@dataclass(frozen=True)
class Line:
    """How the line of a number looks.

    Attributes:
        index: Its number in the legend.
    """

    index: int

    @property
    def style(self) -> str:
        """Its class in the style sheet."""
        return f"s{self.index % _NUM_COLOURS}"

    @property
    def dash(self) -> str:
        """Its pattern; empty for none."""
        return _DASHES[self.index // _NUM_COLOURS % len(_DASHES)]

    def marker(self, x: float, y: float) -> str:
        """Path of its marker at a point."""
        left, up, path = _MARKERS[self.index % len(_MARKERS)]
        return f"M{x + left:.1f} {y + up:.1f}{path}"


class Charts:
    """Where the points of all panels lie.

    Args:
        section: The panels; they share their axes.
        precision: Decimals of percentages.
    """

    def __init__(self, section: Curves, precision: int) -> None:
        self._unit, self._precision = section.metric.unit, precision
        curves = [panel.curves for panel in section.panels]
        values = [v for lines in curves for curve in lines for v in curve.points.values()]
        # The highest value, rounded up to a tenth.
        self._top = max(0.1, math.ceil(10 * max(values, default=1.0) - 1e-9) / 10)
        labels = [[curve.label for curve in lines] for lines in curves]
        self.shared = labels[0] if all(names == labels[0] for names in labels) else []

    @property
    def ticks(self) -> Iterator[tuple[float, str]]:
        """Height and text of the vertical axis's marks."""
        step = 0.1 * 2 ** max(0, math.ceil(math.log2(self._top) + 1 - 1e-9))  # five at most
        for tick in range(int(self._top / step + 1e-9) + 1):
            factor = 100 if self._unit == "fraction" else 1
            yield self._y(tick * step), f"{tick * step * factor:.3g}"

    @property
    def severities(self) -> Iterator[tuple[float, str]]:
        """Place and text of the horizontal axis's marks."""
        for severity in (0, *SEVERITIES):
            yield self._x(severity), "clean" if severity == 0 else str(severity)

    def path(self, curve: Curve) -> str:
        """Path of a line; it breaks where a cell was not measured."""
        commands = []
        pen_down = False
        for severity in curve.levels:
            value = curve.points.get(severity)
            if value is not None:
                command = "L" if pen_down else "M"
                commands.append(f"{command}{self._x(severity)} {self._y(value)}")
            pen_down = value is not None
        return "".join(commands)

    def points(self, curve: Curve) -> Iterator[tuple[float, float, str, str]]:
        """Place of every point, what it is of, and its value as text."""
        for severity, value in sorted(curve.points.items()):
            where = "clean" if severity == 0 else f"severity {severity:g}"
            text = quantity(value, self._unit, self._precision)
            yield self._x(severity), self._y(value), where, text

    def _x(self, severity: float) -> float:
        width = FRAME.right - FRAME.left - 2 * _INSET
        return round(FRAME.left + _INSET + width * severity / max(SEVERITIES), 1)

    def _y(self, value: float) -> float:
        return round(FRAME.top + (FRAME.bottom - FRAME.top) * (1 - value / self._top), 1)
