"""Perlin noise against the formula, pixel by pixel, and its figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stl_backbones.corruptions.bar.perlin import perlin_noise


class Noise:
    """Perlin's own arrangement: doubled tables, a gradient at each corner."""

    def __init__(self, rng):
        self.gradients = []
        for y, x in rng.integers(-256, 256, (256, 2)) / 256:
            length = math.hypot(y, x)
            self.gradients.append((y / length, x / length))
        self.order = [*rng.permutation(256)] * 2

    def __call__(self, y, x):
        i, j = math.floor(y), math.floor(x)
        dy, dx = y - i, x - j
        fade_y, fade_x = (3 * t**2 - 2 * t**3 for t in (dy, dx))
        corner = {}
        for a, b in np.ndindex(2, 2):
            gradient = self.gradients[self.order[self.order[(i + a) % 256] + (j + b) % 256]]
            corner[a, b] = gradient[0] * (dy - a) + gradient[1] * (dx - b)
        upper = corner[0, 0] + fade_x * (corner[0, 1] - corner[0, 0])
        lower = corner[1, 0] + fade_x * (corner[1, 1] - corner[1, 0])
        return 1.5 * (upper + fade_y * (lower - upper))


def test_perlin(picture, agrees):
    noise = Noise(np.random.default_rng(5))
    cell, share = 32 * 36 / 224, 0.05 * 7.6
    expected = np.empty(picture.shape)
    for y, x in np.ndindex(36, 44):
        total = sum(abs(noise(f * y / cell, f * x / cell)) / f for f in (1, 2, 4, 8, 16))
        value = min(max(0.5 * total + 0.5, 0), 1)
        expected[y, x] = (1 - share) * picture[y, x] + 255 * share * value
    agrees(perlin_noise(picture, 7.6, np.random.default_rng(5)), expected)


def test_range_and_mean():
    black = np.zeros((224, 224, 3), np.uint8)
    values = [perlin_noise(black, 20, np.random.default_rng(seed)) for seed in range(12)]
    assert 127 <= np.min(values) <= 129  # half of white, seen alone
    assert np.max(values) > 240
    assert (np.mean(values) + 0.5) / 255 == pytest.approx(0.74, abs=0.01)
