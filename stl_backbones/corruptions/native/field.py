"""Smoothing of a field, one number per pixel: scipy's ``gaussian_filter``.

The float64 pass adds in scipy's order, four taps per sweep over a row; the float32 one may reorder.
"""

from __future__ import annotations

import numpy as np

from stl_backbones.corruptions.native.arrays import Doubles, Floats, Reals
from stl_backbones.corruptions.native.compiled import kernel, quick_kernel
from stl_backbones.corruptions.native.gaussian import Weights, gaussian_weights
from stl_backbones.corruptions.native.scratch import scratch

NEAREST, REFLECT = 0, 1  # beyond the border: a a|a b c|c c, or b a|a b c|c b


def smooth(
    field: Reals, sigmas: tuple[float, float], *, truncate: float = 4.0, border: int = NEAREST
) -> Reals:
    """Smooth in the field's own type; float64 in scipy's order of operations.

    Args:
        field: ``(H, W)`` float64 or float32.
        sigmas: Vertical and horizontal, in pixels.
        truncate: Radius in sigmas.
        border: `NEAREST` or `REFLECT`.

    Returns:
        ``(H, W)`` of the same type in a work array of this thread.
    """
    out = scratch("smooth", field.shape, field.dtype.type)
    vertical, horizontal = (
        gaussian_weights(sigma, truncate).astype(field.dtype, copy=False) for sigma in sigmas
    )
    if field.dtype == np.float32:
        _smooth_quickly(field, vertical, horizontal, border, out)
    else:
        _smooth(field, vertical, horizontal, border, out, False)
    return out


def smooth_as_float32(field: Doubles, sigma: float) -> Doubles:
    """Smooth as scipy smooths a float32 array: each axis in float64, then rounded to float32.

    Args:
        field: ``(H, W)`` float64, holding float32 numbers.
        sigma: In pixels, both ways; beyond the border the nearest number.

    Returns:
        ``(H, W)`` float64 in a work array of this thread, not yet rounded the second time.
    """
    out, weights = scratch("smooth", field.shape), gaussian_weights(sigma)
    _smooth(field, weights, weights, NEAREST, out, True)
    return out


@kernel
def smooth_point(
    field: Doubles, stretch: tuple[float, float], at: tuple[int, int], weights: Weights
) -> float:
    """One value of ``smooth(mean + scale * field)`` in float64, borders repeated.

    Args:
        field: ``(H, W)``.
        stretch: The scale and the mean.
        at: Row and column.
        weights: Of both axes.
    """
    scale, mean = stretch
    row, column = at
    height, width = field.shape
    reach = weights.shape[0] // 2
    sums = np.empty(2 * reach + 1)
    for i in range(2 * reach + 1):
        x = min(max(column + i - reach, 0), width - 1)
        total = (mean + scale * field[row, x]) * weights[reach]
        for k in range(reach, 0, -1):
            above = mean + scale * field[max(row - k, 0), x]
            below = mean + scale * field[min(row + k, height - 1), x]
            total += (above + below) * weights[reach - k]
        sums[i] = total
    value = np.float64(sums[reach] * weights[reach])
    for k in range(reach, 0, -1):
        value += (sums[reach - k] + sums[reach + k]) * weights[reach - k]
    return value


@kernel
def _place(index: int, size: int, border: int) -> int:
    if border == REFLECT:
        index = -index - 1 if index < 0 else index
        index = 2 * size - 1 - index if index >= size else index
    return min(max(index, 0), size - 1)


@kernel
def _extend(padded: Reals, margin: int, border: int) -> None:
    size = padded.shape[0] - 2 * margin
    for i in range(margin):
        padded[margin - 1 - i] = padded[margin + _place(-1 - i, size, border)]
        padded[margin + size + i] = padded[margin + _place(size + i, size, border)]


@kernel
def _smooth(
    field: Doubles,
    vertical: Weights,
    horizontal: Weights,
    border: int,
    out: Doubles,
    is_float32: bool,
) -> None:
    height, size = field.shape
    reach, margin = vertical.shape[0] // 2, horizontal.shape[0] // 2
    padded = np.empty(size + 2 * margin)
    middle = padded[margin : margin + size]
    for row in range(height):
        line = out[row]
        _start(field[row], vertical[reach], middle)
        for k in range(reach, 0, -2):
            above = field[_place(row - k, height, border)]
            below = field[_place(row + k, height, border)]
            if k == 1:
                _add_pair(above, below, vertical[reach - k], middle)
                continue
            over = field[_place(row - k + 1, height, border)]
            under = field[_place(row + k - 1, height, border)]
            weights = vertical[reach - k], vertical[reach - k + 1]
            _add_two_pairs((above, below), (over, under), weights, middle)
        if is_float32:
            for i in range(size):
                middle[i] = np.float64(np.float32(middle[i]))
        _extend(padded, margin, border)
        _start(middle, horizontal[margin], line)
        for k in range(margin, 0, -2):
            left, right = padded[margin - k :], padded[margin + k :]
            if k == 1:
                _add_pair(left, right, horizontal[margin - k], line)
                continue
            nearer = padded[margin - k + 1 :], padded[margin + k - 1 :]
            weights = horizontal[margin - k], horizontal[margin - k + 1]
            _add_two_pairs((left, right), nearer, weights, line)


@kernel
def _start(centre: Doubles, weight: float, out: Doubles) -> None:
    for i in range(out.shape[0]):
        out[i] = centre[i] * weight


@kernel
def _add_pair(first: Doubles, second: Doubles, weight: float, out: Doubles) -> None:
    for i in range(out.shape[0]):
        out[i] += (first[i] + second[i]) * weight


@kernel
def _add_two_pairs(
    pair: tuple[Doubles, Doubles],
    nearer: tuple[Doubles, Doubles],
    weights: tuple[float, float],
    out: Doubles,
) -> None:
    """Two `_add_pair` in one sweep, the same operations in the same order."""
    first, second = pair
    third, fourth = nearer
    outer, inner = weights
    for i in range(out.shape[0]):
        value = out[i] + (first[i] + second[i]) * outer
        out[i] = value + (third[i] + fourth[i]) * inner


@kernel
def _smooth_quickly(
    field: Floats, vertical: Floats, horizontal: Floats, border: int, out: Floats
) -> None:
    size, margin = field.shape[1], horizontal.shape[0] // 2
    padded = np.empty(size + 2 * margin, np.float32)
    for row in range(field.shape[0]):
        _sum_rows_quickly(field, row, vertical, border, padded[margin : margin + size])
        _extend(padded, margin, border)
        _sum_columns_quickly(padded, horizontal, out[row])


@quick_kernel
def _sum_rows_quickly(field: Floats, row: int, weights: Floats, border: int, out: Floats) -> None:
    height, reach, centre = field.shape[0], weights.shape[0] // 2, field[row]
    for i in range(out.shape[0]):
        out[i] = centre[i] * weights[reach]
    k = reach
    while k >= 2:
        above = field[_place(row - k, height, border)]
        below = field[_place(row + k, height, border)]
        over = field[_place(row - k + 1, height, border)]
        under = field[_place(row + k - 1, height, border)]
        outer, inner = weights[reach - k], weights[reach - k + 1]
        for i in range(out.shape[0]):
            pair = (above[i] + below[i]) * outer
            out[i] = out[i] + pair + (over[i] + under[i]) * inner
        k -= 2
    if k == 1:
        above = field[_place(row - 1, height, border)]
        below = field[_place(row + 1, height, border)]
        for i in range(out.shape[0]):
            out[i] += (above[i] + below[i]) * weights[reach - 1]


@quick_kernel
def _sum_columns_quickly(padded: Floats, weights: Floats, out: Floats) -> None:
    margin = weights.shape[0] // 2
    centre = padded[margin:]
    for i in range(out.shape[0]):
        out[i] = centre[i] * weights[margin]
    k = margin
    while k >= 2:
        left, right = padded[margin - k :], padded[margin + k :]
        near, far = padded[margin - k + 1 :], padded[margin + k - 1 :]
        outer, inner = weights[margin - k], weights[margin - k + 1]
        for i in range(out.shape[0]):
            pair = (left[i] + right[i]) * outer
            out[i] = out[i] + pair + (near[i] + far[i]) * inner
        k -= 2
    if k == 1:
        left, right = padded[margin - 1 :], padded[margin + 1 :]
        for i in range(out.shape[0]):
            out[i] += (left[i] + right[i]) * weights[margin - 1]
