"""circular_motion_blur, transverse_chromatic_abberation: scipy's cubic splines."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import spline_filter1d

from stl_backbones.corruptions.bar.rows import level_of
from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image, Indices, Shorts
from stl_backbones.corruptions.native.compiled import kernel

_TURNS = 21
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
    coefficients = np.pad(coefficients, ((1, 2), (1, 2), (0, 0)), mode="reflect")
    out = np.empty_like(image)
    _turn(coefficients.reshape(-1), turns, out)
    return out


def _spline_weights(part: Any) -> tuple[Any, Any, Any, Any]:
    """Of the four pixels around a place, ``part`` of a pixel after the second."""
    rest = _ONE - part
    return (
        rest * rest * rest * _SIXTH,
        (_FOUR + part * part * (part - _TWO) * np.float32(3)) * _SIXTH,
        (_FOUR + rest * rest * (rest - _TWO) * np.float32(3)) * _SIXTH,
        part * part * part * _SIXTH,
    )


_weights = kernel(_spline_weights)


@kernel
def _turn(coefficients: Floats, turns: Doubles, out: Image) -> None:
    """Sum the turned copies row by row; a spline's pixels begin one before the place."""
    height, width = out.shape[:2]
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    pitch = 3 * (width + 3)
    sums, starts = np.empty(3 * width, np.float32), np.empty(width, np.int32)
    downs, acrosses = np.empty(width, np.float32), np.empty(width, np.float32)
    for row in range(height):
        sums[:] = np.float32(0)
        for turn in range(turns.shape[0]):
            cosine, sine, weight = turns[turn]
            top = cosine * (row - middle_y) - sine * middle_x + middle_y
            left = -sine * (row - middle_y) - cosine * middle_x + middle_x
            for i in range(width):
                y, x = top + sine * i, left + cosine * i
                downs[i], acrosses[i] = np.float32(y - np.floor(y)), np.float32(x - np.floor(x))
                is_inside = (y >= 0) & (x >= 0) & (y <= height - 1) & (x <= width - 1)
                start = np.int32(np.floor(y)) * pitch + np.int32(np.floor(x)) * 3
                starts[i] = start if is_inside else -1
            places = starts, downs, acrosses
            _add_splines(coefficients, pitch, places, np.float32(weight), sums)
        target = out[row].reshape(-1)
        for i in range(sums.shape[0]):
            target[i] = level_of(sums[i])


@kernel
def _add_splines(
    coefficients: Floats,
    pitch: int,
    places: tuple[Shorts, Floats, Floats],
    weight: float,
    sums: Floats,
) -> None:
    """Add ``weight`` times the spline at each place of a row; those before 0 are outside."""
    starts, downs, acrosses = places
    for i in range(starts.shape[0]):
        if starts[i] < 0:
            continue
        a, b, c, d = _weights(acrosses[i])
        rows = _weights(downs[i])
        for channel in range(3):
            place = np.uint64(starts[i] + channel)  # unsigned: no check for places from the end
            value = np.float32(0)
            for row in rows:
                line = a * coefficients[place] + b * coefficients[place + np.uint64(3)]
                line += c * coefficients[place + np.uint64(6)]
                line += d * coefficients[place + np.uint64(9)]
                value += row * line
                place += np.uint64(pitch)
            sums[3 * i + channel] += weight * value


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
    return pixels, np.stack(_spline_weights((places - before).astype(np.float32)))


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
