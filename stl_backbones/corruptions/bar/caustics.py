"""caustic_refraction: an image seen through moving water, and the light that the water gathers."""

from __future__ import annotations

import math

import numpy as np

from stl_backbones.corruptions.bar.elementary import power, sine_and_cosine
from stl_backbones.corruptions.bar.rows import add, interleave, level_of
from stl_backbones.corruptions.bar.sampling import bilinear
from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.native.field import REFLECT, smooth

_STEPS = 5
_OFFSET = 250.0
_STRENGTH = np.float32(0.005)
_ZERO, _ONE = np.float32(0), np.float32(1)
_FLAT = np.float32(0.999**-2 - 1)  # squared slope up to which the surface counts as flat


def caustic_refraction(image: Image, level: float, rng: np.random.Generator) -> Image:
    """Displace by up to about 0.05 ``level`` S pixels, and add light of 0.2 ``level``.

    Draws: time of U(0.5, 2); the distance after which the pattern repeats of U(0.75, 1.25) S.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    time, period = rng.uniform(0.5, 2), rng.uniform(0.75, 1.25) * side
    water = _caustics(time, np.arange(height) / period, np.arange(width) / period)
    # In float64, whose pass has one order of additions; float32's depends on the machine.
    water = smooth(water.astype(np.float64), (1.0, 1.0), border=REFLECT)
    out = np.empty_like(image)
    _refract(image, water, 0.05 * level * side, np.float32(51 * level), out)
    return out


def _caustics(time: float, down: Doubles, across: Doubles) -> Floats:
    """``(H, W)`` float32, 0..1; places in periods.

    Coordinates are kept without their offset of -250, which goes into the times: float32 has the
    digits then.
    """
    times = time * (1 - 3.5 / np.arange(1, _STEPS + 1))
    phases = np.stack([np.cos(times + _OFFSET), np.sin(times + _OFFSET),
                       np.cos(times - _OFFSET), np.sin(times - _OFFSET)])  # fmt: skip
    down, across = (2 * math.pi * np.modf(axis)[0] for axis in (down, across))
    out = np.empty((len(down), len(across)), np.float32)
    _gather_light(
        down.astype(np.float32), across.astype(np.float32), phases.astype(np.float32), out
    )
    return out


@kernel
def _gather_light(down: Floats, across: Floats, phases: Floats, out: Floats) -> None:
    width = across.shape[0]
    offset = np.float32(_OFFSET)
    places = np.empty((2, width), np.float32)
    waves, first = np.empty((4, width), np.float32), np.empty((4, width), np.float32)
    places[0], places[1] = _ZERO, across
    _turn(places, first)
    for row in range(down.shape[0]):
        light, y = out[row], down[row]
        far_y = _STRENGTH * (y - offset)
        light[:] = _ONE
        waves[0], waves[1] = sine_and_cosine(y)
        waves[2], waves[3] = first[2], first[3]
        for step in range(_STEPS):
            _move(y, across, phases[:, step], waves, places)
            _turn(places, waves)
            _add_light(far_y, across, phases[:, step], waves, light)
        for i in range(width):
            dark = np.float32(1.17) - power(light[i] * np.float32(0.2), np.float32(1.4))
            dark *= dark
            dark *= dark
            light[i] = min(dark * dark, _ONE)


@kernel
def _turn(places: Floats, waves: Floats) -> None:
    """Sines and cosines of both coordinates."""
    ys, xs = places[0], places[1]
    sines_y, cosines_y, sines_x, cosines_x = waves[0], waves[1], waves[2], waves[3]
    for i in range(ys.shape[0]):
        sines_y[i], cosines_y[i] = sine_and_cosine(ys[i])
    for i in range(ys.shape[0]):
        sines_x[i], cosines_x[i] = sine_and_cosine(xs[i])


@kernel
def _move(y: float, across: Floats, phases: Floats, waves: Floats, places: Floats) -> None:
    """``i = p + (cos(b - i0) + sin(b + i1), sin(b - i1) + cos(b + i0))``."""
    later_cosine, later_sine, sooner_cosine, sooner_sine = phases
    ys, xs = places[0], places[1]
    sines_y, cosines_y, sines_x, cosines_x = waves[0], waves[1], waves[2], waves[3]
    for i in range(ys.shape[0]):
        first = later_cosine * cosines_y[i] + later_sine * sines_y[i]
        second = sooner_sine * cosines_x[i] + sooner_cosine * sines_x[i]
        ys[i] = y + (first + second)
    for i in range(ys.shape[0]):
        first = later_sine * cosines_x[i] - later_cosine * sines_x[i]
        second = sooner_cosine * cosines_y[i] - sooner_sine * sines_y[i]
        xs[i] = across[i] + (first + second)


@kernel
def _add_light(far_y: float, across: Floats, phases: Floats, waves: Floats, light: Floats) -> None:
    """``c += 1 / hypot(0.005 p0 / sin(i0 + b), 0.005 p1 / cos(i1 + b))``."""
    sooner_cosine, sooner_sine = phases[2], phases[3]
    sines_y, cosines_y, sines_x, cosines_x = waves[0], waves[1], waves[2], waves[3]
    offset = np.float32(_OFFSET)
    for i in range(light.shape[0]):
        high = sines_y[i] * sooner_cosine + cosines_y[i] * sooner_sine
        wide = cosines_x[i] * sooner_cosine - sines_x[i] * sooner_sine
        y, x = far_y * wide, _STRENGTH * (across[i] - offset) * high
        squares = max(y * y + x * x, np.float32(1e-30))
        light[i] += abs(high * wide) / np.sqrt(squares)


@kernel
def _refract(image: Image, water: Doubles, reach: float, gain: float, out: Image) -> None:
    """Image where the refracted rays come from, and the light of slopes; both 0 off the image."""
    height, width = water.shape
    nothing, light = np.zeros(width), np.empty(width, np.float32)
    down, right = np.empty(width, np.float32), np.empty(width, np.float32)
    squares, tripled = np.empty(width, np.float32), np.empty(3 * width, np.float32)
    for row in range(height):
        above = water[row - 1] if row > 0 else nothing
        below = water[row + 1] if row + 1 < height else nothing
        line = water[row]
        for i in range(width):
            down[i] = below[i] - above[i]
        for i in range(1, width - 1):
            right[i] = line[i + 1] - line[i - 1]
        right[0], right[width - 1] = line[1], -line[width - 2]
        for i in range(width):
            light[i] = down[i] - right[i]
            squares[i] = down[i] * down[i] + right[i] * right[i]
        interleave(light, light, light, tripled)
        add(image[row].reshape(-1), tripled, gain, out[row].reshape(-1))
        for i in range(width):
            if squares[i] > _FLAT:
                place = _source(row, i, reach, (down[i], right[i]))
                red, green, blue = bilinear(image, place[0], place[1])
                out[row, i, 0] = level_of(red + gain * light[i])
                out[row, i, 1] = level_of(green + gain * light[i])
                out[row, i, 2] = level_of(blue + gain * light[i])


@kernel
def _source(row: int, column: int, reach: float, slope: tuple[float, float]) -> tuple[float, float]:
    """Where a ray comes from: ``reach * sin(theta - arcsin(sin(theta) / 4))`` up the slope."""
    y, x = np.float64(slope[0]), np.float64(slope[1])
    square = y * y + x * x
    upright = 1 / math.sqrt(1 + square)
    sine = upright * math.sqrt(square)
    shift = reach * upright * (math.sqrt(1 - sine * sine / 16) - upright / 4)
    return row + np.rint(shift * y * 1000) / 1000, column + np.rint(shift * x * 1000) / 1000
