"""Turned and enlarged copies against scipy's own rotate and zoom."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from stl_backbones.corruptions.bar.splines import (
    circular_motion_blur,
    transverse_chromatic_abberation,
)


@pytest.mark.parametrize("level", [2.8, 6])
def test_circular_motion_blur(picture, agrees, level):
    parts = np.linspace(-1, 1, 21)
    weights = np.exp(-2 * parts**2)
    turned = [ndimage.rotate(picture.astype(float), 1.5 * level * q, reshape=False) for q in parts]
    expected = np.tensordot(weights / weights.sum(), turned, 1)
    agrees(circular_motion_blur(picture, level, np.random.default_rng(0)), expected, but=0.001)


@pytest.mark.parametrize("seed", range(3))
def test_chromatic_aberration(picture, agrees, seed):
    order = np.random.default_rng(seed).permutation(3)
    expected = np.empty(picture.shape)
    for channel, number in enumerate(order):
        plane = picture[..., channel].astype(float)
        plane = ndimage.zoom(plane, 1 + 0.025 * 9 * number, order=3, prefilter=False)
        top, left = (plane.shape[0] - 36) // 2, (plane.shape[1] - 44) // 2
        expected[..., channel] = plane[top : top + 36, left : left + 44]
    agrees(transverse_chromatic_abberation(picture, 9, np.random.default_rng(seed)), expected)
