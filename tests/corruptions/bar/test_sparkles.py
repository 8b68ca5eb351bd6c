"""Stars against the formulas, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stl_backbones.corruptions.bar.sparkles import inverse_sparkles, sparkles


def star(shape, centre, lengths, power):
    """The share of white: ``(H, W, 1)``."""
    (x0, y0), n = centre, len(lengths)
    values = np.empty((*shape[:2], 1))
    for y, x in np.ndindex(shape[:2]):
        dy, dx = y - y0, x - x0
        q = (math.atan2(dx, dy) + math.pi) * n / (2 * math.pi)
        i = math.floor(q)
        e = q - i
        length = lengths[i % n] + e * (lengths[(i + 1) % n] - lengths[i % n])
        g = length**2 / (dx * dx + dy * dy + 1e-4)
        values[y, x] = min(max((1 - (e - 0.5) ** 2) * g**power, 0), 1)
    return values


@pytest.mark.parametrize("seed", range(3))
def test_sparkles(picture, agrees, seed):
    rng = np.random.default_rng(seed)
    expected = picture.astype(float)
    for _ in range(5):
        centre = rng.uniform(0, 44), rng.uniform(0, 36)
        n = rng.integers(50, 200)
        radius = 0.01 * 5 * 36
        lengths = np.maximum(1, radius + 0.25 * radius * rng.standard_normal(n))
        expected += star(picture.shape, centre, lengths, 1) * (255 - expected)
    agrees(sparkles(picture, 5, np.random.default_rng(seed)), expected)


@pytest.mark.parametrize("seed", range(3))
def test_inverse_sparkles(picture, agrees, seed):
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0.25, 0.75) * 44, rng.uniform(0.25, 0.75) * 36
    n = rng.integers(50, 200)
    lengths = 9 + 0.25 * 9 * rng.standard_normal(n)
    share = star(picture.shape, centre, lengths, 0.13 * 9)
    expected = 255 + share * (picture.astype(float) - 255)
    agrees(inverse_sparkles(picture, 9, np.random.default_rng(seed)), expected)
