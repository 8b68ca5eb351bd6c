"""Light spread over degrees: a sum of Gaussians, each at the resolution that it needs.

A point spread that falls over decades of angle would need kernels as large as the image. A sum of
round Gaussians whose widths double stands in for it; the wide ones are computed on small copies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from stl_backbones.corruptions.driving.camera import focal_px
from stl_backbones.corruptions.driving.light import LINEAR
from stl_backbones.corruptions.native.arrays import Floats, Image
from stl_backbones.corruptions.native.compiled import quick_kernel

WIDTHS = (0.75, 1.5, 3.0, 6.0, 12.0, 24.0)  # degrees, the Gaussians' standard deviations
_FINEST = 3.0  # pixels: a Gaussian is computed where its standard deviation is at least this


def widths_px(width: int) -> tuple[float, ...]:
    """The Gaussians' standard deviations in pixels of an image of this width."""
    return tuple(focal_px(width) * math.radians(degrees) for degrees in WIDTHS)


def spread(image: Image, weights: Sequence[float]) -> Floats:
    """Linear light times the sum of Gaussians; mirrored borders, so that no light is lost.

    Args:
        image: ``(H, W, 3)`` uint8 sRGB.
        weights: Of each Gaussian of `WIDTHS`; their sum is the share of light that remains.

    Returns:
        ``(h, w, 3)`` float32, smaller than the image by a whole factor that its sides need not be
        multiples of: pixel i of it is at ``(i + 0.5) * H / h - 0.5``.
    """
    sigmas = widths_px(image.shape[1])
    factor = max(1, int(sigmas[0] / _FINEST))
    small = shrunk(image, factor)
    total = np.zeros_like(small)
    height, width = small.shape[:2]
    for sigma, weight in zip(sigmas, weights, strict=True):
        own = sigma / factor
        further = max(1, int(own / _FINEST))
        size = max(1, width // further), max(1, height // further)
        copy = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
        across, down = own * size[0] / width, own * size[1] / height
        blurred = cv2.GaussianBlur(copy, (0, 0), across, sigmaY=down, borderType=cv2.BORDER_REFLECT)
        blurred = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)
        total += np.float32(weight) * blurred.reshape(total.shape)
    return total


def shrunk(image: Image, factor: int) -> Floats:
    """Means of linear light over ``factor`` x ``factor`` pixels; fewer at the right and bottom."""
    height, width = image.shape[:2]
    out = np.zeros((-(-height // factor), -(-width // factor), 3), np.float32)
    _add_blocks(image, factor, LINEAR, out)
    return out


@quick_kernel
def _add_blocks(image: Image, factor: int, linear: Floats, out: Floats) -> None:
    height, width = image.shape[:2]
    rows, columns = out.shape[:2]
    sums = np.empty(width * 3, np.float32)
    for row in range(rows):
        first, last = row * factor, min((row + 1) * factor, height)
        for i in range(width):
            for channel in range(3):
                sums[3 * i + channel] = linear[image[first, i, channel]]
        for other in range(first + 1, last):
            for i in range(width):
                for channel in range(3):
                    sums[3 * i + channel] += linear[image[other, i, channel]]
        for column in range(columns):
            left, right = column * factor, min((column + 1) * factor, width)
            share = np.float32(1) / np.float32((right - left) * (last - first))
            for channel in range(3):
                total = np.float32(0)
                for i in range(left, right):
                    total += sums[3 * i + channel]
                out[row, column, channel] = total * share
