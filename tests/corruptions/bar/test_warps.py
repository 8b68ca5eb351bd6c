"""Whirls and ripples against the formulas, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stl_backbones.corruptions.bar.warps import pinch_and_twirl, ripple
from tests.corruptions.bar.test_caustics import bilinear


@pytest.mark.parametrize("seed", range(3))
def test_ripple(picture, agrees, seed):
    rng = np.random.default_rng(seed)
    (wx, px), (wy, py) = (
        (rng.uniform(0.1, 0.3) * 36, rng.uniform(0, 2 * math.pi)) for _ in range(2)
    )
    expected = np.empty(picture.shape)
    reach = 0.0025 * 8 * 36
    for y, x in np.ndindex(36, 44):
        source_y = y + reach * math.sin(2 * math.pi * y / wy + py)
        source_x = x + reach * math.sin(2 * math.pi * x / wx + px)
        expected[y, x] = bilinear(picture, source_y, source_x)
    agrees(ripple(picture, 8, np.random.default_rng(seed)), expected)


@pytest.mark.parametrize(("shape", "cells"), [((36, 44), (3, 3)), ((224, 230), (5, 5))])
def test_whirls(agrees, shape, cells):
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    turns = 1 - 2 * np.random.default_rng(4).integers(2, size=cells)
    side = min(shape) // cells[0]
    radius, s = side / 2, 8.5
    values = image.astype(float)
    for row, column in np.ndindex(cells):
        before, angle = values.copy(), turns[row, column] * math.pi / 20 * s
        middle_y, middle_x = (row + 0.5) * side, (column + 0.5) * side
        for y, x in np.ndindex(side, side):
            y, x = y + row * side, x + column * side
            dy, dx = y - middle_y, x - middle_x
            d = math.hypot(dy, dx) / radius
            if 0 < d < 1:
                pull = math.sin(math.pi * d / 2) ** -(0.04 * s + 0.1)
                turn = angle * (1 - d) ** 2
                source = (
                    middle_y + pull * (math.cos(turn) * dy - math.sin(turn) * dx),
                    middle_x + pull * (math.sin(turn) * dy + math.cos(turn) * dx),
                )
                values[y, x] = bilinear(before, *source)
    agrees(pinch_and_twirl(image, s, np.random.default_rng(4)), values, but=1e-4)
