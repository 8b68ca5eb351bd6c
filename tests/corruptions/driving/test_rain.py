"""rain against the formulas' worked numbers."""

import numpy as np
import pytest
from scipy.integrate import trapezoid

from stl_backbones.corruptions.driving import rain as module
from stl_backbones.corruptions.driving.camera import (
    RAIN_EXPOSURE,
    SPEED,
    focal_px,
    shift_px,
    turn_px,
)
from stl_backbones.corruptions.driving.rain import Drops, draw_drops, rain, streaks


def test_attenuation():
    assert module.attenuation(25) == pytest.approx(2.7, abs=0.05)  # per km
    assert module.attenuation(100) == pytest.approx(6.8, abs=0.05)
    assert 2996 / module.attenuation(100) == pytest.approx(440, abs=5)  # m of visibility


@pytest.mark.parametrize("rate", [5, 25, 50, 100, 200])
def test_sizes_and_speeds_carry_the_rate(rate):
    size = np.linspace(0.2, 8, 4000)
    water = 8000 * np.exp(-module.slope(rate) * size) * np.pi / 6 * (size / 1000) ** 3
    carried = trapezoid(water * module.fall_speed(size), size) * 3600 * 1000
    assert carried == pytest.approx(rate, rel=0.2)


def test_drops_are_as_many_as_marshall_and_palmer_say():
    height, width, rate = 512, 1024, 25
    found = []
    for seed in range(20):
        drops = draw_drops(rate, np.random.default_rng(seed), height, width)
        assert np.abs(drops.across).max() <= width / 2
        assert np.abs(drops.down).max() <= height / 2
        near = (drops.depth < 1.5) & (drops.diameter > 1) & (drops.diameter < 2)
        found.append(near.sum())
    slope = 4.1 * 25**-0.21
    per_cubic_metre = 8000 / slope * (np.exp(-slope) - np.exp(-2 * slope))
    cubic_metres = height * width / focal_px(width) ** 2 * (1.5**3 - 0.5**3) / 3
    assert np.mean(found) == pytest.approx(per_cubic_metre * cubic_metres, rel=0.04)


def test_a_streak_is_as_long_as_its_drop_falls():
    drop = Drops(*(np.array([value], np.float32) for value in (2.0, 5.0, 0.0, 0.0)))
    ((x0, y0, x1, y1, wide, opacity),) = streaks(drop, 1024, 2048)
    speed = 9.65 - 10.3 * np.exp(-1.2)  # 6.55 m/s
    assert x0 == x1 == 1024
    assert y1 - y0 == pytest.approx(2262.5 * speed * 0.005 / 5, rel=1e-3)  # 14.8 pixels
    own = 2262.5 * 0.002 / 5  # 0.9 pixels
    assert wide == 1  # with 0.08 of defocus still below a pixel
    assert opacity == pytest.approx(own * own / (y1 - y0 + own), rel=1e-3)


def test_a_streak_points_away_from_the_middle():
    """The camera drives towards the drop, half of the way before the middle of the exposure."""
    drop = Drops(*(np.array([value], np.float32) for value in (2.0, 5.0, 300.0, 0.0)))
    ((x0, _, x1, _, _, _),) = streaks(drop, 1024, 2048)
    assert x0 - 1024 == pytest.approx(300 * 5 / (5 + SPEED * RAIN_EXPOSURE / 2), rel=1e-6)
    assert x1 - 1024 == pytest.approx(300 * 5 / (5 - SPEED * RAIN_EXPOSURE / 2), rel=1e-6)


def test_movements_of_the_camera():
    assert shift_px(2262, 50 / 3.6 * 0.005, 10) == pytest.approx(15.7, abs=0.05)
    assert turn_px(2262, 0.010) == pytest.approx(3.9, abs=0.06)


def test_scattered_light_stays_as_near_as_henyey_and_greenstein_say():
    angles, g = np.array([1, 2, 5, 10, 20]), 0.97
    root = np.sqrt(1 + g * g - 2 * g * np.cos(np.radians(angles)))
    within = (1 - g * g) / (2 * g) * (1 / (1 - g) - 1 / root)
    gaussians = 1 - np.exp(-0.5 * (angles[:, None] / np.array(module.WIDTHS)) ** 2)
    assert gaussians @ np.array(module.forward_weights()) == pytest.approx(within, abs=0.01)


def test_rain_over_one_colour_is_that_colour():
    image = np.full((64, 96, 3), (40, 120, 200), np.uint8)
    made = rain(image, 200, np.random.default_rng(0))
    assert np.abs(made.astype(int) - image).max() <= 1
