"""What several corruptions share: Gaussian blur, motion blur, enlarging.

All are sums of shifted copies. On a CPU this is faster than a convolution; on a GPU it keeps full
float32 precision, which cuDNN gives up for TF32 by default; and everywhere a value is summed in the
same order whatever the batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from stl_backbones.corruptions.parameters import Motion

# What is beyond the border of a b c d: a a|a b c d|d d, c b|a b c d|c b, b a|a b c d|d c.
Edge = Literal["replicate", "reflect", "symmetric"]


def extend(x: Tensor, dim: int, width: int, edge: Edge) -> Tensor:
    """Continue a tensor of any type by ``width`` at both ends of one dimension."""
    return x.index_select(dim, _edge_index(x.shape[dim], width, edge, x.device))


def blur(
    x: Tensor,
    sigma_y: float,
    sigma_x: float,
    *,
    truncate: float = 4.0,
    edge: Edge = "replicate",
) -> Tensor:
    """Gaussian blur of ``(..., H, W)`` float32, as `scipy.ndimage.gaussian_filter` does it."""
    for dim, sigma in ((-2, sigma_y), (-1, sigma_x)):
        weights = _half_gaussian(sigma, truncate)
        radius, length = len(weights) - 1, x.shape[dim]
        wide = extend(x, dim, radius, edge)
        x = x * weights[0]
        for step in range(1, radius + 1):
            x.add_(wide.narrow(dim, radius - step, length), alpha=weights[step])
            x.add_(wide.narrow(dim, radius + step, length), alpha=weights[step])
    return x


def drag(x: Tensor, motion: Motion, angles: Sequence[float]) -> Tensor:
    """Blur ``(N, C, H, W)`` float32 along one direction per image.

    Args:
        x: The images.
        motion: How far.
        angles: One per image, in degrees.
    """
    height, width = x.shape[-2:]
    reach = 2 * motion.radius
    wide = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    dragged = torch.zeros_like(x)
    for source, target, angle in zip(wide, dragged, angles, strict=True):
        for dy, dx, weight in _motion_taps(motion, angle, height, width):
            top, left = reach - dy, reach - dx
            target.add_(source[:, top : top + height, left : left + width], alpha=weight)
    return dragged


class Zoom(NamedTuple):
    """The central part of a line of pixels that is enlarged to at least its whole length."""

    start: int
    length: int
    enlarged: int


def zoom_of(length: int, factor: float) -> Zoom:
    """Which part of ``length`` pixels the package enlarges, and to how many pixels."""
    part = math.ceil(length / factor)
    return Zoom((length - part) // 2, part, round(part * factor))


def enlarge(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, corner on corner: ``(N, C, h, w)`` float32 to ``(N, C, height, width)``."""
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=True)


@lru_cache(maxsize=64)
def _edge_index(length: int, width: int, edge: Edge, device: torch.device) -> Tensor:
    index: npt.NDArray[np.int64] = np.arange(-width, length + width)
    if edge == "symmetric":
        index = np.where(index < 0, -1 - index, index)
        index = np.where(index >= length, 2 * length - 1 - index, index)
    elif edge == "reflect":
        index = np.where(index < 0, -index, index)
        index = np.where(index >= length, 2 * length - 2 - index, index)
    else:
        index = index.clip(0, length - 1)
    return torch.from_numpy(index).to(device)


@lru_cache(maxsize=64)
def _half_gaussian(sigma: float, truncate: float) -> tuple[float, ...]:
    """The weight in the middle and those to one side."""
    radius = int(truncate * sigma + 0.5)
    weights = np.exp(-0.5 / sigma**2 * np.arange(-radius, radius + 1) ** 2)
    return tuple((weights / weights.sum())[radius:].tolist())


def _motion_taps(
    motion: Motion, angle: float, height: int, width: int
) -> Iterator[tuple[int, int, float]]:
    """Shift down, shift right and weight of each copy.

    As in the package the weights are not made to sum to 1 where the line leaves a small image.
    """
    taps = 2 * motion.radius + 1
    weights = np.exp(-(np.arange(taps) ** 2) / (2 * motion.sigma**2))
    weights /= weights.sum()
    down, right = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    for tap, weight in enumerate(weights.tolist()):
        dy, dx = -math.ceil(tap * down - 0.5), -math.ceil(tap * right - 0.5)
        if abs(dy) >= height or abs(dx) >= width:
            return
        yield dy, dx, weight
