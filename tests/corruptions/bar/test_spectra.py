"""Noise made from spectra against numpy's transform, and its figures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from stl_backbones.corruptions.bar.spectra import blue_noise_sample, brownish_noise

LEVELS = (0.8, 1.6, 2.4, 4, 5.6)


def noise(shape, amplitude, rng):
    """The formula on the whole array, with its centre in the middle."""
    height, width = shape
    side, half = min(shape), width // 2
    turns = np.zeros(shape)
    turns[:, :half] = rng.random((height, half), np.float32)
    turns[:, width - half :] = turns[::-1, :half][:, ::-1]
    if width % 2:
        middle = rng.random(height // 2, np.float32)
        turns[: height // 2, half], turns[height - height // 2 :, half] = middle, middle[::-1]
    down = (np.arange(height) - height // 2) * side / height
    across = (np.arange(width) - width // 2) * side / width
    spectrum = amplitude(np.hypot(down[:, None], across)) * np.exp(2j * np.pi * turns)
    values = np.fft.ifft2(np.fft.ifftshift(spectrum)).real
    return values / values.std()


@pytest.mark.parametrize("shape", [(32, 32), (36, 44), (44, 36), (33, 40), (40, 33), (35, 37)])
def test_formulas(agrees, shape):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    rng = np.random.default_rng(2)
    brown = [noise(shape, lambda k: 1 / (k * k + 1), rng) for _ in range(3)]
    found = brownish_noise(image, 5, np.random.default_rng(2))
    agrees(found, image + 32 * np.stack(brown, 2))
    blue = noise(shape, lambda k: k, np.random.default_rng(2))
    found = blue_noise_sample(image, 5.6, np.random.default_rng(2))
    agrees(found, image * (blue > 0.3 * 5.6 - 2.5)[..., None])


@pytest.mark.parametrize("level", LEVELS)
def test_share_of_black(level):
    white = np.full((224, 224, 3), 255, np.uint8)
    black = [blue_noise_sample(white, level, np.random.default_rng(seed)) == 0 for seed in range(6)]
    assert np.mean(black) == pytest.approx(norm.cdf(0.3 * level - 2.5), abs=0.002)


def test_brown_noise_s_spread_and_wandering_mean():
    grey = np.full((32, 32, 3), 128, np.uint8)
    noises = np.stack(
        [brownish_noise(grey, 2, np.random.default_rng(seed)) - 127.5 for seed in range(400)]
    ) / 12.8  # fmt: skip
    assert noises.std((1, 2)) == pytest.approx(1, abs=0.02)
    assert noises.mean((1, 2)).std() == pytest.approx(0.68, abs=0.04)
