"""glass_blur: blur, move pixels about one after the other, blur again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stl_backbones.corruptions.native.arrays import Bits, Image, Indices, Words
from stl_backbones.corruptions.native.certify import CHANNELS
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.gaussian import (
    Weights,
    blur_exactly,
    blur_quickly,
    gaussian_weights,
)
from stl_backbones.corruptions.native.scratch import scratch
from stl_backbones.corruptions.native.streams import WORDS, legacy_key, next_words
from stl_backbones.corruptions.parameters import Glass

_PADDING = 260  # pixels beside each row, 1040 bytes
Pixels = Words  # a pixel's three levels in one word: moved by one instruction


def exact_glass_blur(image: Image, glass: Glass, draws: Draws) -> Image:
    """The package's 'swap' through numpy views really overwrites one pixel: kept."""
    weights, blurred, pixels = _begin(image, glass, blur_exactly)
    _move_in_order(pixels, image.shape[1], glass.reach, glass.passes, legacy_key(draws.seed))
    _unpack(pixels, blurred)
    return blur_exactly(blurred, weights)


def fast_glass_blur(image: Image, glass: Glass, draws: Draws) -> Image:
    """The same moves by 16 random bits a pixel, and float32 blurs."""
    weights, blurred, pixels = _begin(image, glass, blur_quickly)
    reach = np.arange(-glass.reach, glass.reach)
    offsets = (reach[:, None] * pixels.shape[1] + reach).reshape(-1)
    bits = draws.bits(glass.passes * blurred.size // CHANNELS)
    _move(pixels, image.shape[1], glass.reach, glass.passes, bits, offsets)
    _unpack(pixels, blurred)
    return blur_quickly(blurred, weights)


def _begin(
    image: Image, glass: Glass, blur: Callable[[Image, Weights], Image]
) -> tuple[Weights, Image, Pixels]:
    """The weights of both blurs, the first blur, and its pixels one word each.

    Rows of pixels are longer than the image's: where they lie a multiple of 4 KiB apart, a
    processor takes a pixel for one that was written in another row, and waits.
    """
    weights = gaussian_weights(glass.sigma)
    blurred = blur(image, weights)
    height, width = image.shape[:2]
    pixels = scratch("pixels", (height, width + _PADDING), np.uint32)
    _pack(blurred, pixels)
    return weights, blurred, pixels


@kernel
def _pack(image: Image, pixels: Pixels) -> None:
    height, width = image.shape[:2]
    for row in range(height):
        for column in range(width):
            low, middle = np.uint32(image[row, column, 0]), np.uint32(image[row, column, 1])
            high = np.uint32(image[row, column, 2])
            pixels[row, column] = low | (middle << np.uint32(8)) | (high << np.uint32(16))


@kernel
def _unpack(pixels: Pixels, image: Image) -> None:
    height, width = image.shape[:2]
    for row in range(height):
        for column in range(width):
            pixel = pixels[row, column]
            image[row, column, 0] = np.uint8(pixel & np.uint32(255))
            image[row, column, 1] = np.uint8((pixel >> np.uint32(8)) & np.uint32(255))
            image[row, column, 2] = np.uint8(pixel >> np.uint32(16))


@kernel
def _move_in_order(pixels: Pixels, width: int, reach: int, passes: int, state: Words) -> None:
    """Offsets as numba's ``randint(-reach, reach)`` draws them: masked words, large ones left."""
    height, stride = pixels.shape
    flat, count, filled = pixels.reshape(-1), width - 2 * reach, 0
    words, drawn = np.empty(WORDS, np.uint32), np.empty(2 * count + WORDS, np.uint8)
    sources = np.empty(count, np.int64)
    mask = 1
    while mask < 2 * reach - 1:
        mask = 2 * mask + 1
    for _ in range(passes):
        for row in range(height - reach, reach, -1):
            while filled < 2 * count:
                next_words(state, words)
                filled = _add_draws(words, mask, 2 * reach, drawn, filled)
            start = row * stride + width - reach
            first = start - reach * stride - reach
            for i in range(count):
                sources[i] = first - i + np.int64(drawn[2 * i + 1]) * stride + drawn[2 * i]
            for i in range(count):
                flat[start - i] = flat[sources[i]]
            filled -= 2 * count
            for i in range(filled):
                drawn[i] = drawn[2 * count + i]


@kernel
def _add_draws(words: Words, mask: int, limit: int, drawn: Image, filled: int) -> int:
    """Append the masked words that are below a limit; returns how many are there then."""
    if limit == mask + 1:
        for i in range(words.shape[0]):
            drawn[filled + i] = np.uint8(words[i] & np.uint32(mask))
        return filled + words.shape[0]
    for i in range(words.shape[0]):
        draw = words[i] & np.uint32(mask)
        drawn[filled] = np.uint8(draw)
        filled += 1 if draw < limit else 0
    return filled


@kernel
def _move(
    pixels: Pixels, width: int, reach: int, passes: int, bits: Bits, offsets: Indices
) -> None:
    height, stride = pixels.shape
    flat, position, choices = pixels.reshape(-1), 0, np.uint32(offsets.shape[0])
    for _ in range(passes):
        for row in range(height - reach, reach, -1):
            start = row * stride
            for column in range(width - reach, reach, -1):
                choice = (np.uint32(bits[position]) * choices) >> np.uint32(16)
                position += 1
                flat[start + column] = flat[start + column + offsets[choice]]
