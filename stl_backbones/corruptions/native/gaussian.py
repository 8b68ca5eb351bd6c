"""gaussian_blur, and the separable Gaussian that glass_blur uses too.

Exact and fast share one float32 pass. Where its value is nearer to a whole number than its largest
possible error, truncation could go the other way: exact computes those pixels again in float64, and
only if even that is too near, in the order of operations of scipy's ``correlate1d``.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image
from stl_backbones.corruptions.native.certify import (
    CHANNELS,
    CROWDED,
    lone_pixel,
    settle_row,
    truncate,
)
from stl_backbones.corruptions.native.compiled import kernel, quick_kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.levels import FRACTIONS, to_level
from stl_backbones.corruptions.native.scratch import scratch

Weights = Doubles

_EDGE_64 = 1e-9  # levels; far above the float64 error of any order of operations


@lru_cache(maxsize=64)
def gaussian_weights(sigma: float, truncate: float = 4.0) -> Weights:
    """Scipy's ``gaussian_filter1d`` weights, ``(2 * radius + 1,)``, reversed as it does."""
    radius = int(truncate * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * offsets**2)
    weights /= weights.sum()
    reverse: Weights = weights[::-1].copy()
    return reverse


def rounding_error(weights: Weights) -> float:
    """Largest possible error of the float32 pass over both axes, per unit of the largest value.

    Taps are added from the outside in, so a partial sum is the tail's weight: the roundings add up
    to the sum of the tails, twice, and a few of the whole for weights, pairs and conversions.
    """
    radius = len(weights) // 2
    tails = 2 * np.cumsum(weights[:radius]).sum() + 1
    return float((2 * tails + 6) * 2.0**-24)


def exact_gaussian_blur(image: Image, sigma: float, draws: Draws) -> Image:
    """scikit-image's ``gaussian`` on fractions, borders repeated."""
    return blur_exactly(image, gaussian_weights(sigma))


def fast_gaussian_blur(image: Image, sigma: float, draws: Draws) -> Image:
    """The same in float32."""
    return blur_quickly(image, gaussian_weights(sigma))


def blur_quickly(image: Image, weights: Weights) -> Image:
    """``uint8(gaussian(image / 255) * 255)`` within a level: ``(H, W, 3)`` uint8 both."""
    out = np.empty_like(image)
    rows = image.shape[0], image.shape[1] * CHANNELS
    nothing = np.empty((0, 0))
    _blur(image.reshape(rows), out.reshape(rows), weights, weights.astype(np.float32), 0.0, nothing)
    return out


def blur_exactly(image: Image, weights: Weights) -> Image:
    """``uint8(gaussian(image / 255) * 255)`` bit for bit: ``(H, W, 3)`` uint8 both."""
    out = np.empty_like(image)
    rows = image.shape[0], image.shape[1] * CHANNELS
    edge = 255 * rounding_error(weights)
    fractions = scratch("fractions", rows)  # only touched if a row is flat
    small = weights.astype(np.float32)
    _blur(image.reshape(rows), out.reshape(rows), weights, small, edge, fractions)
    return out


@kernel
def _blur(
    image: Image, out: Image, weights: Weights, small: Floats, edge: float, fractions: Doubles
) -> None:
    height, size = image.shape
    radius = weights.shape[0] // 2
    margin = radius * CHANNELS
    padded, values = np.empty(size + 2 * margin, np.float32), np.empty(size, np.float32)
    near, flat = np.empty(size, np.int64), _blur_of_flat(weights)
    same = np.zeros(size, np.uint16)
    is_filled = False
    for row in range(height):
        _add_rows(image, row, small, padded[margin : margin + size])
        _repeat_ends(padded, margin)
        _add_columns(padded, small, values)
        if edge == 0.0:
            truncate(values, out[row])
            continue
        window = radius, edge
        found = settle_row(image, row, values, window, flat, same, near, out[row])
        if found > size // CROWDED:
            if not is_filled:
                _fill(image, fractions)
                is_filled = True
            _blur_row_64(fractions, row, weights, out[row])
        else:
            for i in range(found):
                out[row, near[i]] = _blur_point(image, row, near[i], weights)


@kernel
def _fill(image: Image, fractions: Doubles) -> None:
    for row in range(image.shape[0]):
        for i in range(image.shape[1]):
            fractions[row, i] = FRACTIONS[image[row, i]]


@kernel
def _blur_of_flat(weights: Weights) -> Image:
    """What becomes of a level whose whole window has it: the weights need not sum to exactly 1."""
    out = np.empty(256, np.uint8)
    for level in range(256):
        out[level] = _blur_point_in_order(lone_pixel(level), 0, 0, weights)
    return out


@quick_kernel
def _add_rows(image: Image, row: int, weights: Floats, out: Floats) -> None:
    """The vertical pass of one row, two pairs of taps at a time, from the outside in."""
    last, radius, size = image.shape[0] - 1, weights.shape[0] // 2, out.shape[0]
    for i in range(size):
        out[i] = np.float32(0)
    k = radius
    if k % 2:
        above, below = image[max(row - k, 0)], image[min(row + k, last)]
        weight = weights[0]
        for i in range(size):
            out[i] += np.float32(np.int16(above[i]) + np.int16(below[i])) * weight
        k -= 1
    while k > 0:
        above, below = image[max(row - k, 0)], image[min(row + k, last)]
        over, under = image[max(row - k + 1, 0)], image[min(row + k - 1, last)]
        weight, inner = weights[radius - k], weights[radius - k + 1]
        for i in range(size):
            pair = np.float32(np.int16(above[i]) + np.int16(below[i])) * weight
            out[i] = out[i] + pair + np.float32(np.int16(over[i]) + np.int16(under[i])) * inner
        k -= 2
    centre = image[row]
    for i in range(size):
        out[i] += np.float32(centre[i]) * weights[radius]


@kernel
def _repeat_ends(padded: Floats, margin: int) -> None:
    end = padded.shape[0] - margin
    for i in range(margin):
        padded[i] = padded[margin + i % CHANNELS]
        padded[end + i] = padded[end - CHANNELS + i % CHANNELS]


@quick_kernel
def _add_columns(padded: Floats, weights: Floats, out: Floats) -> None:
    """The horizontal pass of one row, two pairs of taps at a time, from the outside in."""
    radius, size = weights.shape[0] // 2, out.shape[0]
    middle = radius * CHANNELS
    for i in range(size):
        out[i] = np.float32(0)
    k = radius
    if k % 2:
        left, right = padded[middle - 3 * k :], padded[middle + 3 * k :]
        weight = weights[0]
        for i in range(size):
            out[i] += (left[i] + right[i]) * weight
        k -= 1
    while k > 0:
        left, right = padded[middle - 3 * k :], padded[middle + 3 * k :]
        nearer_left, nearer_right = padded[middle - 3 * k + 3 :], padded[middle + 3 * k - 3 :]
        weight, inner = weights[radius - k], weights[radius - k + 1]
        for i in range(size):
            pair = (left[i] + right[i]) * weight
            out[i] = out[i] + pair + (nearer_left[i] + nearer_right[i]) * inner
        k -= 2
    centre = padded[middle:]
    for i in range(size):
        out[i] += centre[i] * weights[radius]


@kernel
def _blur_point(image: Image, row: int, position: int, weights: Weights) -> int:
    """One value in float64, from sums of whole levels."""
    height, size = image.shape
    radius, last = weights.shape[0] // 2, size // CHANNELS - 1
    column, channel = position // CHANNELS, position % CHANNELS
    value = 0.0
    for dy in range(radius + 1):
        above, below = image[max(row - dy, 0)], image[min(row + dy, height - 1)]
        line = 0.0
        for dx in range(radius + 1):
            left = max(column - dx, 0) * CHANNELS + channel
            right = min(column + dx, last) * CHANNELS + channel
            levels = (
                np.int64(above[left]) + np.int64(above[right])
                + np.int64(below[left]) + np.int64(below[right])
            )  # fmt: skip
            line += levels * (weights[radius - dx] * (0.5 if dx == 0 else 1.0))
        value += line * (weights[radius - dy] * (0.5 if dy == 0 else 1.0))
    if abs(value - np.rint(value)) > _EDGE_64:
        return np.uint8(min(value, 255.0))
    return _blur_point_in_order(image, row, position, weights)


@kernel
def _blur_point_in_order(image: Image, row: int, position: int, weights: Weights) -> int:
    """One value by scipy's order of operations: the vertical sums, then the horizontal one."""
    height, size = image.shape
    radius, last = weights.shape[0] // 2, size // CHANNELS - 1
    column, channel = position // CHANNELS, position % CHANNELS
    sums = np.empty(2 * radius + 1)
    for dx in range(-radius, radius + 1):
        at = min(max(column + dx, 0), last) * CHANNELS + channel
        total = FRACTIONS[image[row, at]] * weights[radius]
        for k in range(-radius, 0):
            above, below = image[max(row + k, 0), at], image[min(row - k, height - 1), at]
            total += (FRACTIONS[above] + FRACTIONS[below]) * weights[radius + k]
        sums[dx + radius] = total
    total = sums[radius] * weights[radius]
    for k in range(-radius, 0):
        total += (sums[radius + k] + sums[radius - k]) * weights[radius + k]
    return to_level(total)


@kernel
def _blur_row_64(fractions: Doubles, row: int, weights: Weights, out: Image) -> None:
    """One row by scipy's order of operations."""
    height, size = fractions.shape
    radius = weights.shape[0] // 2
    margin = radius * CHANNELS
    padded, sums = np.empty(size + 2 * margin), np.empty(size)
    middle, centre = padded[margin : margin + size], fractions[row]
    for i in range(size):
        middle[i] = centre[i] * weights[radius]
    for k in range(-radius, 0):
        above, below = fractions[max(row + k, 0)], fractions[min(row - k, height - 1)]
        weight = weights[radius + k]
        for i in range(size):
            middle[i] += (above[i] + below[i]) * weight
    for i in range(margin):
        padded[i] = middle[i % CHANNELS]
        padded[margin + size + i] = middle[size - CHANNELS + i % CHANNELS]
    for i in range(size):
        sums[i] = middle[i] * weights[radius]
    for k in range(-radius, 0):
        left, right = padded[(radius + k) * CHANNELS :], padded[(radius - k) * CHANNELS :]
        weight = weights[radius + k]
        for i in range(size):
            sums[i] += (left[i] + right[i]) * weight
    for i in range(size):
        out[i] = to_level(sums[i])
