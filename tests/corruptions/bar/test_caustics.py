"""Refraction by water against the formula, with its angles, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from stl_backbones.corruptions.bar import sampling
from stl_backbones.corruptions.bar.caustics import caustic_refraction


def caustics(shape, t, z):
    values = np.empty(shape)
    for place in np.ndindex(shape):
        p = [2 * math.pi * (one / z % 1) - 250 for one in place]
        i, c = list(p), 1.0
        for n in range(5):
            b = t * (1 - 3.5 / (n + 1))
            i = [p[0] + math.cos(b - i[0]) + math.sin(b + i[1]),
                 p[1] + math.sin(b - i[1]) + math.cos(b + i[0])]  # fmt: skip
            c += 1 / math.hypot(
                0.005 * p[0] / math.sin(i[0] + b), 0.005 * p[1] / math.cos(i[1] + b)
            )
        values[place] = min(abs(1.17 - (c / 5) ** 1.4) ** 8, 1)
    return gaussian_filter(values, 1)


def bilinear(image, y, x):
    height, width = image.shape[:2]
    row, column = math.floor(y), math.floor(x)
    total = np.zeros(3)
    for a, b in np.ndindex(2, 2):
        if 0 <= row + a < height and 0 <= column + b < width:
            share = abs(1 - a - (y - row)) * abs(1 - b - (x - column))
            total += share * image[row + a, column + b]
    return total


@pytest.mark.parametrize("y", [-1.2, -0.4, 2.3, 4.5, 5.1])
@pytest.mark.parametrize("x", [-1.3, -0.2, 1.6, 6.5, 7.2])
def test_a_place_between_pixels(y, x):
    """Of 5 x 7 pixels; what lies outside counts as 0."""
    image = np.random.default_rng(0).random((5, 7, 3), np.float32)
    np.testing.assert_allclose(sampling.bilinear(image, y, x), bilinear(image, y, x), atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_refraction(picture, agrees, seed):
    rng = np.random.default_rng(seed)
    water = np.pad(caustics((36, 44), rng.uniform(0.5, 2), rng.uniform(0.75, 1.25) * 36), 1)
    s, expected, moved = 9.15, np.empty(picture.shape), 0
    for y, x in np.ndindex(36, 44):
        gy = water[y + 2, x + 1] - water[y, x + 1]
        gx = water[y + 1, x + 2] - water[y + 1, x]
        slope, upright = math.hypot(gy, gx), 1 / math.sqrt(gy * gy + gx * gx + 1)
        dy = dx = 0.0
        if upright < 0.999:
            moved += 1
            theta = math.acos(upright)
            shift = 0.05 * s * 36 * math.sin(theta - math.asin(math.sin(theta) / 4))
            dy, dx = round(shift * gy / slope, 3), round(shift * gx / slope, 3)
        value = bilinear(picture / 255, y + dy, x + dx) + 0.2 * s * (gy - gx)
        expected[y, x] = 255 * np.clip(value, 0, 1)
    assert moved > 30
    # 0.001 pixels are up to 0.3 levels here, and a pixel moves or stays by a last digit.
    agrees(caustic_refraction(picture, s, np.random.default_rng(seed)), expected, but=0.01)
