"""elastic_transform: every pixel moved by a smooth random field."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image
from stl_backbones.corruptions.native.compiled import kernel, quick_kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.field import REFLECT, smooth
from stl_backbones.corruptions.native.levels import FRACTIONS_32, to_byte
from stl_backbones.corruptions.native.scratch import scratch
from stl_backbones.corruptions.native.streams import legacy_doubles
from stl_backbones.corruptions.parameters import ELASTIC_TRUNCATE, Elastic


def exact_elastic_transform(image: Image, elastic: Elastic, draws: Draws) -> Image:
    """Bilinear between pixels, mirrored beyond the borders."""
    if elastic.affine:
        return _affine_and_elastic(image, elastic, np.random.RandomState(draws.seed).uniform)
    height, width = image.shape[:2]
    size, sigmas = height * width, (height * elastic.sigma, width * elastic.sigma)
    reach = height * elastic.reach  # the package takes the height for both axes

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

    across, down = draws.keep(f"fields {sigmas} {reach}", fields)
    out = np.empty_like(image)
    _warp(image, down, across, elastic.strength, out)
    return out


def fast_elastic_transform(image: Image, elastic: Elastic, draws: Draws) -> Image:
    """The same in float32 with its own stream."""
    if elastic.affine:
        return _affine_and_elastic(image, elastic, draws.generator().uniform)
    height, width = image.shape[:2]
    size, sigmas = height * width, (height * elastic.sigma, width * elastic.sigma)
    reach = height * elastic.reach

    def fields() -> tuple[Floats, ...]:
        bits = draws.bits(2 * size)
        moves = scratch("moves", (2, height, width), np.float32)
        np.multiply(bits.reshape(moves.shape), np.float32(2 * reach / 65536), out=moves)
        moves -= np.float32(reach * (1 - 1 / 65536))
        for part in moves:
            part[:] = smooth(part, sigmas, truncate=ELASTIC_TRUNCATE, border=REFLECT)
        return tuple(moves)

    across, down = draws.keep(f"fields {sigmas} {reach}", fields)
    out = np.empty_like(image)
    _warp_quickly(image, down, across, np.float32(elastic.strength), out)
    return out


def _affine_and_elastic(image: Image, elastic: Elastic, uniform: Callable[..., Doubles]) -> Image:
    """CIFAR-10-C's form: at its 32 pixels OpenCV's and scipy's own functions are fast enough."""
    height, width = image.shape[:2]
    centre, third = np.array((height, width), np.float32) // 2, min(height, width) // 3
    corners = np.array(
        (centre + third, (centre[0] + third, centre[1] - third), centre - third), np.float32
    )
    reach = height * elastic.affine
    moved = corners + uniform(-reach, reach, corners.shape).astype(np.float32)
    values = cv2.warpAffine(
        FRACTIONS_32[image],
        cv2.getAffineTransform(corners, moved),
        (width, height),
        borderMode=cv2.BORDER_REFLECT_101,
    )
    sigmas, reach = (height * elastic.sigma, width * elastic.sigma), height * elastic.reach
    across, down = (
        gaussian_filter(uniform(-reach, reach, (height, width)), sigmas, truncate=ELASTIC_TRUNCATE)
        for _ in range(2)
    )
    rows, columns = np.indices((height, width))
    places = np.stack((rows, columns)) + np.float32(np.stack((down, across)) * elastic.strength)
    moved_values = [
        map_coordinates(channel, places, order=1, mode="reflect")
        for channel in np.moveaxis(values, -1, 0)
    ]
    return np.uint8(np.clip(np.stack(moved_values, axis=-1), 0, 1) * 255)


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
                out[row, column, channel] = to_byte(np.float32(value) * np.float32(255))


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
                out[row, column, channel] = to_byte(value + np.float32(1e-4))
