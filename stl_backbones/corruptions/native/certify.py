"""Certified rounding: float32 where the truncated result is provably right, and a list of the rest.

A row of float32 values comes with its largest possible error. Values farther than that from a whole
number truncate as the exact value would; the positions of the others are collected, those in flat
surroundings are looked up, and the caller computes what is left in float64.
"""

from __future__ import annotations

import numpy as np

from stl_backbones.corruptions.native.arrays import Bits, Floats, Image, Indices
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.native.levels import to_byte

CHANNELS = 3
CROWDED = 20  # one value in so many is left: do the whole row in float64


@kernel
def lone_pixel(level: int) -> Image:
    """An image of one grey pixel, ``(1, 3)``: whatever blurs it sees that level alone."""
    return np.full((1, CHANNELS), np.uint8(level))


@kernel
def for_channels(line: Floats, values: Floats) -> None:
    """Write each pixel's value three times: ``(W,)`` to ``(W * 3,)``."""
    for i in range(line.shape[0]):
        values[3 * i] = line[i]
        values[3 * i + 1] = line[i]
        values[3 * i + 2] = line[i]


@kernel
def truncate(values: Floats, out: Image) -> None:
    """Levels of values of 0 and more."""
    for i in range(values.shape[0]):
        out[i] = to_byte(min(values[i], np.float32(255)))


@kernel
def settle_row(
    image: Image,
    row: int,
    values: Floats,
    window: tuple[int, float],
    flat: Image,
    same: Bits,
    near: Indices,
    out: Image,
) -> int:
    """Truncate one row's values, where that is certain; rows come in order.

    Args:
        image: ``(H, W * 3)``, what the values are made of.
        row: The row.
        values: ``(W * 3,)`` of [0, 255].
        window: How far a value's sources are away at most, and its largest possible error.
        flat: ``(256,)``, what becomes of a level whose whole window has it.
        same: ``(W * 3,)``, kept from row to row.
        near: ``(W * 3,)``, written: positions that are left to the caller.
        out: ``(W * 3,)``, written.

    Returns:
        How many positions are left.
    """
    reach, error = window
    last = image.shape[0] - 1
    bottom, counted = min(row + reach, last), min(row - 1 + reach, last) if row else -1
    for i in range(counted + 1, bottom + 1):
        count_same_above(image, i, same)
    found = round_down(values, out, np.float32(error), near)
    if found == 0:
        return 0
    rows = bottom - max(row - reach, 0) + 1
    return settle_flat(image[bottom], same, rows, reach, flat, near, found, out)


@kernel
def round_down(values: Floats, out: Image, edge: float, near: Indices) -> int:
    """Truncate values of [0, 255]; positions nearer than ``edge`` to a whole number go to ``near``.

    Returns:
        How many are near.
    """
    size = values.shape[0]
    flags = np.zeros((size + 7) // 8 * 8, np.uint8)
    for i in range(size):
        value = values[i]
        out[i] = to_byte(min(value, np.float32(255)))
        is_near = (abs(value - np.rint(value)) < edge) & (value > np.float32(0.5))
        flags[i] = np.uint8(is_near)
    found = 0
    eights = flags.view(np.uint64)
    for k in range(eights.shape[0]):
        if eights[k]:
            for i in range(8 * k, 8 * k + 8):
                if flags[i]:
                    near[found] = i
                    found += 1
    return found


@kernel
def count_same_above(image: Image, row: int, same: Bits) -> None:
    """How many rows, this one included, hold the same level up to here; at most 65535."""
    this = image[row]
    if row == 0:
        for i in range(same.shape[0]):
            same[i] = 1
        return
    above = image[row - 1]
    for i in range(same.shape[0]):
        longer = min(same[i], np.uint16(65534)) + np.uint16(1)
        same[i] = longer if this[i] == above[i] else np.uint16(1)


@kernel
def settle_flat(
    bottom: Image,
    same: Bits,
    rows: int,
    radius: int,
    flat: Image,
    near: Indices,
    found: int,
    out: Image,
) -> int:
    """Look up the near pixels whose whole window is one level, a white sky say; keep the others."""
    last, kept = bottom.shape[0] // CHANNELS - 1, 0
    # Per channel a run of columns known to be flat, and its level.
    flat_from, flat_to = np.full(CHANNELS, 0), np.full(CHANNELS, -1)
    flat_level = np.full(CHANNELS, -1)
    for i in range(found):
        column, channel = near[i] // CHANNELS, near[i] % CHANNELS
        first, end = max(column - radius, 0), min(column + radius, last)
        level = bottom[near[i]]
        known = flat_from[channel] <= first <= flat_to[channel]
        if not known or level != flat_level[channel]:
            flat_from[channel], flat_to[channel] = first, first - 1
            flat_level[channel] = level
        at = flat_to[channel]
        while at < end:
            position = (at + 1) * CHANNELS + channel
            if same[position] < rows or bottom[position] != level:
                break
            at += 1
        flat_to[channel] = at
        if at >= end:
            out[near[i]] = flat[level]
        else:
            near[kept] = near[i]
            kept += 1
    return kept
