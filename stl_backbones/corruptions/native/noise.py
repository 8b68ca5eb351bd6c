"""gaussian_noise, speckle_noise, impulse_noise."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import ndtri

from stl_backbones.corruptions.native import pcg64
from stl_backbones.corruptions.native.arrays import (
    Bits,
    Doubles,
    Floats,
    Image,
    Shorts,
    Words,
)
from stl_backbones.corruptions.native.certify import round_down
from stl_backbones.corruptions.native.compiled import kernel, quick_kernel
from stl_backbones.corruptions.native.draws import Draws, by_bits
from stl_backbones.corruptions.native.levels import FRACTIONS, to_byte, to_level
from stl_backbones.corruptions.native.pcg64 import Jumps, State, draw, jump
from stl_backbones.corruptions.native.streams import (
    DOUBLES,
    PAIRS,
    WORDS,
    legacy_key,
    next_pairs,
)
from stl_backbones.corruptions.parameters import TABLES_KEPT

# Of a noise of up to 255 levels, 13 roundings to float32.
_EDGE = 2.5e-4
_PAIRS = 8 * PAIRS  # drawn together
_LOG_2 = np.float32(math.log(2.0))
_THIRD, _FIFTH, _SEVENTH, _NINTH = (np.float32(1 / odd) for odd in (3, 5, 7, 9))
_BLOCK = 128


def exact_gaussian_noise(image: Image, scale: float, draws: Draws) -> Image:
    """``image + scale * normal``."""
    return _exact_normal_noise(image, scale, False, draws)


def exact_speckle_noise(image: Image, scale: float, draws: Draws) -> Image:
    """``image * (1 + scale * normal)``."""
    return _exact_normal_noise(image, scale, True, draws)


def _exact_normal_noise(image: Image, scale: float, relative: bool, draws: Draws) -> Image:
    out = np.empty_like(image)
    if draws.kept is None:
        _draw_and_add(image.reshape(-1), out.reshape(-1), legacy_key(draws.seed), scale, relative)
    else:
        _add(image.reshape(-1), out.reshape(-1), draws.normals(image.size), scale, relative)
    return out


@kernel
def _noisy(level: int, normal: float, scale: float, relative: bool) -> int:
    value, noise = FRACTIONS[level], 0.0 + scale * normal
    return to_level(value + value * noise if relative else value + noise)


@kernel
def _add(image: Image, out: Image, normals: Doubles, scale: float, relative: bool) -> None:
    for i in range(image.shape[0]):
        out[i] = _noisy(image[i], normals[i], scale, relative)


@kernel
def _draw_and_add(image: Image, out: Image, state: Words, scale: float, relative: bool) -> None:
    """Draw and add block by block, in float32 where that is certain: nothing leaves the cache."""
    words, doubles = np.empty(WORDS, np.uint32), np.empty(DOUBLES)
    xs, ys, squares = np.empty(_PAIRS), np.empty(_PAIRS), np.empty(_PAIRS)
    parts, exponents = np.empty(_PAIRS), np.empty(_PAIRS, np.float32)
    factors, normals = np.empty(_PAIRS, np.float32), np.empty(2 * _PAIRS, np.float32)
    values, near = np.empty(2 * _PAIRS, np.float32), np.empty(2 * _PAIRS, np.int64)
    done, size, gain = 0, image.shape[0], np.float32(scale if relative else scale * 255.0)
    while done < size:
        count = 0
        while count + PAIRS <= _PAIRS:
            count += next_pairs(state, words, doubles, (xs[count:], ys[count:], squares[count:]))
        _find_factors(squares[:count], parts, exponents, factors)
        for i in range(count):
            normals[2 * i] = factors[i] * np.float32(ys[i])
            normals[2 * i + 1] = factors[i] * np.float32(xs[i])
        count = min(2 * count, size - done)
        levels, target = image[done : done + count], out[done : done + count]
        for i in range(count):
            level = np.float32(levels[i])
            value = level + (level * normals[i] if relative else normals[i]) * gain
            # Beyond black and white nothing is a close call.
            values[i] = min(max(value, np.float32(0)), np.float32(255.5))
        for j in range(round_down(values[:count], target, np.float32(_EDGE), near)):
            i = near[j]
            square = squares[i // 2]
            factor = math.sqrt(math.log(square) * -2.0 / square)
            normal = factor * (xs[i // 2] if i % 2 else ys[i // 2])
            target[i] = _noisy(levels[i], normal, scale, relative)
        done += count


@kernel
def _find_factors(squares: Doubles, parts: Doubles, exponents: Floats, factors: Floats) -> None:
    """``sqrt(-2 ln(s) / s)`` in float32, the logarithm as a series.

    Args:
        squares: ``(N,)`` of (0, 1): s.
        parts: ``(N,)``, room: what is left of them, 0.71 to 1.41, without a power of two.
        exponents: ``(N,)``, room: of the power.
        factors: ``(N,)``, written; off by 8 units in the last place at most.
    """
    bits, left = squares.view(np.int64), parts.view(np.int64)
    for i in range(squares.shape[0]):
        # What is added carries over into the exponent from 1.414 on.
        exponent = ((bits[i] + np.int64(0x0009600000000000)) >> np.int64(52)) - np.int64(1023)
        left[i] = bits[i] - (exponent << np.int64(52))
        exponents[i] = np.float32(np.int32(exponent))
    for i in range(squares.shape[0]):
        above = np.float32(parts[i] - 1.0)  # exact before it is rounded: s may be almost 1
        t = above / (above + np.float32(2))
        u = t * t
        series = _THIRD + u * (_FIFTH + u * (_SEVENTH + u * _NINTH))
        logarithm = exponents[i] * _LOG_2 + np.float32(2) * (t + t * u * series)
        factors[i] = math.sqrt(logarithm * np.float32(-2) / np.float32(squares[i]))


def exact_impulse_noise(image: Image, share: float, draws: Draws) -> Image:
    """Black and white values: scikit-image's salt and pepper, which draws from PCG64.

    It draws for all values whether they are replaced, then for all whether by white; here the
    second draw is only made for those that are.
    """
    state, later, jumps = pcg64.begin(draws.seed, image.size, _BLOCK)
    out = image.copy()
    # A draw is 53 bits over 2**53.
    _salt_and_pepper(out.reshape(-1), state, later, jumps, np.uint64(math.floor(share * 2.0**53)))
    return out


@kernel
def _salt_and_pepper(out: Image, state: State, later: State, jumps: Jumps, share: int) -> None:
    white, count = np.uint64(1 << 52), jumps.shape[0] - 1
    found = np.empty(count, np.int64)
    for start in range(0, out.shape[0], count):
        part = out[start : start + count]
        replaced = 0
        for i in range(part.shape[0]):
            found[replaced] = i
            replaced += 1 if draw(state, jumps[i + 1]) <= share else 0
        for j in range(replaced):
            part[found[j]] = 255 if draw(later, jumps[found[j] + 1]) <= white else 0
        state, later = jump(state, jumps[count]), jump(later, jumps[count])


@lru_cache(maxsize=1)
def normal_quantiles() -> Doubles:
    """The standard normal's quantiles at the middle of 65536 equal steps."""
    quantiles: Doubles = ndtri((np.arange(65536) + 0.5) / 65536)
    return quantiles


@lru_cache(maxsize=TABLES_KEPT)
def _shifts(scale: float) -> Shorts:
    return np.floor(255 * scale * normal_quantiles()).astype(np.int16)


@lru_cache(maxsize=TABLES_KEPT)
def _gains(scale: float) -> Floats:
    return (1 + scale * normal_quantiles()).astype(np.float32)


def fast_gaussian_noise(image: Image, scale: float, draws: Draws) -> Image:
    """``image + scale * normal``, the normal from a table by 16 random bits."""
    return by_bits(_shift, image, draws, _shifts(scale))


@kernel
def _shift(image: Image, out: Image, bits: Bits, table: Shorts) -> None:
    for i in range(image.shape[0]):
        level = np.int16(image[i]) + table[bits[i]]
        out[i] = np.uint8(min(max(level, np.int16(0)), np.int16(255)))


def fast_speckle_noise(image: Image, scale: float, draws: Draws) -> Image:
    """``image * (1 + scale * normal)``, the normal from a table by 16 random bits."""
    return by_bits(_multiply, image, draws, _gains(scale))


@quick_kernel
def _multiply(image: Image, out: Image, bits: Bits, table: Floats) -> None:
    for i in range(image.shape[0]):
        level = np.float32(image[i]) * table[bits[i]]
        out[i] = to_byte(min(max(level, np.float32(0)), np.float32(255)))


def fast_impulse_noise(image: Image, share: float, draws: Draws) -> Image:
    """Black and white values by 16 random bits: 15 say whether, one says which."""
    return by_bits(_replace, image, draws, np.uint16(round(share * 32768)))


@kernel
def _replace(image: Image, out: Image, bits: Bits, share: int) -> None:
    for i in range(image.shape[0]):
        extreme = np.uint8(255) if bits[i] & np.uint16(1) else np.uint8(0)
        out[i] = extreme if (bits[i] >> np.uint16(1)) < share else image[i]
