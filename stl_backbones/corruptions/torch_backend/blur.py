"""Blurs: Gaussian, out of focus, in motion, zooming in.

Every function takes ``(N, 3, H, W)`` uint8 and returns values that the caller clips to 0..255 and
truncates.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stl_backbones.corruptions.parameters import (
    MOTION_BLUR_ANGLES,
    TABLES_KEPT,
    Defocus,
    Motion,
    Zoom,
)
from stl_backbones.corruptions.torch_backend.draws import Draws
from stl_backbones.corruptions.torch_backend.filters import blur, drag, enlarge, extend, zoom_of

# More than float32's error in a sum of weighed grey values: decides how even areas are truncated.
_SLACK = 1e-3
_NO_WEIGHT = 1e-9  # of a column: less than float32's rounding of the whole disk


def gaussian_blur(images: Tensor, sigma: float, _: Draws) -> Tensor:
    """Gaussian blur; no draws."""
    return blur(images.float(), sigma, sigma).add_(_SLACK)  # an even area stays as it is


def motion_blur(images: Tensor, motion: Motion, draws: Draws) -> Tensor:
    """Drag the image along a line. Draws: ``angle`` ``(N,)``, degrees."""
    angles = draws.numbers("angle", *MOTION_BLUR_ANGLES)
    return drag(images.float(), motion, angles)


def zoom_blur(images: Tensor, zoom: Zoom, _: Draws) -> Tensor:
    """Average the image with enlargements of its centre; no draws."""
    height, width = images.shape[-2:]
    values = images.float()
    total = values.clone()
    factors = zoom.factors
    for factor in factors.tolist():
        rows, columns = zoom_of(height, factor), zoom_of(width, factor)
        part = values.narrow(-2, rows.start, rows.length)
        part = part.narrow(-1, columns.start, columns.length)
        total += enlarge(part, rows.enlarged, columns.enlarged)[..., :height, :width]
    return total.div_(len(factors) + 1)


class _Column(NamedTuple):
    """A weight for the column sums at one distance to the left and right."""

    distance: int
    weight: float


def defocus_blur(images: Tensor, style: Defocus, _: Draws) -> Tensor:
    """Spread each pixel over a disk; no draws.

    The disk is a sum of columns: the sum over 2 h + 1 rows follows from that over 2 h - 1 rows, and
    each one is weighed at the few distances where the disk's edge is h rows away.
    """
    columns = _disk_columns(style)
    radius = len(columns) - 1
    height, width = images.shape[-2:]
    values = images.float()
    wide = extend(extend(values, -2, radius, "reflect"), -1, radius, "reflect")
    column = wide.narrow(-2, radius, height).clone()
    # Where the disk's sum is a hair below 1 the package darkens even areas by one grey level.
    slack = -_SLACK if _disk(style).sum() < 1 else _SLACK
    total = torch.full_like(values, slack)
    for reach, edges in enumerate(columns):
        if reach:
            column += wide.narrow(-2, radius - reach, height)
            column += wide.narrow(-2, radius + reach, height)
        for distance, weight in edges:
            total.add_(column.narrow(-1, radius - distance, width), alpha=weight)
            if distance:
                total.add_(column.narrow(-1, radius + distance, width), alpha=weight)
    return total


@lru_cache(maxsize=TABLES_KEPT)
def _disk_columns(defocus: Defocus) -> tuple[tuple[_Column, ...], ...]:
    """For each half height of a column: where it is weighed, and by how much."""
    disk = _disk(defocus)
    centre = disk.shape[0] // 2
    quarter = disk[centre:, centre:]
    radius = int(np.flatnonzero(quarter[0] > _NO_WEIGHT)[-1])
    drops = quarter[: radius + 1] - np.pad(quarter, ((0, 1), (0, 0)))[1 : radius + 2]
    return tuple(
        tuple(
            _Column(int(distance), float(row[distance]))
            for distance in np.flatnonzero(np.abs(row) > _NO_WEIGHT)
        )
        for row in drops
    )


@lru_cache(maxsize=TABLES_KEPT)
def _disk(defocus: Defocus) -> npt.NDArray[np.float64]:
    """The disk with a soft edge, made by the package's calls."""
    half, size = (8, 3) if defocus.radius <= 8 else (math.ceil(defocus.radius), 5)
    steps = np.arange(-half, half + 1)
    disk = (steps[:, None] ** 2 + steps**2 <= defocus.radius**2).astype(np.float32)
    disk /= disk.sum()
    soft = cv2.GaussianBlur(disk, ksize=(size, size), sigmaX=defocus.alias_sigma)
    return soft.astype(np.float64)
