"""Random erasing, on the device of the images.

References:
    Zhong et al. 2017, "Random Erasing Data Augmentation", arXiv:1708.04896, with timm's ranges and
    its mode 'pixel'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

AREA = (0.02, 1 / 3)  # share of the image, timm's
ASPECT = (0.3, 1 / 0.3)  # height / width, timm's
_ATTEMPTS = 10  # timm's

Rectangle = tuple[slice, slice]


def draw_rectangles(
    count: int, size: tuple[int, int], *, prob: float, rng: np.random.Generator
) -> dict[int, Rectangle]:
    """Draw what is erased in a batch.

    Args:
        count: Images.
        size: Their height and width.
        prob: Chance that an image loses a rectangle.
        rng: The generator.

    Returns:
        Index of an image -> its rectangle (rows, columns); the others stay whole.
    """
    rectangles = {}
    for index in np.flatnonzero(rng.random(count) < prob):
        rectangle = _draw_rectangle(size, rng)
        if rectangle is not None:
            rectangles[int(index)] = rectangle
    return rectangles


def _draw_rectangle(size: tuple[int, int], rng: np.random.Generator) -> Rectangle | None:
    height, width = size
    for _ in range(_ATTEMPTS):
        area = rng.uniform(*AREA) * height * width
        aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if h < height and w < width:
            top = int(rng.integers(height - h + 1))
            left = int(rng.integers(width - w + 1))
            return slice(top, top + h), slice(left, left + w)
    return None


def erase(
    views: Sequence[Tensor], rectangles: Mapping[int, Rectangle], *, noise: torch.Generator
) -> None:
    """Fill rectangles with standard normal noise, in place, the same in every view.

    Args:
        views: ``(B, C, H, W)`` normalised images each.
        rectangles: See `draw_rectangles`.
        noise: A generator on the views' device.
    """
    for index, (rows, columns) in rectangles.items():
        patch = torch.empty_like(views[0][index, :, rows, columns]).normal_(generator=noise)
        for view in views:
            view[index, :, rows, columns] = patch
