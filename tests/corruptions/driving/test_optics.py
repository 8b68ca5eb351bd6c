"""lens_droplets, sun_glare and exposure_motion: area, light and paths."""

import numpy as np
import pytest

from stl_backbones.corruptions.driving.camera import focal_px, shift_px, turn_px
from stl_backbones.corruptions.driving.droplets import lens_droplets
from stl_backbones.corruptions.driving.glare import SUN_LIGHT, WEIGHTS, sun_glare
from stl_backbones.corruptions.driving.light import LINEAR
from stl_backbones.corruptions.driving.motion import exposure_motion
from stl_backbones.corruptions.driving.spread import WIDTHS, spread


@pytest.mark.parametrize("percent", [1, 3, 6, 12, 20])
def test_drops_cover_the_area(percent):
    rows, columns = np.mgrid[:256, :512]
    is_white = (rows + columns) % 2 == 1
    image = np.repeat(np.uint8(255 * is_white)[..., None], 3, axis=2)
    made = lens_droplets(image, percent, np.random.default_rng(4))
    # All drops show the blurred board, half the light: where it is black that is half of a.
    covered = 2 * LINEAR[made[~is_white]].mean()
    one_drop = np.pi * (0.03 * 256) ** 2 / (256 * 512)
    assert percent / 100 - 0.002 <= covered <= percent / 100 + one_drop + 0.002


def test_a_drop_shows_the_scene_upside_down():
    image = np.full((300, 300, 3), 20, np.uint8)
    image[:150] = 235
    made = lens_droplets(image, 20, np.random.default_rng(1)).astype(int)
    # Drops near the middle show the bright upper half below their centre.
    assert made[150:160].max() > 180
    assert made[140:150].min() < 100


@pytest.mark.parametrize("size", [(128, 256), (101, 203)])
def test_no_scattered_light_is_lost(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    image[: size[0] // 3] = 255
    image[-20:] = 0
    assert spread(image, WEIGHTS).mean() == pytest.approx(LINEAR[image].mean(), rel=0.01)


def test_scattered_light_falls_by_the_square_of_the_angle():
    angles = np.geomspace(1.3, 12, 20)[:, None]
    widths = np.array(WIDTHS)
    falls = (
        (np.exp(-0.5 * (angles / widths) ** 2) / widths**2) @ np.array(WEIGHTS) * angles[:, 0] ** 2
    )
    assert falls == pytest.approx(falls.mean(), rel=0.06)


def test_the_suns_veil():
    height, width, share = 256, 512, 0.02
    made = sun_glare(np.zeros((height, width, 3), np.uint8), share, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    across, down = rng.uniform(0.15, 0.85) * width, rng.uniform(0.05, 0.35) * height
    light = SUN_LIGHT * np.pi * (focal_px(width) * np.radians(0.265)) ** 2
    sigmas = focal_px(width) * np.radians(WIDTHS)
    place = np.array([int(down) + 60, int(across)])
    squared = ((place + 0.5 - (down, across)) ** 2).sum()
    psf = np.mean(np.exp(-squared / 2 / sigmas**2) / (2 * np.pi * sigmas**2))
    assert LINEAR[made[tuple(place)]] == pytest.approx(share * light * psf, rel=0.02)
    assert (made[int(down), int(across)] == 255).all()


def test_glare_takes_from_the_image_what_it_scatters():
    image = np.full((64, 64, 3), 200, np.uint8)
    black = np.zeros_like(image)
    difference = [
        LINEAR[sun_glare(one, 0.05, np.random.default_rng(2))].astype(float)
        for one in (image, black)
    ]
    unclipped = difference[0].max(axis=2) < 0.95
    assert unclipped.mean() > 0.2
    added = (difference[0] - difference[1])[unclipped]
    assert added == pytest.approx(LINEAR[200], abs=0.012)  # 0.95 I + 0.05 I


def test_a_line_moves_as_far_as_the_formulas_say():
    height, width, at, milliseconds = 32, 2048, 1700, 10
    image = np.zeros((height, width, 3), np.uint8)
    image[:, at] = 255
    made = LINEAR[exposure_motion(image, milliseconds, np.random.default_rng(0))].astype(float)
    light = made[height // 2, :, 0]
    place = (light * np.arange(width)).sum() / light.sum()
    spread_out = np.sqrt((light * (np.arange(width) - place) ** 2).sum() / light.sum())
    outwards = shift_px(at - (width - 1) / 2, 50 / 3.6 * milliseconds / 1000, 10)
    turned = turn_px(focal_px(width), milliseconds / 1000)
    assert place == pytest.approx(at, abs=0.3)  # labels stay in place
    lengths = np.array([outwards + turned, outwards - turned]) / np.sqrt(12)
    assert np.abs(lengths - spread_out).min() < 0.15 * spread_out
    assert light.sum() == pytest.approx(1, rel=0.03)


def test_no_exposure_moves_nothing():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    assert np.array_equal(exposure_motion(image, 0, np.random.default_rng(0)), image)
