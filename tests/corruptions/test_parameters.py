"""Constants at whole severities and between them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stl_backbones.corruptions import CORRUPTIONS
from stl_backbones.corruptions.native import FAST, Draws
from stl_backbones.corruptions.parameters import Glass, Motion, strength

# Their published constants do not rise together, or a grid of 32 pixels rounds them.
UNEVEN = {"imagenet": ("glass_blur",), "cifar10": ("defocus_blur", "pixelate", "snow", "zoom_blur")}


def test_whole_severities_are_the_published_ones_as_they_are_written():
    assert strength("shot_noise", 1) == 60
    assert isinstance(strength("shot_noise", 1.0), int)
    assert strength("motion_blur", 5) == Motion(20, 15)
    assert list(strength("zoom_blur", 5).factors) == list(np.arange(1, 1.31, 0.03))
    assert strength("shot_noise", 1, "cifar10") == 500


def test_between_whole_severities_constants_are_interpolated():
    assert strength("gaussian_noise", 1.25) == pytest.approx(0.09)
    assert strength("shot_noise", 3.5) == 8.5
    zoom = strength("zoom_blur", 2.5)
    assert (zoom.end, zoom.step) == pytest.approx((1.185, 0.015))
    snow = strength("snow", 1.5)
    assert (snow.mean, snow.zoom, snow.weight) == pytest.approx((0.15, 2.5, 0.75))
    assert snow.motion == Motion(11, 4)
    assert strength("elastic_transform", 1.5, "cifar10") == pytest.approx((0.8, 1 / 32, 0.1, 0.075))


def test_whole_constants_are_rounded_halves_up():
    assert strength("jpeg_compression", 1.5).quality == 22  # 21.5
    assert strength("motion_blur", 1.5) == Motion(13, 4)  # 12.5
    assert strength("glass_blur", 1.5) == pytest.approx(Glass(0.8, 2, 2))  # 1.5 and 1.5
    assert all(
        isinstance(value, int)
        for value in (
            strength("jpeg_compression", 2.1).quality,
            strength("snow", 1.5).motion.radius,
        )
    )


@pytest.mark.parametrize(
    ("name", "severity", "words"),
    [
        ("spatter", 3.5, "spatter is water up to severity 3 and mud from 4 on"),
        ("saturate", 2.001, "saturate is paler colours up to severity 2 and stronger colours from"),
    ],
)
def test_between_two_kinds_there_is_nothing(name, severity, words):
    for strengths in UNEVEN:
        with pytest.raises(ValueError, match=words):
            strength(name, severity, strengths)
        strength(name, severity - 1, strengths)


@pytest.mark.parametrize("strengths", UNEVEN)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_distance_to_the_clean_image_rises_between_where_it_rises_at_whole_ones(
    name, strengths
):
    """By 2 % at least; mean over pictures, with the same draws at every severity."""
    gap = {"spatter": 3, "saturate": 2}.get(name)
    for below in {1, 2, 3, 4} - {gap}:
        least, middle, most = (
            np.mean([distance(name, below + part, strengths, seed) for seed in range(12)])
            for part in (0, 0.5, 1)
        )
        is_rising = most > 1.02 * least and name not in UNEVEN[strengths]
        assert not is_rising or least < middle < most, f"between {below} and {below + 1}"


def distance(name, severity, strengths, seed):
    side = 32 if strengths == "cifar10" else 96
    noise = np.random.default_rng(seed).normal(size=(side, side, 3))
    image = np.uint8(np.clip(110 + 160 * cv2.GaussianBlur(noise, (0, 0), 1.5), 0, 255))
    constants = strength(name, severity, strengths)
    made = FAST[name](image, constants, Draws(seed, "imaug-1.1.5"))
    return np.abs(made.astype(float) - image).mean()
