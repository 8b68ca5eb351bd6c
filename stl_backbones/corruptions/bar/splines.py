"""circular_motion_blur, transverse_chromatic_abberation: scipy's cubic splines."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import spline_filter1d

from stl_backbones.corruptions.bar.rows import level_of
from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image, Indices
from stl_backbones.corruptions.native.compiled import kernel

_TURNS = 21
_MARGIN = 2  # pixels that a cubic spline reaches beyond the image
_SIXTH = np.float32(1 / 6)
_ONE, _TWO, _FOUR = np.float32(1), np.float32(2), np.float32(4)


def circular_motion_blur(image: Image, level: float, rng: np.random.Generator) -> Image:  # noqa: ARG001
    """Mean of 21 copies turned by up to ``1.5 * level`` degrees both ways. Draws nothing."""
    parts = np.linspace(-1, 1, _TURNS)
    weights = np.exp(-2 * parts**2)
    angles = np.deg2rad(1.5 * level * parts)
    turns = np.stack([np.cos(angles), np.sin(angles), weights / weights.sum()], 1)
    coefficients = image.astype(np.float32)
    for axis in (0, 1):
        coefficients = spline_filter1d(coefficients, 3, axis, output=np.float32, mode="mirror")
    margins = ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0))
    out = np.empty_like(image)
    _turn(np.pad(coefficients, margins, mode="reflect"), turns, out)
    return out


@kernel
def _turn(coefficients: Floats, turns: Doubles, out: Image) -> None:
    height, width = out.shape[:2]
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    sums = np.empty((width, 3), np.float32)
    for row in range(height):
        sums[:] = np.float32(0)
        for turn in range(turns.shape[0]):
            cosine, sine, weight = turns[turn]
            top = cosine * (row - middle_y) - sine * middle_x + middle_y
            left = -sine * (row - middle_y) - cosine * middle_x + middle_x
            for i in range(width):
                y, x = top + sine * i, left + cosine * i
                if 0 <= y <= height - 1 and 0 <= x <= width - 1:
                    _add_spline(coefficients, y, x, np.float32(weight), sums[i])
        for i in range(width):
            for channel in range(3):
                out[row, i, channel] = level_of(sums[i, channel])


@kernel
def _weights(part: float) -> tuple[float, float, float, float]:
    """Of the four pixels around a place, ``part`` of a pixel after the second."""
    rest = _ONE - part
    return (
        rest * rest * rest * _SIXTH,
        (_FOUR + part * part * (part - _TWO) * np.float32(3)) * _SIXTH,
        (_FOUR + rest * rest * (rest - _TWO) * np.float32(3)) * _SIXTH,
        part * part * part * _SIXTH,
    )


@kernel
def _add_spline(coefficients: Floats, y: float, x: float, weight: float, sums: Floats) -> None:
    row, column = np.int64(y), np.int64(x)
    down, across = _weights(np.float32(y - row)), _weights(np.float32(x - column))
    red, green, blue = np.float32(0), np.float32(0), np.float32(0)
    for k in range(4):
        line = coefficients[row + k + _MARGIN - 1]
        for m in range(4):
            share = down[k] * across[m]
            pixel = line[column + m + _MARGIN - 1]
            red += share * pixel[0]
            green += share * pixel[1]
            blue += share * pixel[2]
    sums[0] += weight * red
    sums[1] += weight * green
    sums[2] += weight * blue


def transverse_chromatic_abberation(image: Image, level: float, rng: np.random.Generator) -> Image:
    """Enlarge the channels by 1, ``1 + 0.025 * level`` and ``1 + 0.05 * level``.

    As scipy's ``zoom(order=3, prefilter=False)``: every channel, the first too, is smoothed by the
    cubic B-spline. The middle is cut out.

    Draws: a permutation of the three, for R, G and B.
    """
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))
    for channel, number in enumerate(rng.permutation(3)):
        zoom = 1 + 0.025 * level * number
        rows, columns = (_taps(size, zoom) for size in image.shape[:2])
        planes[channel] = _enlarge(planes[channel], rows, columns)
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def _taps(size: int, zoom: float) -> tuple[Indices, Floats]:
    """Of an enlarged axis's middle: the four pixels of a place and their weights, ``(4, size)``."""
    enlarged = round(size * zoom)
    places = (np.arange(size) + (enlarged - size) // 2) * ((size - 1) / (enlarged - 1))
    before = np.floor(places).astype(np.int64)
    pixels = np.abs(before + np.arange(-1, 3)[:, None])
    pixels = np.where(pixels > size - 1, 2 * (size - 1) - pixels, pixels)
    return pixels, np.stack(_weights.py_func((places - before).astype(np.float32)))


@kernel
def _enlarge(plane: Image, rows: tuple[Indices, Floats], columns: tuple[Indices, Floats]) -> Image:
    out = np.empty_like(plane)
    width = plane.shape[1]
    line, values = np.empty(width, np.float32), np.empty(width, np.float32)
    places = columns[0].astype(np.uint32)
    for row in range(plane.shape[0]):
        first, second = plane[rows[0][0, row]], plane[rows[0][1, row]]
        third, fourth = plane[rows[0][2, row]], plane[rows[0][3, row]]
        a, b, c, d = rows[1][0, row], rows[1][1, row], rows[1][2, row], rows[1][3, row]
        for i in range(width):
            value = a * np.float32(first[i]) + b * np.float32(second[i])
            line[i] = value + c * np.float32(third[i]) + d * np.float32(fourth[i])
        for i in range(width):
            value = columns[1][0, i] * line[places[0, i]] + columns[1][1, i] * line[places[1, i]]
            value += columns[1][2, i] * line[places[2, i]] + columns[1][3, i] * line[places[3, i]]
            values[i] = value
        for i in range(width):
            out[row, i] = level_of(values[i])
    return out
