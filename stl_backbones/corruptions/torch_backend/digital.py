"""Contrast, saturation, elastic distortion and large pixels.

Every function takes ``(N, 3, H, W)`` uint8 and returns values that the caller clips to 0..255 and
truncates.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stl_backbones.corruptions.parameters import ELASTIC_TRUNCATE, Elastic, Saturate
from stl_backbones.corruptions.torch_backend.draws import Draws
from stl_backbones.corruptions.torch_backend.filters import blur


def contrast(images: Tensor, kept: float, _: Draws) -> Tensor:
    """Pull each channel to its mean; no draws."""
    height, width = images.shape[-2:]
    # An integer sum is the same on every device and in every order.
    means = images.sum((-2, -1), keepdim=True, dtype=torch.int64).float().div_(height * width)
    return (images - means).mul_(kept).add_(means)


def saturate(images: Tensor, style: Saturate, _: Draws) -> Tensor:
    """Change the saturation of hue, saturation and value; no draws."""
    values = images.float()
    value = values.amax(1, keepdim=True)
    spread = value - values.amin(1, keepdim=True)
    saturation = torch.where(value > 0, spread / value, 0.0)
    saturation = saturation.mul_(style.factor).add_(style.offset).clamp_(0.0, 1.0)
    # How far each channel lies below the value, as a share of the lowest one's distance. Grey has
    # no hue, which the package reads as red.
    depth = torch.where(spread > 0, (value - values) / spread, _red_depth(images.device))
    return value - depth.mul_(saturation * value)


@lru_cache(maxsize=8)
def _red_depth(device: torch.device) -> Tensor:
    return torch.tensor((0.0, 1.0, 1.0), device=device).view(1, 3, 1, 1)


def elastic_transform(images: Tensor, style: Elastic, draws: Draws) -> Tensor:
    """Displace the pixels by a smooth field; without the affine map that CIFAR-10-C has before.

    Draws: ``uniform`` ``(N, 2, H, W)`` in [0, 1): the fields to the right and down.
    """
    height, width = images.shape[-2:]
    span = height * style.reach * style.strength
    field = draws.uniform("uniform", (2, height, width)).mul_(2.0).sub_(1.0).mul_(span)
    field = blur(
        field,
        height * style.sigma,
        width * style.sigma,
        truncate=ELASTIC_TRUNCATE,
        edge="symmetric",
    )
    right, down = field.unbind(1)
    x = torch.arange(width, device=images.device) + right
    y = torch.arange(height, device=images.device)[:, None] + down
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    return F.grid_sample(
        images.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def pixelate(images: Tensor, share: float, _: Draws) -> Tensor:
    """Shrink the image by averaging, enlarge it by repeating; no draws."""
    values = images.float()
    for dim in (-1, -2):  # Pillow's order; it rounds after each
        values = _average(values, dim, int(images.shape[dim] * share))
    for dim in (-1, -2):
        index = _nearest_index(values.shape[dim], images.shape[dim], images.device)
        values = values.index_select(dim, index)
    return values


def _average(values: Tensor, dim: int, length: int) -> Tensor:
    """Pillow's BOX filter along one dimension, rounded as for 8 bits."""
    index, weights = _box_taps(values.shape[dim], length, values.device)
    column = (-1, 1) if dim == -2 else (-1,)
    parts = [
        values.index_select(dim, source).mul_(weight.view(column))
        for source, weight in zip(index, weights, strict=True)
    ]
    return torch.stack(parts).sum(0).add_(0.5).floor_()


@lru_cache(maxsize=64)
def _box_taps(before: int, after: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Sources and weights of each result: ``(taps, after)`` int64 and float32.

    A source counts where its middle lies in the result's interval: all count alike.
    """
    scale = before / after
    middles = (np.arange(after) + 0.5) * scale
    starts = np.maximum((middles - scale / 2 + 0.5).astype(np.int64), 0)
    ends = np.minimum((middles + scale / 2 + 0.5).astype(np.int64), before)
    taps = np.arange(math.ceil(scale) + 1)[:, None]
    index = np.minimum(starts + taps, before - 1)
    offsets = (starts + taps - middles + 0.5) / scale
    counts = (offsets > -0.5) & (offsets <= 0.5) & (starts + taps < ends)
    weights = counts / counts.sum(axis=0)
    return torch.from_numpy(index).to(device), torch.from_numpy(weights).float().to(device)


@lru_cache(maxsize=64)
def _nearest_index(before: int, after: int, device: torch.device) -> Tensor:
    """Source of each result, by Pillow's running sum."""
    scale = before / after
    positions = np.cumsum(np.concatenate(([scale * 0.5], np.full(after - 1, scale))))
    return torch.from_numpy(positions.astype(np.int64).clip(max=before - 1)).to(device)
