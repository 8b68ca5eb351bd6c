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
    Indices,
    Shorts,
    Words,
)
from stl_backbones.corruptions.native.compiled import kernel, quick_kernel
from stl_backbones.corruptions.native.draws import Draws, by_bits
from stl_backbones.corruptions.native.levels import FRACTIONS, to_byte, to_level
from stl_backbones.corruptions.native.pcg64 import Jumps, State, draw, jump
from stl_backbones.corruptions.native.streams import (
    DOUBLES,
    PAIRS,
    WORDS,
    legacy_key,
    new_pairs,
    next_pairs,
)
from stl_backbones.corruptions.parameters import TABLES_KEPT

# A rough value this near to a whole number is computed again as the package does. The rough
# logarithm is good to 1e-11, so the result's error stays below 1e-8 levels.
_EDGE = 1e-7
_LOG_2 = math.log(2.0)
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
def _rough_factors(squares: Doubles, factors: Doubles, mantissas: Image) -> None:
    """``sqrt(-2 ln(s) / s)`` with a polynomial logarithm, in vectors."""
    bits, parts, values = (
        squares.view(np.int64),
        mantissas.view(np.int64),
        mantissas.view(np.float64),
    )
    for i in range(squares.shape[0]):
        parts[i] = (bits[i] & np.int64(0x000FFFFFFFFFFFFF)) | np.int64(0x3FF0000000000000)
    for i in range(squares.shape[0]):
        exponent = np.float64((bits[i] >> np.int64(52)) - np.int64(1023))
        mantissa = values[i]
        large = mantissa > 1.4142135623730951
        mantissa = mantissa * 0.5 if large else mantissa
        exponent = exponent + 1.0 if large else exponent
        t = (mantissa - 1.0) / (mantissa + 1.0)
        u = t * t
        series = 1.0 + u * (1 / 3 + u * (1 / 5 + u * (1 / 7 + u * (1 / 9 + u * (1 / 11 + u / 13)))))
        factors[i] = math.sqrt((exponent * _LOG_2 + 2.0 * t * series) * -2.0 / squares[i])


@kernel
def _draw_and_add(image: Image, out: Image, state: Words, scale: float, relative: bool) -> None:
    """Draw and add block by block: the normals never leave the cache."""
    words, doubles, pairs = np.empty(WORDS, np.uint32), np.empty(DOUBLES), new_pairs()
    factors, mantissas, normals = np.empty(PAIRS), np.empty(8 * PAIRS, np.uint8), np.empty(DOUBLES)
    near = np.empty(DOUBLES, np.int64)
    xs, ys, squares = pairs
    done, size, gain = 0, image.shape[0], scale if relative else scale * 255.0
    while done < size:
        accepted = next_pairs(state, words, doubles, pairs)
        _rough_factors(squares[:accepted], factors, mantissas)
        for i in range(accepted):
            normals[2 * i] = factors[i] * ys[i]
            normals[2 * i + 1] = factors[i] * xs[i]
        count = min(2 * accepted, size - done)
        levels, target = image[done : done + count], out[done : done + count]
        found = _add_roughly(levels, target, normals, gain, relative, near)
        for j in range(found):
            i = near[j]
            square = squares[i // 2]
            factor = math.sqrt(math.log(square) * -2.0 / square)
            normal = factor * (xs[i // 2] if i % 2 else ys[i // 2])
            target[i] = _noisy(levels[i], normal, scale, relative)
        done += count


@kernel
def _add_roughly(
    levels: Image, target: Image, normals: Doubles, gain: float, relative: bool, near: Indices
) -> int:
    """Fill ``target``; the positions that are too near to a whole number go to ``near``."""
    found = 0
    any_near = 0
    for i in range(levels.shape[0]):
        level = np.float64(levels[i])
        value = level + (level * normals[i] if relative else normals[i]) * gain
        value = min(max(value, 0.0), 255.0)
        target[i] = to_byte(value)
        distance = abs(value - np.floor(value + 0.5))
        any_near += 1 if (distance < _EDGE and 0.5 < value < 255.0) else 0
    if any_near:
        for i in range(levels.shape[0]):
            level = np.float64(levels[i])
            value = level + (level * normals[i] if relative else normals[i]) * gain
            if abs(value - np.floor(value + 0.5)) < _EDGE:
                near[found] = i
                found += 1
    return found


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
