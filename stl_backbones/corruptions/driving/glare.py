"""sun_glare: light scattered in the lens, and the sun that it comes from."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from stl_backbones.corruptions.driving.camera import focal_px
from stl_backbones.corruptions.driving.light import LEVELS, LINEAR, check_level, write_levels
from stl_backbones.corruptions.driving.spread import WIDTHS, spread, widths_px
from stl_backbones.corruptions.native.arrays import Floats, Image
from stl_backbones.corruptions.native.compiled import quick_kernel

# As many Gaussians in each octave of angle: the sum falls by 1/angle^2 between 1 and 30 degrees.
WEIGHTS = (1 / len(WIDTHS),) * len(WIDTHS)
SUN_RADIUS = 0.265  # degrees
SUN_LIGHT = 20000.0  # times a white surface: a low sun; ours
_BESIDE, _ABOVE = (0.15, 0.85), (0.05, 0.35)  # where the sun is, shares of width and height; ours


def sun_glare(image: Image, level: float, rng: np.random.Generator) -> Image:
    """``(1 - k) I + k (I * PSF)`` with a sun added to I; clipped after.

    The spread falls by 1/angle^2 (Stiles-Holladay, CIE: veiling light 10 E / angle^2, 1 to 30
    degrees), as a sum of Gaussians. Where the sun is, in the upper third, is drawn; nothing hides
    it.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        level: k, the share of light that is scattered, 0..0.9.
        rng: Its source of randomness.

    Raises:
        InputError: If the level is not in that range.
    """
    share = check_level("sun_glare", level, (0, 0.9), "of the light")
    height, width = image.shape[:2]
    across, down = rng.uniform(*_BESIDE) * width, rng.uniform(*_ABOVE) * height
    radius = focal_px(width) * math.radians(SUN_RADIUS)
    veil = spread(image, WEIGHTS)
    veil = cv2.resize(veil, (width, height), interpolation=cv2.INTER_LINEAR)
    columns, rows = _around(width, across, width), _around(height, down, width)
    rows *= np.float32(SUN_LIGHT * math.pi * radius**2) * np.array(WEIGHTS, np.float32)[:, None]
    out = np.empty_like(image)
    sun = np.float32(across), np.float32(down), np.float32(radius)
    flat = height, width * 3
    layers = image.reshape(flat), veil.reshape(flat), columns, rows
    _glare(*layers, np.float32(share), sun, (LINEAR, LEVELS), out.reshape(flat))
    return out


def _around(size: int, centre: float, width: int) -> Floats:
    """Each Gaussian's profile along an axis, of sum 1 if nothing is cut: ``(6, size)``."""
    places = np.arange(size)[None] - (centre - 0.5)
    sigmas = np.array(widths_px(width))[:, None]
    profile = np.exp(-0.5 * (places / sigmas) ** 2) / (math.sqrt(2 * math.pi) * sigmas)
    return np.ascontiguousarray(profile, dtype=np.float32)


@quick_kernel
def _glare(
    image: Image,
    veil: Floats,
    columns: Floats,
    rows: Floats,
    share: float,
    sun: tuple[float, float, float],
    tables: tuple[Floats, Image],
    out: Image,
) -> None:
    linear, levels = tables
    height, width = image.shape[0], image.shape[1] // 3
    light, places = np.empty(3 * width, np.float32), np.empty(3 * width, np.int32)
    kept = np.float32(1) - share
    across, down, radius = sun
    line = np.empty(width, np.float32)
    for row in range(height):
        for i in range(width):
            line[i] = np.float32(0)
        for k in range(columns.shape[0]):
            weight, profile = rows[k, row] * share, columns[k]
            for i in range(width):
                line[i] += weight * profile[i]
        dy: Any = np.float32(row) + np.float32(0.5) - down
        if abs(dy) < radius + np.float32(1):
            for i in range(width):
                dx: Any = np.float32(i) + np.float32(0.5) - across
                inside: Any = radius + np.float32(0.5) - np.float32(np.sqrt(dx * dx + dy * dy))
                inside = min(max(inside, np.float32(0)), np.float32(1))
                line[i] += kept * np.float32(SUN_LIGHT) * inside
        for i in range(3 * width):
            light[i] = kept * linear[image[row, i]]
        for i in range(width):
            for channel in range(3):
                light[3 * i + channel] += share * veil[row, 3 * i + channel] + line[i]
        write_levels(light, levels, places, out[row])
