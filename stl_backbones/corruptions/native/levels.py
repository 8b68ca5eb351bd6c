"""Grey levels: 0..255 as fractions, and back as the package rounds them."""

from __future__ import annotations

import numpy as np

from stl_backbones.corruptions.native.compiled import kernel

FRACTIONS = np.arange(256) / 255.0
FRACTIONS_32 = FRACTIONS.astype(np.float32)


@kernel
def to_byte(value: float) -> int:
    """``np.uint8(value)`` of 0 to 255, through the whole numbers that vectors convert to."""
    return np.uint8(np.int32(value))


@kernel
def fraction_32(level: int) -> float:
    """``FRACTIONS_32[level]``, in vectors."""
    return np.float32(level) / np.float32(255)


@kernel
def to_level(value: float) -> int:
    """``np.uint8(np.clip(value, 0, 1) * 255)``: it truncates."""
    value = 0.0 if value < 0.0 else value
    value = 1.0 if value > 1.0 else value
    return to_byte(value * 255)


@kernel
def to_level_32(value: float) -> int:
    """`to_level` in float32."""
    value = np.float32(0) if value < 0 else value
    value = np.float32(1) if value > 1 else value
    return to_byte(value * np.float32(255))
