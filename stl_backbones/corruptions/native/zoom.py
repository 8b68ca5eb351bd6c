"""zoom_blur, and the enlargement snow uses too: scipy's ``zoom`` of order 1 on a centre crop."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image, Indices
from stl_backbones.corruptions.native.certify import CHANNELS, round_down
from stl_backbones.corruptions.native.compiled import kernel, quick_kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.levels import FRACTIONS_32, to_byte, to_level_32
from stl_backbones.corruptions.native.scratch import scratch
from stl_backbones.corruptions.parameters import Zoom


class Axis(NamedTuple):
    """One axis of an enlarged centre crop.

    Output ``i`` lies between input ``first[i]`` and the next, ``share[i]`` of the way. Rounding can
    put the last output beyond the input, where scipy has 0: it has no ``first``.
    """

    start: int  # of the crop
    length: int  # of the crop
    outputs: int
    first: Indices  # within the crop
    share: Doubles


def enlarged_axis(size: int, factor: float, *, limit: int | None = None) -> Axis:
    """How the package's ``clipped_zoom`` maps an axis.

    Args:
        size: Of the axis.
        factor: Of the enlargement.
        limit: Only so many outputs.
    """
    length = math.ceil(size / float(factor))
    start = (size - length) // 2
    whole = round(length * factor)
    outputs = whole if limit is None else min(whole, limit)
    step = (length - 1) / (whole - 1) if whole > 1 else 1.0
    places = step * np.arange(outputs)
    places = places[places <= length - 1]
    first = np.floor(places)
    return Axis(start, length, outputs, first.astype(np.int64), places - first)


class _Layers(NamedTuple):
    """All enlargements of one image: both axes of every layer, one after the other."""

    row_counts: Indices  # (layers,)
    rows: Indices  # (layers, H) input row
    row_ends: Indices  # (layers,) last input row of the crop
    row_shares: Doubles  # (layers, H)
    crops: Indices  # (layers, 2) first and number of input columns
    columns: Indices  # (layers, W) input column within the crop
    column_counts: Indices  # (layers,)
    column_shares: Doubles  # (layers, W)
    spread_shares: Floats  # (layers, 3 * W) the same for each channel
    run_counts: Indices  # (layers,)
    runs: Indices  # (layers, W + 1) ends of runs of outputs equally far from inputs


@lru_cache(maxsize=8)
def _layers(height: int, width: int, zoom: Zoom) -> _Layers:
    factors = zoom.factors
    rows = [enlarged_axis(height, factor, limit=height) for factor in factors]
    columns = [enlarged_axis(width, factor, limit=width) for factor in factors]
    # A loop over a run reads neighbours of neighbours: vectors of work instead of single pixels.
    shifts = [np.arange(len(axis.first)) - axis.first for axis in columns]
    runs = [np.flatnonzero(np.diff(shift, prepend=-1, append=-1)) for shift in shifts]
    shares = _stack([axis.share for axis in columns], width)
    return _Layers(
        row_counts=np.array([len(axis.first) for axis in rows]),
        rows=_stack([axis.start + axis.first for axis in rows], height),
        row_ends=np.array([axis.start + axis.length - 1 for axis in rows]),
        row_shares=_stack([axis.share for axis in rows], height),
        crops=np.array([(axis.start, axis.length) for axis in columns]),
        columns=_stack([axis.first for axis in columns], width),
        column_counts=np.array([len(axis.first) for axis in columns]),
        column_shares=shares,
        spread_shares=np.repeat(shares, CHANNELS, axis=1).astype(np.float32),
        run_counts=np.array([len(run) - 1 for run in runs]),
        runs=_stack(runs, width + 1),
    )


def _stack(rows: list[npt.NDArray[Any]], size: int) -> npt.NDArray[Any]:
    return np.stack([np.pad(row, (0, size - len(row))) for row in rows])


def exact_zoom_blur(image: Image, zoom: Zoom, draws: Draws) -> Image:
    """The mean of the image and its enlargements, each rounded to float32 as the package does."""
    # Both sums round once a layer, on values of at most layers * 255; the rest is a few roundings.
    edge = (2 * len(zoom.factors) + 12) * 255 * 2.0**-24
    return _zoom_blur(image, zoom, edge)


def fast_zoom_blur(image: Image, zoom: Zoom, draws: Draws) -> Image:
    """The same in float32, on levels."""
    return _zoom_blur(image, zoom, 0.0)


def _zoom_blur(image: Image, zoom: Zoom, edge: float) -> Image:
    out = np.empty_like(image)
    height, width = image.shape[:2]
    rows = height, width * CHANNELS
    _blur(image.reshape(rows), out.reshape(rows), _layers(height, width, zoom), edge)
    return out


@kernel
def _blur(image: Image, out: Image, layers: _Layers, edge: float) -> None:
    size, count = image.shape[1], layers.row_counts.shape[0]
    total, line = np.empty(size, np.float32), np.empty(size + CHANNELS, np.float32)
    near, gain = np.empty(size, np.int64), np.float32(1.0 / (count + 1))
    for row in range(image.shape[0]):
        for i in range(size):
            total[i] = image[row, i]
        for layer in range(count):
            if row < layers.row_counts[layer]:
                _enlarge_row(image, row, layer, layers, line)
                _add_row(line, layer, layers, total)
        for i in range(size):
            total[i] *= gain
        if edge == 0.0:
            for i in range(size):
                # A mean of equal levels must not fall below them.
                out[row, i] = to_byte(min(total[i] + np.float32(1e-4), np.float32(255)))
            continue
        for i in range(round_down(total, out[row], np.float32(edge), near)):
            out[row, near[i]] = _blur_point(image, row, near[i], layers)


@quick_kernel
def _enlarge_row(image: Image, row: int, layer: int, layers: _Layers, line: Floats) -> None:
    """The crop's columns at an output row."""
    at, share = layers.rows[layer, row], np.float32(layers.row_shares[layer, row])
    start, size = layers.crops[layer, 0] * CHANNELS, layers.crops[layer, 1] * CHANNELS
    above, below = image[at, start:], image[min(at + 1, layers.row_ends[layer]), start:]
    for i in range(size):
        level = np.float32(above[i])
        line[i] = level + (np.float32(below[i]) - level) * share
    for i in range(CHANNELS):
        line[size + i] = line[size - CHANNELS + i]


@quick_kernel
def _add_row(line: Floats, layer: int, layers: _Layers, total: Floats) -> None:
    for run in range(layers.run_counts[layer]):
        begin, end = layers.runs[layer, run], layers.runs[layer, run + 1]
        near = line[layers.columns[layer, begin] * CHANNELS :]
        out, share = total[begin * CHANNELS :], layers.spread_shares[layer, begin * CHANNELS :]
        for i in range((end - begin) * CHANNELS):
            out[i] += near[i] + (near[i + CHANNELS] - near[i]) * share[i]


@kernel
def _blur_point(image: Image, row: int, position: int, layers: _Layers) -> int:
    """One value in the package's types and scipy's order of the four neighbours."""
    column, channel = position // CHANNELS, position % CHANNELS
    total = np.float32(0)
    for layer in range(layers.row_counts.shape[0]):
        if row >= layers.row_counts[layer] or column >= layers.column_counts[layer]:
            continue
        at = layers.rows[layer, row]
        above, below = image[at], image[min(at + 1, layers.row_ends[layer])]
        start, length = layers.crops[layer]
        first = layers.columns[layer, column]
        left = (start + first) * CHANNELS + channel
        right = (start + min(first + 1, length - 1)) * CHANNELS + channel
        down, across = layers.row_shares[layer, row], layers.column_shares[layer, column]
        up, back = 1.0 - down, 1.0 - across
        value = FRACTIONS_32[above[left]] * up * back + FRACTIONS_32[above[right]] * up * across
        value = value + FRACTIONS_32[below[left]] * down * back
        value = value + FRACTIONS_32[below[right]] * down * across
        total += np.float32(value)
    count = np.float32(layers.row_counts.shape[0] + 1)
    return to_level_32((FRACTIONS_32[image[row, position]] + total) / count)


def enlarge(layer: npt.NDArray[Any], rows: Axis, columns: Axis, threshold: float) -> Any:
    """Enlarge a crop, set values below the threshold to 0 and cut those above 1.

    Args:
        layer: ``(rows.length, columns.length)`` float64: the crop.
        rows: The vertical axis.
        columns: The horizontal axis.
        threshold: In float64.

    Returns:
        ``(rows.outputs, columns.outputs)`` float32 in a work array of this thread.
    """
    out = scratch("enlarged", (rows.outputs, columns.outputs), np.float32)
    out[len(rows.first) :] = 0
    out[:, len(columns.first) :] = 0
    _enlarge(layer, rows, columns, threshold, out)
    return out


@kernel
def _enlarge(layer: Doubles, rows: Axis, columns: Axis, threshold: float, out: Floats) -> None:
    bottom, end = layer.shape[0] - 1, layer.shape[1] - 1
    for row in range(rows.first.shape[0]):
        source = layer[rows.first[row]]
        following = layer[min(rows.first[row] + 1, bottom)]
        below = rows.share[row]
        above = 1.0 - below
        for column in range(columns.first.shape[0]):
            i = columns.first[column]
            k = min(i + 1, end)
            right = columns.share[column]
            left = 1.0 - right
            value = source[i] * above * left + source[k] * above * right
            value = value + following[i] * below * left + following[k] * below * right
            out[row, column] = 0.0 if value < threshold else min(value, 1.0)


@kernel
def enlarged_value(layer: tuple[Doubles, Axis, Axis, float], at: tuple[int, int]) -> float:
    """One value of `enlarge` in float64; beyond the borders the nearest one.

    Args:
        layer: Crop, vertical axis, horizontal axis, threshold.
        at: Row and column of the enlarged array.
    """
    crop, rows, columns, threshold = layer
    row = min(max(at[0], 0), rows.outputs - 1)
    column = min(max(at[1], 0), columns.outputs - 1)
    if row >= rows.first.shape[0] or column >= columns.first.shape[0]:
        return 0.0
    source = crop[rows.first[row]]
    following = crop[min(rows.first[row] + 1, crop.shape[0] - 1)]
    i = columns.first[column]
    k = min(i + 1, crop.shape[1] - 1)
    below, right = rows.share[row], columns.share[column]
    above, left = 1.0 - below, 1.0 - right
    value = source[i] * above * left + source[k] * above * right
    value = value + following[i] * below * left + following[k] * below * right
    return 0.0 if value < threshold else min(value, 1.0)
