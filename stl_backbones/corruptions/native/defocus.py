"""defocus_blur: a soft disk, as running vertical sums of whole levels and a few taps."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image, Indices, Reals
from stl_backbones.corruptions.native.certify import (
    CHANNELS,
    CROWDED,
    lone_pixel,
    settle_row,
    truncate,
)
from stl_backbones.corruptions.native.compiled import kernel, quick_kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.levels import to_byte
from stl_backbones.corruptions.parameters import TABLES_KEPT, Defocus

_NEGLIGIBLE = 1e-20  # the smallest disk has corners of 1e-45, too small to count and slow to use


class _Plan(NamedTuple):
    """The disk as bars: ``weights[i] * (sum of the levels within heights[i] rows, offsets[i])``."""

    radius: int
    heights: Indices  # half the bar's height; ascending
    offsets: Indices  # columns to the left and to the right
    weights: Doubles


def disk(defocus: Defocus) -> Floats:
    """The package's kernel, ``(2 * max(ceil(radius), 8) + 1,)`` on both sides."""
    reach, size = (8, (3, 3)) if defocus.radius <= 8 else (math.ceil(defocus.radius), (5, 5))
    line = np.arange(-reach, reach + 1)
    aliased = (line[:, None] ** 2 + line**2 <= defocus.radius**2).astype(np.float32)
    aliased /= np.sum(aliased)
    return np.asarray(
        cv2.GaussianBlur(aliased, ksize=size, sigmaX=defocus.alias_sigma), dtype=np.float32
    )


@lru_cache(maxsize=TABLES_KEPT)
def _plan(defocus: Defocus) -> _Plan:
    kernel_ = disk(defocus).astype(np.float64)
    middle = len(kernel_) // 2
    used = np.nonzero(kernel_)[0]
    radius = int(max(middle - used.min(), used.max() - middle))
    quarter = np.pad(kernel_[middle : middle + radius + 1, middle : middle + radius + 1], (0, 1))
    # A column's weights as a sum of bars: what a row has more than the next one outwards.
    steps = quarter[:-1, :-1] - quarter[1:, :-1]
    heights, offsets = np.nonzero(np.abs(steps) > _NEGLIGIBLE)
    return _Plan(radius, heights, offsets, steps[heights, offsets])


def exact_defocus_blur(image: Image, defocus: Defocus, draws: Draws) -> Image:
    """``cv2.filter2D`` on fractions, borders mirrored: float64 where float32 is a close call."""
    plan = _plan(defocus)
    return _defocus(image, plan, _error(plan))


def fast_defocus_blur(image: Image, defocus: Defocus, draws: Draws) -> Image:
    """The same in float32."""
    return _defocus(image, _plan(defocus), 0.0)


def _error(plan: _Plan) -> float:
    """Largest possible error, in levels, of the float32 sum over the bars (whole, so exact)."""
    bars = np.abs(plan.weights) * (2 * plan.heights + 1) * np.where(plan.offsets, 2, 1) * 255
    return float((np.cumsum(bars).sum() + 3 * bars.sum()) * 2.0**-24)


def _defocus(image: Image, plan: _Plan, edge: float) -> Image:
    out = np.empty_like(image)
    rows = image.shape[0], image.shape[1] * CHANNELS
    _blur(image.reshape(rows), out.reshape(rows), plan, plan.weights.astype(np.float32), edge)
    return out


@kernel
def _mirror(index: int, size: int) -> int:
    """``BORDER_REFLECT_101``."""
    index = 0 if size == 1 else abs(index)
    return index if index < size else 2 * size - 2 - index


@kernel
def _blur(image: Image, out: Image, plan: _Plan, small: Floats, edge: float) -> None:
    height, size = image.shape
    margin = plan.radius * CHANNELS
    bars, values = np.empty(size + 2 * margin, np.float32), np.empty(size, np.float32)
    bars_64, sums = np.empty(size + 2 * margin), np.empty(size)
    near = np.empty(size, np.int64)
    flat, same = _blur_of_flat(plan), np.zeros(size, np.uint16)
    for row in range(height):
        _sum_bars(image, row, plan, small, bars, values)
        if edge == 0.0:
            truncate(values, out[row])
            continue
        window = plan.radius, edge
        found = settle_row(image, row, values, window, flat, same, near, out[row])
        if found > size // CROWDED:
            _sum_bars(image, row, plan, plan.weights, bars_64, sums)
            for i in range(size):
                out[row, i] = to_byte(min(sums[i], 255.0))
        else:
            for i in range(found):
                out[row, near[i]] = _blur_point(image, row, near[i], plan)


@kernel
def _blur_of_flat(plan: _Plan) -> Image:
    """What becomes of a level whose whole window has it."""
    out = np.empty(256, np.uint8)
    for level in range(256):
        out[level] = _blur_point(lone_pixel(level), 0, 0, plan)
    return out


@kernel
def _sum_bars(
    image: Image, row: int, plan: _Plan, weights: Reals, bars: Reals, values: Reals
) -> None:
    """One row of the blur, in the type of the weights; ``bars`` is the running vertical sum."""
    height, size = image.shape
    margin, bar = plan.radius * CHANNELS, 0
    middle, centre = bars[margin : margin + size], image[row]
    for i in range(size):
        middle[i] = centre[i]
        values[i] = 0
    for reach in range(plan.radius + 1):
        if reach:
            above = image[_mirror(row - reach, height)]
            below = image[_mirror(row + reach, height)]
            for i in range(size):
                middle[i] += np.int16(above[i]) + np.int16(below[i])
        if bar < plan.heights.shape[0] and plan.heights[bar] == reach:
            _mirror_ends(bars, margin)
        while bar < plan.heights.shape[0] and plan.heights[bar] == reach:
            offset = plan.offsets[bar] * CHANNELS
            if bar + 1 < plan.heights.shape[0] and plan.heights[bar + 1] == reach and offset:
                other = plan.offsets[bar + 1] * CHANNELS
                _add_two_bars(bars, margin, (offset, other), weights[bar : bar + 2], values)
                bar += 2
            else:
                _add_bar(bars, margin, offset, weights[bar], values)
                bar += 1


@kernel
def _mirror_ends(bars: Reals, margin: int) -> None:
    end = bars.shape[0] - margin
    for i in range(0, margin, CHANNELS):
        for channel in range(CHANNELS):
            bars[margin - CHANNELS - i + channel] = bars[margin + CHANNELS + i + channel]
            bars[end + i + channel] = bars[end - 2 * CHANNELS - i + channel]


@quick_kernel
def _add_bar(bars: Reals, margin: int, offset: int, weight: float, values: Reals) -> None:
    left, right = bars[margin - offset :], bars[margin + offset :]
    if offset == 0:
        for i in range(values.shape[0]):
            values[i] += weight * left[i]
    else:
        for i in range(values.shape[0]):
            values[i] += weight * (left[i] + right[i])


@quick_kernel
def _add_two_bars(
    bars: Reals, margin: int, offsets: tuple[int, int], weights: Reals, values: Reals
) -> None:
    left, right = bars[margin - offsets[0] :], bars[margin + offsets[0] :]
    outer_left, outer_right = bars[margin - offsets[1] :], bars[margin + offsets[1] :]
    weight, outer = weights[0], weights[1]
    for i in range(values.shape[0]):
        inside = weight * (left[i] + right[i])
        values[i] = values[i] + inside + outer * (outer_left[i] + outer_right[i])


@kernel
def _blur_point(image: Image, row: int, position: int, plan: _Plan) -> int:
    """One value in float64."""
    height, columns = image.shape[0], image.shape[1] // CHANNELS
    column, channel = position // CHANNELS, position % CHANNELS
    value = 0.0
    for bar in range(plan.heights.shape[0]):
        left = _mirror(column - plan.offsets[bar], columns) * CHANNELS + channel
        right = _mirror(column + plan.offsets[bar], columns) * CHANNELS + channel
        levels = 0
        for reach in range(-plan.heights[bar], plan.heights[bar] + 1):
            line = image[_mirror(row + reach, height)]
            levels += np.int64(line[left])
            levels += np.int64(line[right]) if plan.offsets[bar] else 0
        value += plan.weights[bar] * levels
    return np.uint8(min(value, 255.0))
