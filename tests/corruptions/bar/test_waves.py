"""Waves, rings and plasma against the formulas, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stl_backbones.corruptions.bar.waves import (
    cocentric_sine_waves,
    plasma_noise,
    single_frequency_greyscale,
)


@pytest.mark.parametrize("seed", range(4))
def test_single_frequency(picture, agrees, seed):
    rng = np.random.default_rng(seed)
    a = rng.uniform(-math.pi, math.pi)
    b = rng.uniform(-abs(a), abs(a))
    fx, fy = (b, a) if rng.integers(2) else (a, b)
    phase = rng.uniform(0, 2 * math.pi)
    expected = picture.astype(float)
    for y, x in np.ndindex(36, 44):
        expected[y, x] += 19.6 * 4.5 * math.sin(fx * x + fy * y + phase)
    agrees(single_frequency_greyscale(picture, 4.5, np.random.default_rng(seed)), expected)


def rings(height, width, seed):
    rng = np.random.default_rng(seed)
    side = min(height, width)
    x0, y0 = rng.uniform(0, width), rng.uniform(0, height)
    f, amplitude, w = rng.uniform(0, 10), rng.uniform(0, side / 10), rng.uniform(0, side / 10)
    values = np.empty((height, width, 1))
    for y, x in np.ndindex(height, width):
        u = math.atan2(x - x0, y - y0) * f
        r = math.hypot(x - x0, y - y0)
        values[y, x] = ((r + amplitude * math.sin(u)) % w) / w - 0.5
    return values


@pytest.mark.parametrize("seed", range(4))
def test_rings(picture, agrees, seed):
    found = cocentric_sine_waves(picture, 3, np.random.default_rng(seed))
    # Where the sawtooth falls, float32 may be on its other side.
    agrees(found, picture + 12.8 * 3 * rings(36, 44, seed), but=0.002)


def test_rings_are_a_sawtooth():
    grey = np.full((224, 224, 3), 128, np.uint8)
    waves = [
        cocentric_sine_waves(grey, 3, np.random.default_rng(seed)) - 127.5 for seed in range(8)
    ]
    assert np.std(waves) / (12.8 * 3) == pytest.approx(0.289, abs=0.004)


@pytest.mark.parametrize("seed", range(4))
def test_plasma(picture, agrees, seed):
    rng = np.random.default_rng(seed)
    t, n, h = rng.uniform(0, 6 * math.pi), rng.integers(4, 7), rng.uniform(0.5, 1)
    c = rng.uniform(0.075, 0.2) * 36
    expected = np.empty(picture.shape)
    m = 6.4 * 8.5
    for row, column in np.ndindex(36, 44):
        x, y, k0, k1, k2 = column / c, row / c, 1.0, 1.0, 1.0
        for _ in range(n):
            r0 = math.cos(k0 * y + t / k1) / k2
            r1 = math.sin(k0 * x + t / k1) / k2
            r0, r1 = r0 - 0.3 * r1, r1 + 0.3 * r0
            x, y = x + r0, y + r1
            k0, k1, k2 = k0 * 1.93, k1 * 1.15, k2 * (2.25 - h)
        colour = math.sin(x - t), math.sin((x + y + math.sin(t)) / 2), math.sin(y + t)
        expected[row, column] = (1 - m / 255) * picture[row, column] + m * np.array(colour)
    agrees(plasma_noise(picture, 8.5, np.random.default_rng(seed)), expected)
