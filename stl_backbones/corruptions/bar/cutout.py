"""checkerboard_cutout, lines: grey shapes over the image."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions.native.arrays import Floats, Image, Indices
from stl_backbones.corruptions.native.compiled import kernel

_GREY = 128


def checkerboard_cutout(image: Image, level: float, rng: np.random.Generator) -> Image:
    """Cover cells of one colour of a turned checkerboard, each with probability ``0.1 * level``.

    Draws: the angle of U(0, 2 pi), the cells' side of U(0.1, 0.25) S, a number of [0, 1) per cell
    of a grid that is four times as wide and high as the longer side.
    """
    height, width = image.shape[:2]
    angle = rng.uniform(0, 2 * math.pi)
    cell = max(rng.uniform(0.1, 0.25) * min(height, width), 1)
    count = math.floor(4 * max(height, width) / cell)
    is_covered = rng.random((count, count)) < 0.1 * level
    out = np.empty_like(image)
    _cover(image, is_covered, math.cos(angle) / cell, math.sin(angle) / cell, out)
    return out


@kernel
def _cover(
    image: Image, is_covered: npt.NDArray[np.bool_], cosine: float, sine: float, out: Image
) -> None:
    """Turned about the corner; a cell's place in the grid is cut towards 0, its colour is not."""
    count, width = is_covered.shape[0], image.shape[1]
    keys = np.empty(width, np.int32)
    for row in range(image.shape[0]):
        for i in range(width):
            u, v = cosine * row + sine * i, cosine * i - sine * row
            floors = np.int32(np.floor(u)) + np.int32(np.floor(v))
            keys[i] = -1 if floors % 2 else 0
        for i in range(width):
            if keys[i] == 0:
                u, v = cosine * row + sine * i, cosine * i - sine * row
                place = int(u) % count, int(v) % count
                keys[i] = is_covered[place[0], place[1]]
        for i in range(width):
            for channel in range(3):
                out[row, i, channel] = _GREY if keys[i] == 1 else image[row, i, channel]


def lines(image: Image, level: float, rng: np.random.Generator) -> Image:
    """Draw ``floor(0.1 * level * S)`` anti-aliased grey lines in similar directions.

    Each goes S pixels both ways from a point; a pixel above and one below (or beside) share its
    grey. Ends are truncated to whole pixels.

    Draws: the mean angle of U(0, 2 pi), the spread of U(0.1, 1); then line by line its point's x
    and y over the image, and a number of [0, 1) for its angle.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    mean, spread = rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 1)
    count = math.floor(0.1 * level * side)
    ends = np.empty((count, 4), np.int64)
    for line in range(count):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        angle = mean + 2 * math.pi * spread * (rng.random() - 0.5)
        reach = side * math.cos(angle), side * math.sin(angle)
        ends[line] = x - reach[0], y - reach[1], x + reach[0], y + reach[1]
    values = image.astype(np.float32)
    _draw_lines(values, ends)
    return values.astype(np.uint8)


@kernel
def _draw_lines(image: Floats, ends: Indices) -> None:
    """Blend lines into ``(H, W, 3)`` float32, one after the other.

    References:
        Wu 1991, "An efficient antialiasing technique".
    """
    for line in range(ends.shape[0]):
        x0, y0, x1, y1 = ends[line, 0], ends[line, 1], ends[line, 2], ends[line, 3]
        is_steep = abs(y1 - y0) > abs(x1 - x0)
        if is_steep:
            x0, y0, x1, y1 = y0, x0, y1, x1
        if x0 > x1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        slope = (y1 - y0) / max(x1 - x0, 1)
        limit = image.shape[0] if is_steep else image.shape[1]
        for x in range(max(x0, 0), min(x1 + 1, limit)):
            y = y0 + slope * (x - x0)
            before = int(np.floor(y))
            share = np.float32(y - before)
            _blend(image, x, before, np.float32(1) - share, is_steep)
            _blend(image, x, before + 1, share, is_steep)


@kernel
def _blend(image: Floats, x: int, y: int, share: float, is_steep: bool) -> None:
    row, column = (x, y) if is_steep else (y, x)
    if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
        for channel in range(3):
            value = image[row, column, channel]
            image[row, column, channel] = value + share * (np.float32(_GREY) - value)


__all__ = ["checkerboard_cutout", "lines"]
