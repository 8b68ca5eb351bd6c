"""sRGB levels to linear light and back (IEC 61966-2-1), and the range of a level."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image
from stl_backbones.corruptions.native.compiled import kernel, quick_kernel
from stl_backbones.errors import InputError

Places = npt.NDArray[np.int32]

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
    clipped: Any = min(max(light, np.float32(0)), np.float32(1))
    return np.int32(clipped * np.float32(STEPS) + np.float32(0.5))


@quick_kernel
def write_levels(light: Floats, levels: Image, places: Places, out: Image) -> None:
    """A row of linear light as sRGB levels; ``places`` is room for a row."""
    for i in range(light.shape[0]):
        places[i] = step_of(light[i])
    for i in range(light.shape[0]):
        out[i] = levels[places[i]]


def check_level(name: str, level: float, limits: tuple[float, float], unit: str) -> float:
    """Refuse a level that the formula does not hold for.

    Raises:
        InputError: If it is not a number within the limits.
    """
    low, high = limits
    if not (math.isfinite(level) and low <= level <= high):
        raise InputError(f"{name}: the level must be in {low:g}..{high:g} {unit}, got {level:g}")
    return float(level)
