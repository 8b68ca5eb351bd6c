"""Reading an image between its pixels."""

from __future__ import annotations

import numpy as np

from stl_backbones.corruptions.native.arrays import Image, Reals
from stl_backbones.corruptions.native.compiled import kernel

_ONE = np.float32(1)


@kernel
def bilinear(image: Image | Reals, y: float, x: float) -> tuple[float, float, float]:
    """The three channels at a place, float32; a neighbour outside the image counts as 0."""
    height, width = image.shape[:2]
    if y >= 0 and x >= 0 and y < height - 1 and x < width - 1:
        top, left = np.int64(y), np.int64(x)
        down, right = np.float32(y - top), np.float32(x - left)
        row, column = np.uint32(top), np.uint32(left)  # unsigned: no check for places from the end
        above, below = image[row], image[row + np.uint32(1)]
        after = column + np.uint32(1)
        first, second = (_ONE - down) * (_ONE - right), (_ONE - down) * right
        third, fourth = down * (_ONE - right), down * right
        return (
            first * above[column, 0] + second * above[after, 0]
            + third * below[column, 0] + fourth * below[after, 0],
            first * above[column, 1] + second * above[after, 1]
            + third * below[column, 1] + fourth * below[after, 1],
            first * above[column, 2] + second * above[after, 2]
            + third * below[column, 2] + fourth * below[after, 2],
        )  # fmt: skip
    return _bilinear_at_edge(image, y, x)


@kernel
def _bilinear_at_edge(image: Image | Reals, y: float, x: float) -> tuple[float, float, float]:
    height, width = image.shape[:2]
    row, column = np.int64(np.floor(y)), np.int64(np.floor(x))
    down, right = np.float32(y - row), np.float32(x - column)
    red = green = blue = np.float32(0)
    for k in range(2):
        for m in range(2):
            if 0 <= row + k < height and 0 <= column + m < width:
                share = (down if k else _ONE - down) * (right if m else _ONE - right)
                red += share * image[row + k, column + m, 0]
                green += share * image[row + k, column + m, 1]
                blue += share * image[row + k, column + m, 2]
    return np.float32(red), np.float32(green), np.float32(blue)
