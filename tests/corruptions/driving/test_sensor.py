"""low_light and night against the photon transfer equation."""

import numpy as np
import pytest

from stl_backbones.corruptions.driving.light import LINEAR, to_linear, to_srgb
from stl_backbones.corruptions.driving.sensor import ADAPTED, LAMPS, lamp_light, low_light, night

PATCHES = (149, 165, 180, 195, 208)  # neither dark enough nor bright enough to be clipped


def measured(level, stops, seed=0):
    """Mean and variance of a flat patch in linear light, without the 8 bits' rounding."""
    patch = np.full((600, 600, 3), level, np.uint8)
    made = LINEAR[low_light(patch, stops, np.random.default_rng(seed))].astype(np.float64)
    rounding = ((LINEAR[level + 1] - LINEAR[level - 1]) / 2) ** 2 / 12
    return made.mean(), made.var() - rounding


@pytest.mark.parametrize("stops", [2, 4, 5, 6, 7])
def test_variance_over_mean(stops):
    means, variances = np.transpose([measured(level, stops) for level in PATCHES])
    assert means == pytest.approx(LINEAR[list(PATCHES)], rel=0.003)
    gain = 2**stops / 10_000  # K
    theory = gain * means + gain**2 * 3**2 + (1 / 4095) ** 2 / 12
    assert variances == pytest.approx(theory, rel=0.03)
    slope, intercept = np.polyfit(means, variances, 1)
    assert slope == pytest.approx(gain, rel=0.04)
    if stops >= 5:  # below, the intercept is less than the fit's error
        assert intercept == pytest.approx(gain**2 * 9, rel=0.3)


@pytest.mark.parametrize(
    ("stops", "ratio", "error"), [(0, 42, 1), (4, 10, 0.3), (6, 4.6, 0.1), (8, 1.8, 0.2)]
)
def test_signal_to_noise_of_18_percent_grey(stops, ratio, error):
    level = 118  # 0.181
    assert LINEAR[level] == pytest.approx(0.18, abs=0.002)
    mean, variance = measured(level, stops)  # at 8 stops a little is cut off at 0
    assert mean / np.sqrt(variance) == pytest.approx(ratio, abs=error)


def test_black_has_no_white_specks_and_white_no_black_ones():
    rng = np.random.default_rng(0)
    black, white = (np.full((512, 512, 3), level, np.uint8) for level in (0, 255))
    assert low_light(black, 2, rng).max() < 30
    assert low_light(white, 2, rng).min() > 230


def test_night_has_the_lamps_colour_and_less_light_above():
    image = np.full((200, 64, 3), 200, np.uint8)
    made = LINEAR[night(image, 3, np.random.default_rng(0))]
    road = made[100:].mean(axis=(0, 1))
    # 3 stops, of which gain gives 0.65 back.
    assert road == pytest.approx(LINEAR[200] * 2 ** (-0.35 * 3) * np.array(ADAPTED), rel=0.01)
    above = made[:20].mean() / made[100:].mean()
    assert above == pytest.approx(lamp_light(200)[:20].mean(), rel=0.15)
    luminance = np.array([0.2126, 0.7152, 0.0722])
    assert luminance @ np.array(LAMPS) == pytest.approx(1, abs=0.001)


def test_srgb_and_linear_light_are_inverse():
    levels = np.arange(256) / 255
    assert to_srgb(to_linear(levels)) == pytest.approx(levels, abs=1e-6)
    assert to_linear(np.array([0.5]))[0] == pytest.approx(0.21404, abs=1e-5)
