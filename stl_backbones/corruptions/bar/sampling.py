"""Reading an image between its pixels."""

from __future__ import annotations

import numpy as np

from stl_backbones.corruptions.native.arrays import Image, Reals
from stl_backbones.corruptions.native.compiled import kernel

_ONE = np.float32(1)


@kernel
def bilinear(image: Image | Reals, y: float, x: float) -> tuple[float, float, float]:
    """The three channels at a place, float32; a neighbour outside the image counts as 0."""
    top, left = np.floor(y), np.floor(x)
    row, column = np.int64(top), np.int64(left)
    down, right = np.float32(y - top), np.float32(x - left)
    height, width = image.shape[:2]
    if row < -1 or column < -1 or row >= height or column >= width:
        return np.float32(0), np.float32(0), np.float32(0)
    first = (_ONE - down) * (_ONE - right) if row >= 0 and column >= 0 else np.float32(0)
    second = (_ONE - down) * right if row >= 0 and column + 1 < width else np.float32(0)
    third = down * (_ONE - right) if row + 1 < height and column >= 0 else np.float32(0)
    fourth = down * right if row + 1 < height and column + 1 < width else np.float32(0)
    above, below = image[max(row, 0)], image[min(row + 1, height - 1)]
    before, after = max(column, 0), min(column + 1, width - 1)
    red = first * above[before, 0] + second * above[after, 0]
    green = first * above[before, 1] + second * above[after, 1]
    blue = first * above[before, 2] + second * above[after, 2]
    red += third * below[before, 0] + fourth * below[after, 0]
    green += third * below[before, 1] + fourth * below[after, 1]
    blue += third * below[before, 2] + fourth * below[after, 2]
    return np.float32(red), np.float32(green), np.float32(blue)
