"""Fast mode: within a level where nothing is drawn, else equal in distribution to the package."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.stats import ks_2samp

from stl_backbones.corruptions import CORRUPTIONS, SEVERITIES, corrupt

DETERMINISTIC = (
    "defocus_blur", "zoom_blur", "gaussian_blur", "brightness", "contrast", "pixelate",
    "jpeg_compression", "saturate",
)  # fmt: skip
RANDOM = tuple(name for name in CORRUPTIONS if name not in DETERMINISTIC)
NOISE = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise")
KEYS = 128


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_within_one_level_of_the_package(pictures, name):
    for label, image in pictures.items():
        for severity in SEVERITIES:
            ours = corrupt(image, name, severity, key="", mode="fast")
            package = corrupt(image, name, severity, key="", mode="exact")
            difference = np.abs(ours.astype(int) - package)
            assert difference.max() <= 1, f"{label}, severity {severity}"


@pytest.mark.parametrize("mode", ["fast", "exact"])
@pytest.mark.parametrize("shape", [(256,), (256, 1)], ids=["OpenCV 5", "OpenCV 4"])
def test_contrast_reads_the_histogram_of_either_opencv(pictures, monkeypatch, mode, shape):
    expected = corrupt(pictures["scene"], "contrast", 3, key="", mode=mode)
    histogram = cv2.calcHist
    monkeypatch.setattr(cv2, "calcHist", lambda *given: histogram(*given).reshape(shape))
    found = corrupt(pictures["scene"], "contrast", 3, key="", mode=mode)
    assert np.array_equal(found, expected)


def many(image, name, severity, mode):
    """``(keys, H, W, 3)``: the picture under many keys; exact stands for the package it equals."""
    return np.stack(
        [corrupt(image, name, severity, key=f"{key}", mode=mode) for key in range(KEYS)]
    )


@pytest.mark.parametrize("severity", [2, 4, 5])
@pytest.mark.parametrize("name", RANDOM)
def test_statistics_over_keys(pictures, name, severity):
    """Mean, spread and fine structure of an image, as distributions over the keys."""
    image = pictures["scene"][:64, :80]
    ours, package = (many(image, name, severity, mode).astype(float) for mode in ("fast", "exact"))
    for statistic in (mean, spread, slope_across, slope_down):
        p = ks_2samp(statistic(ours), statistic(package)).pvalue
        assert p > 1e-3, f"{statistic.__name__}: p = {p:.1e}"
    # Every pixel's mean over the keys, in standard errors. Keys are few and pixels are many.
    error = np.sqrt((ours.var(axis=0) + package.var(axis=0)) / KEYS + 0.01)
    deviation = (ours.mean(axis=0) - package.mean(axis=0)) / error
    assert np.abs(deviation).max() < 6
    assert np.sqrt(np.mean(deviation**2)) < 2


def mean(images):
    return images.mean(axis=(1, 2, 3))


def spread(images):
    return images.std(axis=(1, 2, 3))


def slope_across(images):
    return np.abs(np.diff(images, axis=2)).mean(axis=(1, 2, 3))


def slope_down(images):
    return np.abs(np.diff(images, axis=1)).mean(axis=(1, 2, 3))


@pytest.mark.parametrize("name", RANDOM)
def test_the_statistics_distinguish_severities(pictures, name):
    """Else the test above could not fail."""
    image = pictures["scene"][:64, :80]
    mild, strong = (many(image, name, severity, "fast").astype(float) for severity in (2, 5))
    p = [ks_2samp(f(mild), f(strong)).pvalue for f in (mean, spread, slope_across, slope_down)]
    assert min(p) < 1e-6


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", NOISE)
def test_histogram_of_each_level(name, severity):
    """The noise of single grey levels: every bin within five standard errors."""
    for level in (1, 20, 128, 250):
        image = np.full((256, 256, 3), level, np.uint8)
        ours, package = (
            np.bincount(corrupt(image, name, severity, key="k", mode=mode).ravel(), minlength=256)
            for mode in ("fast", "exact")
        )
        error = np.sqrt(ours + package + 1.0)
        worst = np.argmax(np.abs(ours - package) / error)
        assert abs(ours[worst] - package[worst]) < 5 * error[worst], f"{level} -> {worst}"


@pytest.mark.parametrize("name", NOISE)
def test_no_noise_where_there_can_be_none(name):
    """A black pixel has no photons and no speckle; impulses hit it, Gaussian noise lifts it."""
    black = np.zeros((512, 512, 3), np.uint8)
    for severity in SEVERITIES:
        result = corrupt(black, name, severity, key="k", mode="fast")
        assert (result.max() == 0) == (name in {"shot_noise", "speckle_noise"})


@pytest.mark.parametrize("name", NOISE)
def test_values_are_independent(name):
    """Neighbours, channels and keys: no correlation beyond five standard errors."""
    grey = np.full((256, 256, 3), 120, np.uint8)
    noise = corrupt(grey, name, 3, key="k", mode="fast").astype(float)
    other = corrupt(grey, name, 3, key="l", mode="fast").astype(float)
    noise, other = noise - noise.mean(), other - other.mean()
    bound = 5 / np.sqrt(noise.size) * noise.var()
    pairs = [
        noise[:, 1:] * noise[:, :-1], noise[1:] * noise[:-1], noise[..., 0] * noise[..., 1],
        noise[..., 0] * noise[..., 2], noise * other,
    ]  # fmt: skip
    assert all(abs(np.mean(pair)) < 2 * bound for pair in pairs)
