"""Reading an image between its pixels."""

from __future__ import annotations

import numpy as np

from stl_backbones.corruptions.native.arrays import Image, Reals
from stl_backbones.corruptions.native.compiled import kernel

_ZERO, _ONE = np.float32(0), np.float32(1)


@kernel
def bilinear(image: Image | Reals, y: float, x: float) -> tuple[float, float, float]:
    """The three channels at a place, float32; a neighbour outside the image counts as 0."""
    height, width = image.shape[:2]
    top, left = np.floor(y), np.floor(x)
    down, right = np.float32(y - top), np.float32(x - left)
    row, column = np.int32(min(max(top, -2), height)), np.int32(min(max(left, -2), width))
    up, before = _ONE - down, _ONE - right
    up = up if 0 <= row < height else _ZERO
    down = down if -1 <= row < height - 1 else _ZERO
    before = before if 0 <= column < width else _ZERO
    after = right if -1 <= column < width - 1 else _ZERO
    above, below = image[_inside(row, height)], image[_inside(row + 1, height)]
    here, there = _inside(column, width), _inside(column + 1, width)
    first, second, third, fourth = up * before, up * after, down * before, down * after
    return (
        first * above[here, 0] + second * above[there, 0]
        + third * below[here, 0] + fourth * below[there, 0],
        first * above[here, 1] + second * above[there, 1]
        + third * below[here, 1] + fourth * below[there, 1],
        first * above[here, 2] + second * above[there, 2]
        + third * below[here, 2] + fourth * below[there, 2],
    )  # fmt: skip


@kernel
def _inside(index: int, size: int) -> int:
    """The nearest index of an axis; unsigned, so that numba does not look for negative ones."""
    return np.uint32(min(max(index, 0), size - 1))
