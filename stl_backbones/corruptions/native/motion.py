"""motion_blur, and the taps along a line that snow uses too."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image, Indices
from stl_backbones.corruptions.native.certify import CHANNELS, settle_row, truncate
from stl_backbones.corruptions.native.compiled import kernel, quick_kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.scratch import scratch
from stl_backbones.corruptions.parameters import MOTION_BLUR_ANGLES, Motion

_STRIPE = 2048  # columns whose sums stay in the nearest cache


class Taps(NamedTuple):
    """The result at a place is the sum of ``weights[i]`` times the image at place - shift[i]."""

    rows: Indices  # shifts downwards
    columns: Indices  # shifts to the right
    weights: Doubles

    @property
    def reach(self) -> int:
        """The longest shift along an axis."""
        return int(max(np.abs(self.rows).max(), np.abs(self.columns).max()))

    @property
    def error(self) -> float:
        """Largest possible error, in levels, of a float32 sum from the last tap to the first."""
        return float((np.cumsum(self.weights[::-1]).sum() + 6) * 255 * 2.0**-24)


def taps_along(motion: Motion, angle: float, shape: tuple[int, int]) -> Taps:
    """Half a Gaussian along a line, as the package lays it on pixels.

    Args:
        motion: Length and falloff.
        angle: Degrees.
        shape: ``(H, W)``; a line that leaves the image is cut, and its weights are not rescaled.
    """
    width = motion.radius * 2 + 1
    weights = np.exp(-(np.arange(width) ** 2) / (2 * (motion.sigma**2)))
    weights /= np.sqrt(2 * np.pi) * motion.sigma
    weights /= np.sum(weights)
    down, right = width * np.sin(np.deg2rad(angle)), width * np.cos(np.deg2rad(angle))
    length = math.hypot(down, right)
    shifts = []
    for i in range(width):
        dy = -math.ceil(((i * down) / length) - 0.5)
        dx = -math.ceil(((i * right) / length) - 0.5)
        if abs(dy) >= shape[0] or abs(dx) >= shape[1]:
            break
        shifts.append((dy, dx))
    rows, columns = np.array(shifts, dtype=np.int64).T.copy()
    return Taps(rows, columns, weights[: len(shifts)])


def exact_motion_blur(image: Image, motion: Motion, draws: Draws) -> Image:
    """Weighted shifts, borders repeated."""
    (angle,) = draws.uniforms(1, *MOTION_BLUR_ANGLES)
    taps = taps_along(motion, angle, image.shape[:2])
    return _blur_image(image, taps, taps.error)


def fast_motion_blur(image: Image, motion: Motion, draws: Draws) -> Image:
    """The same in float32."""
    angle = draws.generator().uniform(*MOTION_BLUR_ANGLES)
    return _blur_image(image, taps_along(motion, angle, image.shape[:2]), 0.0)


def _blur_image(image: Image, taps: Taps, edge: float) -> Image:
    out = np.empty_like(image)
    rows = image.shape[0], image.shape[1] * CHANNELS
    padded = pad_columns(image.reshape(rows), taps.reach * CHANNELS, CHANNELS)
    _blur(image.reshape(rows), padded, out.reshape(rows), taps, taps.reach, edge)
    return out


def pad_columns(rows: npt.NDArray[Any], margin: int, channels: int) -> Floats:
    """``(H, size + 2 * margin)`` float32, both ends repeated; a work array of this thread."""
    height, size = rows.shape
    padded = scratch("padded", (height, size + 2 * margin), np.float32)
    _pad(rows, padded, margin, channels)
    return padded


@kernel
def _pad(rows: npt.NDArray[Any], padded: Floats, margin: int, channels: int) -> None:
    size = rows.shape[1]
    for row in range(rows.shape[0]):
        source, target = rows[row], padded[row]
        for i in range(size):
            target[margin + i] = np.float32(source[i])
        for i in range(margin):
            target[i] = target[margin + i % channels]
            target[margin + size + i] = target[margin + size - channels + i % channels]


@quick_kernel
def add_taps(padded: Floats, row: int, start: int, taps: Taps, channels: int, out: Floats) -> None:
    """The weighted sums at ``padded[row, start:]``, four taps at a time, the last ones first."""
    bottom, size, tap = padded.shape[0] - 1, out.shape[0], taps.weights.shape[0] - 1
    for i in range(size):
        out[i] = np.float32(0)
    while tap >= 3:
        first, w0 = _line(padded, row, start, taps, tap, channels, bottom)
        second, w1 = _line(padded, row, start, taps, tap - 1, channels, bottom)
        third, w2 = _line(padded, row, start, taps, tap - 2, channels, bottom)
        fourth, w3 = _line(padded, row, start, taps, tap - 3, channels, bottom)
        for i in range(size):
            pair = first[i] * w0 + second[i] * w1
            out[i] = out[i] + pair + third[i] * w2 + fourth[i] * w3
        tap -= 4
    while tap >= 0:
        line, weight = _line(padded, row, start, taps, tap, channels, bottom)
        for i in range(size):
            out[i] += line[i] * weight
        tap -= 1


@kernel
def _line(
    padded: Floats, row: int, start: int, taps: Taps, tap: int, channels: int, bottom: int
) -> tuple[Floats, float]:
    source = padded[min(max(row - taps.rows[tap], 0), bottom)]
    return source[start - taps.columns[tap] * channels :], np.float32(taps.weights[tap])


@kernel
def _blur(image: Image, padded: Floats, out: Image, taps: Taps, reach: int, edge: float) -> None:
    height, size = image.shape
    values, near = np.empty(size, np.float32), np.empty(size, np.int64)
    flat, same = _blur_of_flat(taps), np.zeros(size, np.uint16)
    for row in range(height):
        for start in range(0, size, _STRIPE):
            part = values[start : start + _STRIPE]
            add_taps(padded, row, reach * CHANNELS + start, taps, CHANNELS, part)
        if edge == 0.0:
            truncate(values, out[row])
            continue
        window = reach, edge
        found = settle_row(image, row, values, window, flat, same, near, out[row])
        for i in range(found):
            out[row, near[i]] = _blur_point(padded, row, reach * CHANNELS + near[i], taps)


@kernel
def _blur_of_flat(taps: Taps) -> Image:
    """What becomes of a level whose whole window has it."""
    out = np.empty(256, np.uint8)
    for level in range(256):
        value = 0.0
        for tap in range(taps.weights.shape[0]):
            value += taps.weights[tap] * level
        out[level] = np.uint8(min(value, 255.0))
    return out


@kernel
def _blur_point(padded: Floats, row: int, at: int, taps: Taps) -> int:
    """One value in the package's type and order."""
    value = 0.0
    for tap in range(taps.weights.shape[0]):
        source = padded[min(max(row - taps.rows[tap], 0), padded.shape[0] - 1)]
        value += taps.weights[tap] * np.float64(source[at - taps.columns[tap] * CHANNELS])
    return np.uint8(min(value, 255.0))
