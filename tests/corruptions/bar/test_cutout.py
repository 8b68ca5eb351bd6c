"""Checkerboard and lines against the formulas, pixel by pixel, and their figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stl_backbones.corruptions.bar.cutout import checkerboard_cutout, lines


@pytest.mark.parametrize("seed", range(4))
def test_checkerboard(picture, seed):
    rng = np.random.default_rng(seed)
    a, cell = rng.uniform(0, 2 * math.pi), max(rng.uniform(0.1, 0.25) * 36, 1)
    count = math.floor(4 * 44 / cell)
    grid = rng.random((count, count)) < 0.6
    expected = picture.copy()
    for y, x in np.ndindex(36, 44):
        u = (math.cos(a) * y + math.sin(a) * x) / cell
        v = (-math.sin(a) * y + math.cos(a) * x) / cell
        if int(u % 2) == int(v % 2) and grid[int(u), int(v)]:
            expected[y, x] = 128
    found = checkerboard_cutout(picture, 6, np.random.default_rng(seed))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("level", [1, 6])
def test_share_of_grey(level):
    black = np.zeros((64, 64, 3), np.uint8)
    found = [checkerboard_cutout(black, level, np.random.default_rng(seed)) for seed in range(800)]
    assert np.mean(found) / 128 == pytest.approx(0.05 * level, abs=0.01)


def wu(image, x0, y0, x1, y1):
    """Two pixels share the grey of a column, or of a row of a steep line."""
    steps = max(abs(x1 - x0), abs(y1 - y0))
    for k in range(steps + 1):
        x, y = x0 + (x1 - x0) * k / steps, y0 + (y1 - y0) * k / steps
        if abs(y1 - y0) > abs(x1 - x0):
            row, column = round(y), math.floor(x)
            pixels = {(row, column): 1 - (x - column), (row, column + 1): x - column}
        else:
            row, column = math.floor(y), round(x)
            pixels = {(row, column): 1 - (y - row), (row + 1, column): y - row}
        for (row, column), share in pixels.items():
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                image[row, column] += share * (128 - image[row, column])


@pytest.mark.parametrize("seed", range(4))
def test_lines(picture, agrees, seed):
    rng = np.random.default_rng(seed)
    mean, spread = rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 1)
    expected = picture.astype(float)
    for _ in range(9):  # floor(0.1 * 2.5 * 36)
        x, y = rng.uniform(0, 44), rng.uniform(0, 36)
        angle = mean + 2 * math.pi * spread * (rng.random() - 0.5)
        dx, dy = 36 * math.cos(angle), 36 * math.sin(angle)
        wu(expected, int(x - dx), int(y - dy), int(x + dx), int(y + dy))
    # A line through whole pixels may be a rounding below or above them.
    agrees(lines(picture, 2.5, np.random.default_rng(seed)), expected, but=0.001)
