"""fog: a plasma fractal (diamond-square) added as haze."""

from __future__ import annotations

import numpy as np

from stl_backbones.corruptions.native.arrays import (
    Bits,
    Doubles,
    Floats,
    Image,
    Indices,
    Reals,
    Words,
)
from stl_backbones.corruptions.native.certify import CHANNELS, for_channels, round_down
from stl_backbones.corruptions.native.compiled import kernel, quick_kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.levels import FRACTIONS, to_byte, to_level
from stl_backbones.corruptions.native.scratch import scratch
from stl_backbones.corruptions.native.streams import DOUBLES, WORDS, legacy_key, refill
from stl_backbones.corruptions.parameters import Fog

Map = Reals

_ROUGHNESS = 100.0  # of the first octave; the package multiplies it by itself


def exact_fog(image: Image, fog: Fog, draws: Draws) -> Image:
    """``(image + thickness * plasma) * brightest / (brightest + thickness)``.

    imagecorruptions 1.1.2 makes the plasma in float64, imagecorruptions-imaug in float32.
    """
    thickness, decay = fog
    size = _size_of_plasma(image)
    dtype = np.float64 if draws.compat == "imagecorruptions-1.1.2" else np.float32
    plasma = scratch("plasma", (size, size + 1), dtype)
    half = size // 2, size // 2 + 1
    coarse, middles = scratch("coarse", half, dtype), scratch("middles", half, dtype)
    _grow(plasma, coarse, middles, decay, legacy_key(draws.seed))
    out = np.empty_like(image)
    low = plasma.min()
    brightest = FRACTIONS[image.max()]
    rows = image.shape[0], image.shape[1] * CHANNELS
    extent = low, plasma.max() - low
    _haze(image.reshape(rows), plasma, extent, (thickness, brightest), out.reshape(rows))
    return out


def _size_of_plasma(image: Image) -> int:
    return 1 << (max(image.shape) - 1).bit_length()


@kernel
def _grow(plasma: Map, coarse: Map, middles: Map, decay: float, state: Words) -> None:
    """Fill the plasma, octave by octave, in the package's order of draws and additions.

    Args:
        plasma: ``(size, size + 1)``, written; the last column is the first once more, as in
            every octave, so that the neighbour to the right is the next column everywhere.
        coarse: ``(size / 2, size / 2 + 1)``, room for the octave before.
        middles: The same, room for the middles of squares; the first column is the last.
        decay: Of the roughness from octave to octave.
        state: The generator, advanced.
    """
    size = plasma.shape[0]
    stream = np.empty(size // 2 + 2 * DOUBLES)
    words = np.empty(WORDS, np.uint32)
    random = state, words, stream, np.zeros(2, np.int64)
    line = np.empty(size // 2, plasma.dtype)
    old, new = coarse.reshape(-1), plasma.reshape(-1)
    octaves = 0
    while 1 << octaves < size:
        octaves += 1
    if octaves % 2 == 0:  # so that the last one is written to the plasma
        old, new = new, old
    old[0] = old[1] = 0
    side, roughness = 1, _ROUGHNESS
    while side < size:
        _octave(
            old[: side * (side + 1)].reshape(side, side + 1),
            new[: 2 * side * (2 * side + 1)].reshape(2 * side, 2 * side + 1),
            middles.reshape(-1)[: side * (side + 1)].reshape(side, side + 1),
            line[:side],
            roughness,
            random,
        )
        old, new = new, old
        side *= 2
        roughness /= decay


@kernel
def _octave(
    old: Map,
    new: Map,
    middles: Map,
    line: Map,
    roughness: float,
    random: tuple[Words, Words, Doubles, Indices],
) -> None:
    """Twice as many rows and columns: first the middles of squares, then of their sides."""
    side = old.shape[0]
    for i in range(side):
        top, bottom = old[i], old[(i + 1) % side]
        _wander(top, bottom, top[1:], bottom[1:], roughness, _take(random, side), middles[i, 1:])
        middles[i, 0] = middles[i, side]
    for i in range(side):
        top, before, here = old[i], middles[(i - 1) % side, 1:], middles[i, 1:]
        _wander(here, before, top, top[1:], roughness, _take(random, side), line)
        _interleave(top, line, new[2 * i])
    for i in range(side):
        top, bottom, here = old[i], old[(i + 1) % side], middles[i]
        _wander(here[1:], here, top, bottom, roughness, _take(random, side), line)
        _interleave(line, here[1:], new[2 * i + 1])


@kernel
def _take(random: tuple[Words, Words, Doubles, Indices], count: int) -> Doubles:
    """The next doubles of the stream."""
    state, words, stream, at = random
    if at[1] - at[0] < count:
        at[0], at[1] = refill(state, words, stream, at[0], at[1])
    start = at[0]
    at[0] += count
    return stream[start : start + count]


@kernel
def _wander(
    first: Map, second: Map, third: Map, fourth: Map, roughness: float, draws: Doubles, out: Map
) -> None:
    """``mean + roughness * uniform(-roughness, roughness)``; the sum in the plasma's type."""
    for i in range(out.shape[0]):
        total = (first[i] + second[i]) + (third[i] + fourth[i])
        swing = roughness * (-roughness + (roughness + roughness) * draws[i])
        out[i] = np.float64(total) * 0.25 + swing


@kernel
def _interleave(even: Map, odd: Map, out: Map) -> None:
    """A row of both in turn, and its first value once more."""
    side = odd.shape[0]
    for i in range(side):
        out[2 * i] = even[i]
        out[2 * i + 1] = odd[i]
    out[2 * side] = out[0]


@kernel
def _haze(
    image: Image, plasma: Map, extent: tuple[float, float], fog: tuple[float, float], out: Image
) -> None:
    """The haze over rows of values: in float32, and where that is a close call as the package."""
    height, width = image.shape[0], image.shape[1] // CHANNELS
    low, span = extent
    thickness, brightest = fog
    gain = np.float32(brightest / (brightest + thickness))
    scale, base = np.float32(255 * thickness / span), np.float32(low)
    # A haze of up to 255 * thickness after five roundings, the sum with a level, the product,
    # and as many in the package's own float32.
    edge = np.float32((10 * thickness + 4) * 255 * 2.0**-24)
    values, near = np.empty(width * CHANNELS, np.float32), np.empty(width * CHANNELS, np.int64)
    line = np.empty(width, np.float32)
    for row in range(height):
        levels, target, heights = image[row], out[row], plasma[row]
        for column in range(width):
            line[column] = (np.float32(heights[column]) - base) * scale
        for_channels(line, values)
        for i in range(width * CHANNELS):
            values[i] = (np.float32(levels[i]) + values[i]) * gain
        for j in range(round_down(values, target, edge, near)):
            i = near[j]
            haze = _as(plasma, thickness) * _as(plasma, (heights[i // CHANNELS] - low) / span)
            value = (FRACTIONS[levels[i]] + np.float64(haze)) * brightest
            target[i] = to_level(value / (brightest + thickness))


@kernel
def _as(plasma: Map, value: float) -> float:
    """The value in the plasma's type."""
    return plasma.dtype.type(value)


def fast_fog(image: Image, fog: Fog, draws: Draws) -> Image:
    """The same in float32 with its own stream."""
    thickness, decay = fog
    size = _size_of_plasma(image)
    plasma = scratch("plasma", (size, size), np.float32)
    plasma[0, 0] = 0
    bits, used = draws.bits(size * size - 1), 0
    step, roughness = size, _ROUGHNESS
    while step >= 2:
        count = 3 * (size // step) ** 2
        _quick_octave(plasma, step, np.float32(roughness**2), bits[used : used + count])
        used += count
        step //= 2
        roughness /= decay
    out = np.empty_like(image)
    low, high = plasma.min(), plasma.max()
    brightest = float(FRACTIONS[image.max()])
    scale = np.float32(255 * thickness / (high - low))
    gain = np.float32(brightest / (brightest + thickness))
    _quick_haze(image, plasma, low, scale, gain, out)
    return out


@quick_kernel
def _quick_octave(plasma: Floats, step: int, swing: float, bits: Bits) -> None:
    """One octave; ``swing`` times a number of (-1, 1) from 16 bits moves each mean."""
    size, half = plasma.shape[0], step // 2
    side = size // step
    unit, quarter = swing * np.float32(2.0**-15), np.float32(0.25)
    shift = swing * np.float32(0.5**16 - 1)  # the middle of each of the 65536 steps
    for i in range(side):
        top, bottom = plasma[i * step], plasma[(i + 1) % side * step]
        middle, draws = plasma[i * step + half], bits[i * side : (i + 1) * side]
        for j in range(side):
            left = j * step
            right = left + step if j + 1 < side else 0
            total = top[left] + bottom[left] + top[right] + bottom[right]
            middle[left + half] = total * quarter + (np.float32(draws[j]) * unit + shift)
    for i in range(side):
        top, middle = plasma[i * step], plasma[i * step + half]
        before = plasma[(i - 1) % side * step + half]
        bottom = plasma[(i + 1) % side * step]
        above = bits[(side + i) * side : (side + i + 1) * side]
        beside = bits[(2 * side + i) * side : (2 * side + i + 1) * side]
        for j in range(side):
            left = j * step
            right = left + step if j + 1 < side else 0
            back = left - half if j else size - half
            centre = middle[left + half]
            total = centre + before[left + half] + top[left] + top[right]
            top[left + half] = total * quarter + (np.float32(above[j]) * unit + shift)
            total = centre + middle[back] + top[left] + bottom[left]
            middle[left] = total * quarter + (np.float32(beside[j]) * unit + shift)


@quick_kernel
def _quick_haze(
    image: Image, plasma: Floats, low: float, scale: float, gain: float, out: Image
) -> None:
    height, width = image.shape[:2]
    for row in range(height):
        for column in range(width):
            haze = (plasma[row, column] - low) * scale
            for channel in range(3):
                value = (np.float32(image[row, column, channel]) + haze) * gain
                out[row, column, channel] = to_byte(min(value, np.float32(255)))
