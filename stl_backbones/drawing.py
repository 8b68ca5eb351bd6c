"""Text, bars and panels on pictures, by Pillow: what all pictures made here share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

WHITE, INK, GREY = (255, 255, 255), (26, 26, 26), (110, 110, 110)
# Colours that the colour-blind distinguish: Okabe & Ito 2008, "Color Universal Design".
BLUE, VERMILION, YELLOW = (0, 114, 178), (213, 94, 0), (240, 228, 66)
GREEN, PURPLE = (0, 158, 115), (204, 121, 167)

TEXT = 14  # pixels of a line's letters
LINE = 20  # of a line
GAP = 8  # between panels
_SMALL, _FIELD = 12, 16  # letters and height of a tag
_DEJAVU = "DejaVuSans.ttf"  # knows more scripts than Pillow's own letters


@lru_cache
def font(size: int = TEXT) -> Any:
    """DejaVu Sans where the system has it, else Pillow's own letters."""
    try:
        return ImageFont.truetype(_DEJAVU, size)
    except OSError:
        return ImageFont.load_default(size)


def text_width(text: str, size: int = TEXT) -> int:
    """Pixels that a text takes."""
    return int(np.ceil(font(size).getlength(text)))


def fitted(text: str, width: int, size: int = TEXT) -> str:
    """The text, or its beginning and end where it is wider than ``width`` pixels."""
    if text_width(text, size) <= width:
        return text
    keep = len(text)
    while keep > 2 and text_width(_cut(text, keep), size) > width:
        keep -= 1
    return _cut(text, keep)


def _cut(text: str, keep: int) -> str:
    tail = keep // 2
    return f"{text[: keep - tail]}...{text[len(text) - tail :]}"


def canvas(width: int, height: int, colour: Colour = WHITE) -> tuple[Image.Image, Any]:
    """An empty picture, and what draws on it."""
    picture = Image.new("RGB", (width, height), colour)
    return picture, ImageDraw.Draw(picture)


def resized(image: Pixels, width: int, *, smooth: bool = True) -> Image.Image:
    """An image ``(H, W, 3)`` at another width; small ones, and maps of labels, stay sharp-edged."""
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    shrinks = width < image.shape[1]
    how = Image.Resampling.BOX if smooth and shrinks else Image.Resampling.NEAREST
    return Image.fromarray(image).resize((width, height), how)


def titled(picture: Image.Image, title: str) -> Image.Image:
    """The picture with a line above it."""
    made, draw = canvas(picture.width, picture.height + LINE)
    draw.text((0, 1), fitted(title, picture.width), INK, font())
    made.paste(picture, (0, LINE))
    return made


def grid(rows: Sequence[Sequence[Image.Image]], *, gap: int = GAP) -> Image.Image:
    """Pictures in rows; a column is as wide, a row as high, as its largest picture."""
    columns = max(map(len, rows))
    widths = [max(row[c].width for row in rows if c < len(row)) for c in range(columns)]
    heights = [max(one.height for one in row) for row in rows]
    made, _ = canvas(sum(widths) + gap * (columns - 1), sum(heights) + gap * (len(rows) - 1))
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for one, width in zip(row, widths, strict=False):
            made.paste(one, (left, top))
            left += width + gap
        top += height + gap
    return made


def stacked(pictures: Sequence[Image.Image], *, margin: int = GAP) -> Image.Image:
    """Pictures one below the other, with a margin around them."""
    inner = grid([[one] for one in pictures])
    made, _ = canvas(inner.width + 2 * margin, inner.height + 2 * margin)
    made.paste(inner, (margin, margin))
    return made


def key_of(entries: Sequence[tuple[Colour, str]], width: int) -> Image.Image:
    """A legend: coloured fields with their texts, in as many lines as they need."""
    places, left, line = [], 0, 0
    for colour, text in entries:
        own = LINE + text_width(fitted(text, width - LINE)) + 2 * GAP
        if left and left + own > width:
            left, line = 0, line + 1
        places.append((left, line, colour, fitted(text, width - LINE)))
        left += own
    made, draw = canvas(width, max(LINE * (line + 1), 1))
    for left, line, colour, text in places:
        top = line * LINE
        draw.rectangle((left, top + 3, left + 13, top + 16), colour, GREY)
        draw.text((left + LINE, top + 1), text, INK, font())
    return made


class Tags:
    """Texts on fields of their colours, moved so that they stay on the picture and apart.

    Args:
        pen: What draws on the picture.
        size: Its width and height.
    """

    def __init__(self, pen: Any, size: tuple[int, int]) -> None:
        self.pen, (self.width, self.height) = pen, size
        self._taken: list[tuple[int, int, int]] = []  # left, right, top

    def add(self, corner: tuple[float, float], text: str, colour: Colour) -> None:
        """Write a text above a corner, or as near below as there is room."""
        needs = text_width(text, _SMALL) + 4
        left = max(0, min(int(corner[0]), self.width - needs))
        top = max(0, int(corner[1]) - _FIELD)
        while self._is_taken(left, left + needs, top) and top + 2 * _FIELD < self.height:
            top += _FIELD
        self._taken.append((left, left + needs, top))
        self.pen.rectangle((left, top, left + needs, top + _FIELD - 1), colour)
        bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
        self.pen.text((left + 2, top), text, INK if bright else WHITE, font(_SMALL))

    def _is_taken(self, left: int, right: int, top: int) -> bool:
        return any(
            left < end and right > begin and abs(top - line) < _FIELD
            for begin, end, line in self._taken
        )


__all__ = [
    "BLUE",
    "GAP",
    "GREEN",
    "GREY",
    "INK",
    "LINE",
    "PURPLE",
    "TEXT",
    "VERMILION",
    "WHITE",
    "YELLOW",
    "Colour",
    "Pixels",
    "Tags",
    "canvas",
    "fitted",
    "font",
    "grid",
    "key_of",
    "resized",
    "stacked",
    "text_width",
    "titled",
]  # fmt: skip
