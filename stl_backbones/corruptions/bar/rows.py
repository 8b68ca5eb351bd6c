"""Rows of pixels: a value per pixel for all channels, and back to bytes.

Loops over contiguous numbers compile to vectors, loops over pixels of three channels do not.
"""

from __future__ import annotations

import numpy as np

from stl_backbones.corruptions.native.arrays import Floats, Image
from stl_backbones.corruptions.native.compiled import kernel

_BLACK, _WHITE = np.float32(0), np.float32(255)


@kernel
def level_of(value: float) -> int:
    """A float32 grey value as uint8: cut to 0..255 and truncated."""
    return np.uint8(np.int32(min(max(value, _BLACK), _WHITE)))


@kernel
def interleave(red: Floats, green: Floats, blue: Floats, out: Floats) -> None:
    """Three rows ``(W,)`` -> one of pixels, ``(3 * W,)``."""
    for i in range(red.shape[0]):
        out[3 * i], out[3 * i + 1], out[3 * i + 2] = red[i], green[i], blue[i]


@kernel
def add(levels: Image, values: Floats, gain: float, out: Image) -> None:
    """``levels + gain * values`` as bytes; all ``(3 * W,)``."""
    for i in range(levels.shape[0]):
        out[i] = level_of(np.float32(levels[i]) + gain * values[i])


@kernel
def blend(levels: Image, kept: float, values: Floats, gain: float, out: Image) -> None:
    """``kept * levels + gain * values`` as bytes; all ``(3 * W,)``."""
    for i in range(levels.shape[0]):
        out[i] = level_of(kept * np.float32(levels[i]) + gain * values[i])


@kernel
def fade(levels: Image, colour: float, kept: Floats, out: Image) -> None:
    """``colour + (levels - colour) * kept`` as bytes; all ``(3 * W,)``."""
    for i in range(levels.shape[0]):
        out[i] = level_of(colour + (np.float32(levels[i]) - colour) * kept[i])
