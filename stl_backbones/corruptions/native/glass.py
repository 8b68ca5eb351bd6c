"""glass_blur: blur, move pixels about one after the other, blur again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stl_backbones.corruptions.native.arrays import Bits, Image, Indices, Words
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.gaussian import (
    Weights,
    blur_exactly,
    blur_quickly,
    gaussian_weights,
)
from stl_backbones.corruptions.native.scratch import scratch
from stl_backbones.corruptions.parameters import Glass

Pixels = Words  # a pixel's three levels in one word: moved by one instruction


def exact_glass_blur(image: Image, glass: Glass, draws: Draws) -> Image:
    """The package's 'swap' through numpy views really overwrites one pixel: kept."""
    weights, blurred, pixels = _begin(image, glass, blur_exactly)
    size = 2 * glass.passes * pixels.size
    # A reach of 3 rejects 2 words of 8; 1.36 is 8/6 and a margin of many standard deviations.
    words = draws.words(int(size * (1.36 if glass.reach == 3 else 1)) + 64)
    _move_in_order(pixels, glass.reach, glass.passes, words)
    _unpack(pixels, blurred)
    return blur_exactly(blurred, weights)


def fast_glass_blur(image: Image, glass: Glass, draws: Draws) -> Image:
    """The same moves by 16 random bits a pixel, and float32 blurs."""
    weights, blurred, pixels = _begin(image, glass, blur_quickly)
    reach = np.arange(-glass.reach, glass.reach)
    offsets = (reach[:, None] * image.shape[1] + reach).reshape(-1)
    bits = draws.bits(glass.passes * pixels.size)
    _move(pixels, glass.reach, glass.passes, bits, offsets)
    _unpack(pixels, blurred)
    return blur_quickly(blurred, weights)


def _begin(
    image: Image, glass: Glass, blur: Callable[[Image, Weights], Image]
) -> tuple[Weights, Image, Pixels]:
    """The weights of both blurs, the first blur, and its pixels one word each."""
    weights = gaussian_weights(glass.sigma)
    blurred = blur(image, weights)
    pixels = scratch("pixels", image.shape[:2], np.uint32)
    _pack(blurred, pixels)
    return weights, blurred, pixels


@kernel
def _pack(image: Image, pixels: Pixels) -> None:
    height, width = pixels.shape
    for row in range(height):
        for column in range(width):
            low, middle = np.uint32(image[row, column, 0]), np.uint32(image[row, column, 1])
            high = np.uint32(image[row, column, 2])
            pixels[row, column] = low | (middle << np.uint32(8)) | (high << np.uint32(16))


@kernel
def _unpack(pixels: Pixels, image: Image) -> None:
    height, width = pixels.shape
    for row in range(height):
        for column in range(width):
            pixel = pixels[row, column]
            image[row, column, 0] = np.uint8(pixel & np.uint32(255))
            image[row, column, 1] = np.uint8((pixel >> np.uint32(8)) & np.uint32(255))
            image[row, column, 2] = np.uint8(pixel >> np.uint32(16))


@kernel
def _move_in_order(pixels: Pixels, reach: int, passes: int, words: Pixels) -> None:
    """Offsets as numba's ``randint(-reach, reach)`` draws them: masked words, large ones left."""
    height, width = pixels.shape
    flat, position = pixels.reshape(-1), 0
    mask = 1
    while mask < 2 * reach - 1:
        mask = 2 * mask + 1
    mask, limit = np.uint32(mask), np.uint32(2 * reach)
    for _ in range(passes):
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                dx = words[position] & mask
                position += 1
                while dx >= limit:
                    dx = words[position] & mask
                    position += 1
                dy = words[position] & mask
                position += 1
                while dy >= limit:
                    dy = words[position] & mask
                    position += 1
                source = (row + np.int64(dy) - reach) * width + column + np.int64(dx) - reach
                flat[row * width + column] = flat[source]


@kernel
def _move(pixels: Pixels, reach: int, passes: int, bits: Bits, offsets: Indices) -> None:
    height, width = pixels.shape
    flat, position, choices = pixels.reshape(-1), 0, np.uint32(offsets.shape[0])
    for _ in range(passes):
        for row in range(height - reach, reach, -1):
            start = row * width
            for column in range(width - reach, reach, -1):
                choice = (np.uint32(bits[position]) * choices) >> np.uint32(16)
                position += 1
                flat[start + column] = flat[start + column + offsets[choice]]
