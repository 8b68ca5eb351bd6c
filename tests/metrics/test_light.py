"""Brightness and contrast of images that are known."""

import numpy as np
import pytest

from stl_backbones.metrics.light import brightness_and_contrast


def test_by_hand():
    image = np.zeros((4, 6, 3), np.uint8)
    image[:, :3] = 255  # half white, half black: mean and deviation are a half
    assert brightness_and_contrast(image) == pytest.approx((0.5, 0.5))
    image[:, 3:] = 51, 102, 153  # mean 0.4: the channels' order does not matter
    assert brightness_and_contrast(image) == pytest.approx((0.7, 0.3))
    assert brightness_and_contrast(image[..., ::-1]) == brightness_and_contrast(image)


def test_of_a_large_image_a_grid_is_read():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1024, 1200, 3), np.uint8)
    grey = image.mean(axis=2) / 255
    assert brightness_and_contrast(image) == pytest.approx((grey.mean(), grey.std()), abs=2e-3)
