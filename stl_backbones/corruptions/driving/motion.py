"""exposure_motion: what moves over the picture while the shutter is open."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from stl_backbones.corruptions.driving.camera import DISTANCE, SPEED, TURN, focal_px
from stl_backbones.corruptions.driving.light import LEVELS, LINEAR, check_level, write_levels
from stl_backbones.corruptions.native.arrays import Floats, Image, Indices
from stl_backbones.corruptions.native.compiled import quick_kernel
from stl_backbones.corruptions.native.scratch import scratch


class Axis(NamedTuple):
    """Where each place of an axis comes from: between ``first`` and the next one.

    Places of one run come from equally many places further on.
    """

    first: Indices
    share: Floats  # of the next one
    runs: Indices  # where runs begin, and the end of the axis


def exposure_motion(image: Image, level: float, rng: np.random.Generator) -> Image:
    """The mean of linear light over the exposure, driving ahead at 50 km/h in a turn of 10 deg/s.

    Ahead, a point at depth Z moves away from the middle by ``radius v T / Z``; turning, all move
    by ``fx omega T``. Z is 10 m everywhere, while the exposure lasts. Left or right is drawn. The
    picture's own time is the middle of the exposure, so labels stay in place. A power of two of
    moments is averaged, at least one for each pixel that a corner moves.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        level: T, the exposure time in milliseconds, 0..100.
        rng: Its source of randomness.

    Raises:
        InputError: If the level is not in that range.
    """
    seconds = check_level("exposure_motion", level, (0, 100), "ms of exposure") / 1000
    turn = TURN if rng.integers(2) else -TURN
    height, width = image.shape[:2]
    doublings = _doublings(height, width, seconds)
    step = seconds / 2**doublings
    rows = [scratch(f"moved {i}", (height, width * 3), np.float32) for i in range(2)]
    _lighten(image.reshape(height, -1), LINEAR, rows[0])
    for stage in range(doublings - 1):
        axes = moved_axes(height, width, turn, step * 2**stage)
        _average(rows[0], rows[1], axes)
        rows.reverse()
    # The last doubling puts the mean of all moments at the picture's own time.
    early = -(seconds - step) / 2
    out = np.empty_like(image)
    first = moved_axes(height, width, turn, early)
    second = moved_axes(height, width, turn, early + seconds / 2)
    _finish(rows[0], first, second, LEVELS, out.reshape(height, -1))
    return out


def _doublings(height: int, width: int, seconds: float) -> int:
    """How often the number of moments is doubled, from one."""
    radius = math.hypot(height, width) / 2
    path = radius * SPEED * seconds / DISTANCE + focal_px(width) * TURN * seconds
    return max(1, math.ceil(math.log2(max(path, 1.0))))


def moved_axes(height: int, width: int, turn: float, seconds: float) -> tuple[Axis, Axis]:
    """Where rows and columns were so many seconds before, the edge repeated.

    A place's speed is ``(place - middle) v / Z``, and sideways ``fx omega`` more.
    """
    rate = SPEED / DISTANCE
    nearer = math.exp(-rate * seconds)
    drift = focal_px(width) * turn / rate
    rows, columns = (np.arange(size) - (size - 1) / 2 for size in (height, width))
    places = rows * nearer, (columns + drift) * nearer - drift
    sources = [moved + (size - 1) / 2 for moved, size in zip(places, (height, width), strict=True)]
    return _axis(sources[0], height), _axis(sources[1], width)


def _axis(places: Floats, size: int) -> Axis:
    places = np.clip(places, 0, size - 1)
    first = np.minimum(places.astype(np.int64), size - 2)
    breaks = np.flatnonzero(np.diff(first) != 1) + 1
    return Axis(first, (places - first).astype(np.float32), np.array([0, *breaks, size]))


@quick_kernel
def _lighten(image: Image, linear: Floats, out: Floats) -> None:
    for row in range(image.shape[0]):
        for i in range(image.shape[1]):
            out[row, i] = linear[image[row, i]]


@quick_kernel
def _sample(
    rows: Floats, row: int, axes: tuple[Axis, Axis], shares: Floats, line: Floats, out: Floats
) -> None:
    """Add half of a moved row to ``out``; ``line`` is room for a row.

    ``shares`` are those of the columns, three times each, for three channels.
    """
    down, across = axes
    upper, lower, share = rows[down.first[row]], rows[down.first[row] + 1], down.share[row]
    for i in range(line.shape[0]):
        line[i] = upper[i] + (lower[i] - upper[i]) * share
    half = np.float32(0.5)
    for k in range(across.runs.shape[0] - 1):
        start, end = across.runs[k], across.runs[k + 1]
        left = line[3 * across.first[start] :]
        right, target = left[3:], out[3 * start : 3 * end]
        weight = shares[3 * start : 3 * end]
        for i in range(target.shape[0]):
            target[i] += half * (left[i] + (right[i] - left[i]) * weight[i])


@quick_kernel
def _average(rows: Floats, out: Floats, axes: tuple[Axis, Axis]) -> None:
    line, shares = np.empty(rows.shape[1], np.float32), np.repeat(axes[1].share, 3)
    for row in range(rows.shape[0]):
        target, own = out[row], rows[row]
        for i in range(line.shape[0]):
            target[i] = np.float32(0.5) * own[i]
        _sample(rows, row, axes, shares, line, target)


@quick_kernel
def _finish(
    rows: Floats, first: tuple[Axis, Axis], second: tuple[Axis, Axis], levels: Image, out: Image
) -> None:
    size = rows.shape[1]
    line, mean, places = (
        np.empty(size, np.float32),
        np.empty(size, np.float32),
        np.empty(size, np.int32),
    )
    shares = np.repeat(first[1].share, 3), np.repeat(second[1].share, 3)
    for row in range(rows.shape[0]):
        for i in range(size):
            mean[i] = np.float32(0)
        _sample(rows, row, first, shares[0], line, mean)
        _sample(rows, row, second, shares[1], line, mean)
        write_levels(mean, levels, places, out[row])
