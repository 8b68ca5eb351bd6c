"""elastic_transform: every pixel moved by a smooth random field."""

from __future__ import annotations

import math

import numpy as np

from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image
from stl_backbones.corruptions.native.compiled import kernel, quick_kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.field import REFLECT, smooth
from stl_backbones.corruptions.native.levels import FRACTIONS_32
from stl_backbones.corruptions.native.scratch import scratch
from stl_backbones.corruptions.native.streams import legacy_doubles
from stl_backbones.corruptions.parameters import (
    ELASTIC_RANGE,
    ELASTIC_SIGMA,
    ELASTIC_TRANSFORM,
    ELASTIC_TRUNCATE,
)


def exact_elastic_transform(image: Image, severity: int, draws: Draws) -> Image:
    """Bilinear between pixels, mirrored beyond the borders."""
    height, width = image.shape[:2]
    size, sigmas = height * width, (height * ELASTIC_SIGMA, width * ELASTIC_SIGMA)
    reach = height * ELASTIC_RANGE  # the package takes the height for both axes

    def fields() -> tuple[Doubles, ...]:
        moves = legacy_doubles(draws.seed, 2 * size)
        moves *= 2 * reach
        moves -= reach
        smoothed = []
        for part in (moves[:size], moves[size:]):
            field = smooth(
                part.reshape(height, width), sigmas, truncate=ELASTIC_TRUNCATE, border=REFLECT
            )
            part[:] = field.reshape(-1)
            smoothed.append(part.reshape(height, width))
        return tuple(smoothed)

    across, down = draws.keep("fields", fields)
    out = np.empty_like(image)
    _warp(image, down, across, ELASTIC_TRANSFORM[severity - 1], out)
    return out


def fast_elastic_transform(image: Image, severity: int, draws: Draws) -> Image:
    """The same in float32 with its own stream."""
    height, width = image.shape[:2]
    size, sigmas = height * width, (height * ELASTIC_SIGMA, width * ELASTIC_SIGMA)
    reach = height * ELASTIC_RANGE

    def fields() -> tuple[Floats, ...]:
        bits = draws.bits(2 * size)
        moves = scratch("moves", (2, height, width), np.float32)
        np.multiply(bits.reshape(moves.shape), np.float32(2 * reach / 65536), out=moves)
        moves -= np.float32(reach * (1 - 1 / 65536))
        for part in moves:
            part[:] = smooth(part, sigmas, truncate=ELASTIC_TRUNCATE, border=REFLECT)
        return tuple(moves)

    across, down = draws.keep("fields", fields)
    out = np.empty_like(image)
    _warp_quickly(image, down, across, np.float32(ELASTIC_TRANSFORM[severity - 1]), out)
    return out


@kernel
def _mirror(index: int, size: int) -> int:
    """Scipy's ``reflect``: b a | a b c | c b."""
    index = -index - 1 if index < 0 else index
    index = 2 * size - 1 - index if index >= size else index
    return min(max(index, 0), size - 1)


@kernel
def _corners(top: int, left: int, height: int, width: int) -> tuple[int, int, int, int]:
    """The rows and columns of the four pixels around a place."""
    if 0 <= top < height - 1 and 0 <= left < width - 1:
        return top, top + 1, left, left + 1
    return (
        _mirror(top, height),
        _mirror(top + 1, height),
        _mirror(left, width),
        _mirror(left + 1, width),
    )


@kernel
def _warp(image: Image, down: Doubles, across: Doubles, strength: float, out: Image) -> None:
    height, width = down.shape
    for row in range(height):
        for column in range(width):
            y = row + np.float64(np.float32(down[row, column] * strength))
            x = column + np.float64(np.float32(across[row, column] * strength))
            top, left = int(math.floor(y)), int(math.floor(x))
            below, right = y - top, x - left
            above, back = 1.0 - below, 1.0 - right
            upper, lower, start, end = _corners(top, left, height, width)
            for channel in range(3):
                # The order of scipy's sum over the four neighbours.
                value = FRACTIONS_32[image[upper, start, channel]] * above * back
                value = value + FRACTIONS_32[image[upper, end, channel]] * above * right
                value = value + FRACTIONS_32[image[lower, start, channel]] * below * back
                value = value + FRACTIONS_32[image[lower, end, channel]] * below * right
                out[row, column, channel] = np.uint8(np.float32(value) * np.float32(255))


@quick_kernel
def _warp_quickly(image: Image, down: Floats, across: Floats, strength: float, out: Image) -> None:
    height, width = down.shape
    for row in range(height):
        for column in range(width):
            dy, dx = down[row, column] * strength, across[row, column] * strength
            step_y, step_x = np.floor(dy), np.floor(dx)
            below, right = dy - step_y, dx - step_x
            top, left = row + int(step_y), column + int(step_x)
            upper, lower, start, end = _corners(top, left, height, width)
            for channel in range(3):
                first = np.float32(image[upper, start, channel])
                second = np.float32(image[lower, start, channel])
                first += (np.float32(image[upper, end, channel]) - first) * right
                second += (np.float32(image[lower, end, channel]) - second) * right
                value = first + (second - first) * below
                out[row, column, channel] = np.uint8(value + np.float32(1e-4))
