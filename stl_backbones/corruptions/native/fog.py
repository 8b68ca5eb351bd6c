"""fog: a plasma fractal (diamond-square) added as haze."""

from __future__ import annotations

import numpy as np

from stl_backbones.corruptions.native.arrays import Bits, Doubles, Floats, Image, Reals
from stl_backbones.corruptions.native.compiled import kernel, quick_kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.levels import FRACTIONS, to_level
from stl_backbones.corruptions.native.scratch import scratch
from stl_backbones.corruptions.parameters import Fog

Map = Reals

_ROUGHNESS = 100.0  # of the first octave; the package multiplies it by itself
_EDGE = 1e-3  # levels: the haze is a few float32 roundings of values below 2 * 255


def exact_fog(image: Image, fog: Fog, draws: Draws) -> Image:
    """``(image + thickness * plasma) * brightest / (brightest + thickness)``.

    imagecorruptions 1.1.2 makes the plasma in float64, imagecorruptions-imaug in float32.
    """
    thickness, decay = fog
    size = 1 << (max(image.shape) - 1).bit_length()
    dtype = np.float64 if draws.compat == "imagecorruptions-1.1.2" else np.float32
    plasma = scratch("plasma", (size, size), dtype)
    plasma[0, 0] = 0
    uniforms, used = draws.doubles(size * size - 1), 0
    step, roughness = size, _ROUGHNESS
    while step >= 2:
        count = 3 * (size // step) ** 2
        _octave(plasma, step, float(roughness), uniforms[used : used + count])
        used += count
        step //= 2
        roughness /= decay
    out = np.empty_like(image)
    low = plasma.min()
    brightest = FRACTIONS[image.max()]
    _haze(image, plasma, (low, plasma.max() - low), (thickness, brightest), out)
    return out


@kernel
def _wander(total: float, roughness: float, uniform: float) -> float:
    """``mean + roughness * uniform(-roughness, roughness)``; the mean in the plasma's type."""
    return np.float64(total * 0.25) + roughness * (-roughness + (roughness + roughness) * uniform)


@kernel
def _octave(plasma: Map, step: int, roughness: float, uniforms: Doubles) -> None:
    """Fill the middles of squares, then of their sides, in the package's order of additions."""
    size, half = plasma.shape[0], step // 2
    side = size // step
    for i in range(side):
        top, bottom = plasma[i * step], plasma[(i + 1) % side * step]
        middle, draws = plasma[i * step + half], uniforms[i * side : (i + 1) * side]
        for j in range(side):
            left, right = j * step, (j + 1) % side * step
            total = (top[left] + bottom[left]) + (top[right] + bottom[right])
            middle[left + half] = _wander(total, roughness, draws[j])
    for i in range(side):
        top, middle = plasma[i * step], plasma[i * step + half]
        before = plasma[(i - 1) % side * step + half]
        draws = uniforms[(side + i) * side : (side + i + 1) * side]
        for j in range(side):
            left, right = j * step, (j + 1) % side * step
            total = (middle[left + half] + before[left + half]) + (top[left] + top[right])
            top[left + half] = _wander(total, roughness, draws[j])
    for i in range(side):
        top, bottom = plasma[i * step], plasma[(i + 1) % side * step]
        middle, draws = plasma[i * step + half], uniforms[(2 * side + i) * side :]
        for j in range(side):
            left, before = j * step, (j - 1) % side * step
            total = (middle[left + half] + middle[before + half]) + (top[left] + bottom[left])
            middle[left] = _wander(total, roughness, draws[j])


@kernel
def _haze(
    image: Image, plasma: Map, extent: tuple[float, float], fog: tuple[float, float], out: Image
) -> None:
    height, width = image.shape[:2]
    low, span = extent
    thickness, brightest = fog
    gain = np.float32(brightest / (brightest + thickness))
    scale, base = np.float32(255 * thickness / span), np.float32(low)
    values = np.empty(width * 3, np.float32)
    for row in range(height):
        levels, target = image[row].reshape(-1), out[row].reshape(-1)
        for column in range(width):
            values[3 * column] = (np.float32(plasma[row, column]) - base) * scale
        for column in range(width):
            values[3 * column + 1] = values[3 * column]
            values[3 * column + 2] = values[3 * column]
        some = 0
        for i in range(width * 3):
            value = (np.float32(levels[i]) + values[i]) * gain
            values[i] = value
            target[i] = np.uint8(min(value, np.float32(255)))
            some += 1 if abs(value - np.rint(value)) < _EDGE else 0
        if some == 0:
            continue
        for i in range(width * 3):
            if abs(values[i] - np.rint(values[i])) < _EDGE:
                haze = _as(plasma, thickness) * _as(plasma, (plasma[row, i // 3] - low) / span)
                value = (FRACTIONS[levels[i]] + np.float64(haze)) * brightest
                target[i] = to_level(value / (brightest + thickness))


@kernel
def _as(plasma: Map, value: float) -> float:
    """The value in the plasma's type."""
    return plasma.dtype.type(value)


def fast_fog(image: Image, fog: Fog, draws: Draws) -> Image:
    """The same in float32 with its own stream."""
    thickness, decay = fog
    size = 1 << (max(image.shape) - 1).bit_length()
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
                out[row, column, channel] = np.uint8(min(value, np.float32(255)))
