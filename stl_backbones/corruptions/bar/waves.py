"""single_frequency_greyscale, cocentric_sine_waves, plasma_noise."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from stl_backbones.corruptions.bar.elementary import arctangent, cosine, sine
from stl_backbones.corruptions.bar.rows import add, blend, interleave
from stl_backbones.corruptions.native.arrays import Floats, Image
from stl_backbones.corruptions.native.compiled import kernel


def single_frequency_greyscale(image: Image, level: float, rng: np.random.Generator) -> Image:
    """Add a plane wave, the same in all channels, of amplitude ``19.6 * level``.

    Draws: a of U(-pi, pi), b of U(-abs(a), abs(a)), which of the two is the frequency along x
    (0: a), the phase of U(0, 2 pi).
    """
    first = rng.uniform(-math.pi, math.pi)
    second = rng.uniform(-abs(first), abs(first))
    along_x, along_y = (first, second) if rng.integers(2) == 0 else (second, first)
    height, width = image.shape[:2]
    across = along_x * np.arange(width) + rng.uniform(0, 2 * math.pi)
    down = along_y * np.arange(height)
    out = np.empty_like(image)
    # sin(a + b) = sin(a) cos(b) + cos(a) sin(b): one sine per row and column, not per pixel.
    _add_wave(
        image,
        (np.sin(across).astype(np.float32), np.cos(across).astype(np.float32)),
        (np.sin(down).astype(np.float32), np.cos(down).astype(np.float32)),
        np.float32(19.6 * level),
        out,
    )
    return out


@kernel
def _add_wave(
    image: Image,
    across: tuple[Floats, Floats],
    down: tuple[Floats, Floats],
    gain: float,
    out: Image,
) -> None:
    width = image.shape[1]
    values, tripled = np.empty(width, np.float32), np.empty(3 * width, np.float32)
    for row in range(image.shape[0]):
        by_cosine, by_sine = down[1][row], down[0][row]
        for i in range(width):
            values[i] = across[0][i] * by_cosine + across[1][i] * by_sine
        interleave(values, values, values, tripled)
        add(image[row].reshape(-1), tripled, gain, out[row].reshape(-1))


def cocentric_sine_waves(image: Image, level: float, rng: np.random.Generator) -> Image:
    """Add wavy rings around a point: a sawtooth from ``-6.4 * level`` to ``6.4 * level``.

    Draws: the centre's x and y, over the whole image; the rings' waves per radian of U(0, 10); the
    height of these waves and the distance of two rings, both of U(0, S / 10).
    """
    height, width = image.shape[:2]
    side = min(height, width)
    centre = rng.uniform(0, width), rng.uniform(0, height)
    frequency = np.float32(rng.uniform(0, 10))
    amplitude = np.float32(rng.uniform(0, side / 10))
    out = np.empty_like(image)
    ring = rng.uniform(0, side / 10)
    _add_rings(image, centre, (frequency, amplitude), ring, np.float32(12.8 * level), out)
    return out


@kernel
def _add_rings(
    image: Image,
    centre: tuple[float, float],
    wave: tuple[float, float],
    ring: float,
    gain: float,
    out: Image,
) -> None:
    width = image.shape[1]
    values, waves = np.empty(width, np.float32), np.empty(width, np.float32)
    across, tripled = np.empty(width), np.empty(3 * width, np.float32)
    for i in range(width):
        across[i] = i - centre[0]
    frequency, amplitude = wave
    for row in range(image.shape[0]):
        down = row - centre[1]
        for i in range(width):
            angle = arctangent(np.float32(across[i]), np.float32(down))
            waves[i] = amplitude * sine(angle * frequency)
        # Rings may be much narrower than a pixel: in float64.
        for i in range(width):
            place = (math.sqrt(across[i] * across[i] + down * down) + waves[i]) / ring
            values[i] = np.float32(place - np.floor(place) - 0.5)
        interleave(values, values, values, tripled)
        add(image[row].reshape(-1), tripled, gain, out[row].reshape(-1))


class _Plasma(NamedTuple):
    """Constants of a picture: of its first step, and per further step."""

    time: float
    frequencies: Floats  # along the other axis
    phases: Floats
    dampings: Floats


def plasma_noise(image: Image, level: float, rng: np.random.Generator) -> Image:
    """Cover the image with a coloured plasma, by a share of ``6.4 * level / 255``.

    Draws: time of U(0, 6 pi), the number of steps, 4 to 6, roughness of U(0.5, 1), and the scale
    in pixels of U(0.075, 0.2) S.
    """
    height, width = image.shape[:2]
    time = rng.uniform(0, 6 * math.pi)
    steps = int(rng.integers(4, 7))
    roughness = rng.uniform(0.5, 1)
    scale = rng.uniform(0.075, 0.2) * min(height, width)
    powers = np.arange(steps)
    plasma = _Plasma(
        np.float32(time),
        (1.93**powers).astype(np.float32),
        (time / 1.15**powers).astype(np.float32),
        (1 / (2.25 - roughness) ** powers).astype(np.float32),
    )
    # The first step depends on one coordinate each.
    across, down = np.arange(width) / scale, np.arange(height) / scale
    waves = np.sin(across + time).astype(np.float32), np.cos(down + time).astype(np.float32)
    out = np.empty_like(image)
    places = across.astype(np.float32), down.astype(np.float32)
    _cover(image, places, waves, plasma, np.float32(6.4 * level), out)
    return out


@kernel
def _cover(
    image: Image,
    places: tuple[Floats, Floats],
    waves: tuple[Floats, Floats],
    plasma: _Plasma,
    share: float,
    out: Image,
) -> None:
    width, steps = image.shape[1], plasma.phases.shape[0]
    xs, ys = np.empty(width, np.float32), np.empty(width, np.float32)
    greens, tripled = np.empty(width, np.float32), np.empty(3 * width, np.float32)
    across, down = places
    third, half = np.float32(0.3), np.float32(0.5)
    time, wave_of_time = plasma.time, sine(plasma.time)
    kept = np.float32(1) - share / np.float32(255)
    for row in range(image.shape[0]):
        wave = waves[1][row]
        for i in range(width):
            xs[i] = across[i] + (wave - third * waves[0][i])
            ys[i] = down[row] + (waves[0][i] + third * wave)
        for step in range(1, steps):
            frequency, phase = plasma.frequencies[step], plasma.phases[step]
            damping = plasma.dampings[step]
            for i in range(width):
                first = cosine(frequency * ys[i] + phase) * damping
                second = sine(frequency * xs[i] + phase) * damping
                xs[i] += first - third * second
                ys[i] += second + third * first
        for i in range(width):
            greens[i] = sine((xs[i] + ys[i] + wave_of_time) * half)
            xs[i], ys[i] = sine(xs[i] - time), sine(ys[i] + time)
        interleave(xs, greens, ys, tripled)
        blend(image[row].reshape(-1), kept, tripled, share, out[row].reshape(-1))


__all__ = ["cocentric_sine_waves", "plasma_noise", "single_frequency_greyscale"]
