"""sRGB levels to linear light and back (IEC 61966-2-1), and the range of a level."""

from __future__ import annotations

import math

import numpy as np

from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.errors import InputError

STEPS = 65535  # of linear light in the table back: 0.05 levels at most, where sRGB is steepest


def to_linear(values: Doubles) -> Doubles:
    """Linear light of sRGB values, both 0..1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def to_srgb(light: Doubles) -> Doubles:
    """The inverse of `to_linear`."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


LINEAR: Floats = to_linear(np.arange(256) / 255).astype(np.float32)
LEVELS: Image = np.rint(255 * to_srgb(np.arange(STEPS + 1) / STEPS)).astype(np.uint8)


@kernel
def step_of(light: float) -> int:
    """The place in `LEVELS` of a float32 of linear light, which is clipped to 0..1."""
    clipped = min(max(light, np.float32(0)), np.float32(1))
    return np.int64(clipped * np.float32(STEPS) + np.float32(0.5))


def check_level(name: str, level: float, limits: tuple[float, float], unit: str) -> float:
    """Refuse a level that the formula does not hold for.

    Raises:
        InputError: If it is not a number within the limits.
    """
    low, high = limits
    if not (math.isfinite(level) and low <= level <= high):
        raise InputError(f"{name}: the level must be in {low:g}..{high:g} {unit}, got {level:g}")
    return float(level)
