"""shot_noise: a Poisson draw per value."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from stl_backbones.corruptions.native.arrays import Bits, Doubles, Image, Words
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.native.draws import Draws, by_bits
from stl_backbones.corruptions.native.levels import FRACTIONS
from stl_backbones.corruptions.native.streams import DOUBLES, WORDS, legacy_key, refill
from stl_backbones.corruptions.parameters import TABLES_KEPT

_REFILL = 32 * DOUBLES
_RESERVE = 64  # doubles that are there before a value begins


class _Rates(NamedTuple):
    """Per grey level, what numpy's sampler computes from the rate; and the level of a count."""

    rate: Doubles
    stop: Doubles  # exp(-rate)
    slope: Doubles  # b of PTRS
    width: Doubles  # a of PTRS
    inverse_alpha: Doubles
    accept: Doubles  # v_r of PTRS
    log_rate: Doubles
    probability: Doubles  # (256, counts), of each count
    level: Image  # of each count; the last one's is that of all higher ones


@lru_cache(maxsize=TABLES_KEPT)
def _rates(photons: float) -> _Rates:
    rate = FRACTIONS * photons
    slope = 0.931 + 2.53 * np.sqrt(rate)
    counts = np.arange(max(256, math.ceil(photons) + 1))  # as many as are white, or more
    log_rate = np.log(np.maximum(rate, 1e-300))
    log_factorial = np.array([math.lgamma(count + 1) for count in counts])
    return _Rates(
        rate=rate,
        stop=np.exp(-rate),
        slope=slope,
        width=-0.059 + 0.02483 * slope,
        inverse_alpha=1.1239 + 1.1328 / (slope - 3.4),
        accept=0.9277 - 3.6224 / (slope - 2),
        log_rate=log_rate,
        probability=np.exp(counts * log_rate[:, None] - rate[:, None] - log_factorial),
        level=np.uint8(np.clip(counts / float(photons), 0, 1) * 255),
    )


def exact_shot_noise(image: Image, photons: float, draws: Draws) -> Image:
    """``poisson(image * photons) / photons`` with numpy's legacy sampler."""
    out = np.empty_like(image)
    _draw_counts(image.reshape(-1), out.reshape(-1), legacy_key(draws.seed), _rates(photons))
    return out


@kernel
def _draw_counts(image: Image, out: Image, state: Words, rates: _Rates) -> None:
    words, stream = np.empty(WORDS, np.uint32), np.empty(_REFILL + DOUBLES)
    position = filled = 0
    for i in range(image.shape[0]):
        if filled - position < _RESERVE:
            position, filled = refill(state, words, stream, position, filled)
        level = image[i]
        if rates.rate[level] >= 10:
            count = -1
            while count < 0:
                if filled - position < 2:
                    position, filled = refill(state, words, stream, position, filled)
                count = _rejection(rates, level, stream[position], stream[position + 1])
                position += 2
        elif level == 0:
            count = 0
        else:
            stop, product, count = rates.stop[level], stream[position], 0
            while product > stop:
                position += 1
                count += 1
                if position == filled:
                    position, filled = refill(state, words, stream, position, filled)
                product *= stream[position]
            position += 1
        out[i] = rates.level[min(count, rates.level.shape[0] - 1)]


@kernel
def _rejection(rates: _Rates, level: int, first: float, second: float) -> int:
    """One try of PTRS (Hörmann 1993) as numpy codes it: the count, or -1."""
    u = first - 0.5
    us = 0.5 - abs(u)
    width, slope, rate = rates.width[level], rates.slope[level], rates.rate[level]
    count = int(math.floor((2 * width / us + slope) * u + rate + 0.43))
    if us >= 0.07 and second <= rates.accept[level]:
        return count
    if count < 0 or (us < 0.013 and second > us):
        return -1
    hat = width / (us * us) + slope
    if count < rates.level.shape[0]:
        # The test without logarithms, where it is not a close call.
        density, limit = second * rates.inverse_alpha[level], rates.probability[level, count] * hat
        if density < limit * (1 - 1e-9):
            return count
        if density > limit * (1 + 1e-9):
            return -1
    left = math.log(second) + math.log(rates.inverse_alpha[level]) - math.log(hat)
    right = -rate + count * rates.log_rate[level] - math.lgamma(count + 1)
    return count if left <= right else -1


@lru_cache(maxsize=TABLES_KEPT)
def _inverse(photons: float) -> tuple[Bits, Image | Bits, Image]:
    """Per grey level: 16 bit cumulative probabilities, where to begin looking, level of a count."""
    rates = _rates(photons)
    counts = 128 if photons <= 60 else rates.level.shape[0]
    cumulative = np.ceil(np.cumsum(rates.probability[:, :counts], axis=1) * 65536) - 1
    table = np.minimum(cumulative, 65535).astype(np.uint16)  # the largest number that stops here
    table[:, -1] = 65535
    starts = np.arange(256) << 8
    guide = np.stack([np.searchsorted(row, starts) for row in table])
    return table, guide.astype(np.uint8 if counts <= 256 else np.uint16), rates.level


def fast_shot_noise(image: Image, photons: float, draws: Draws) -> Image:
    """The same distribution, by the inverse cumulative probability of 16 random bits."""
    table, guide, level = _inverse(photons)
    return by_bits(_invert, image, draws, table, guide, level)


@kernel
def _invert(image: Image, out: Image, bits: Bits, table: Bits, guide: Image, level: Image) -> None:
    for i in range(image.shape[0]):
        value = bits[i]
        row = image[i]
        count = np.int64(guide[row, value >> np.uint16(8)])
        while value > table[row, count]:
            count += 1
        out[i] = level[count]
