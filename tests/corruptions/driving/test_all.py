"""What holds for all seven: same draws same bytes, any thread and size, stronger is farther."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from stl_backbones.corruptions import corrupt, get_protocol
from stl_backbones.corruptions.driving import motion
from stl_backbones.corruptions.driving.camera import DISTANCE, SPEED, TURN, focal_px
from stl_backbones.corruptions.packaged import PACKAGED
from stl_backbones.errors import InputError

NAMES = get_protocol("driving").corruptions


def scene(height, width):
    """Bright sky, grey houses, a dark road with a light line, a little texture."""
    rows, columns = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    grey = np.where(
        rows < 0.35, 215, np.where(rows < 0.5, 120, 70 + 40 * (abs(columns - 0.5) < 0.03))
    )
    texture = np.random.default_rng(3).integers(-20, 20, (height, width, 3))
    return np.uint8(np.clip(grey[..., None] * [1.0, 0.97, 0.9] + texture, 0, 255))


def run(name, image, level, seed=1):
    depth = [np.full(image.shape[:2], 60, np.float32)] if PACKAGED[name].needs_depth else []
    return PACKAGED[name].function()(image, level, np.random.default_rng(seed), *depth)


def levels(name):
    return PACKAGED[name].levels["imagenet"]


@pytest.mark.parametrize("name", NAMES)
def test_threads_and_repeats_return_the_same_bytes(name):
    image = scene(96, 130)
    before = image.copy()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: run(name, image, levels(name)[3]), range(8)))
    assert all(np.array_equal(made[0], other) for other in made)
    assert np.array_equal(image, before)
    drawn = not np.array_equal(made[0], run(name, image, levels(name)[3], seed=2))
    assert drawn == (name != "fog_depth")


@pytest.mark.parametrize("name", NAMES)
def test_each_level_is_farther_from_the_image(name):
    image = scene(192, 256)
    distances = [
        np.mean(
            [np.abs(run(name, image, level, seed).astype(int) - image).mean() for seed in (1, 2)]
        )
        for level in levels(name)
    ]
    assert distances == sorted(distances)
    assert 0 < distances[0] < distances[-1] / 1.1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(32, 32), (33, 57), (70, 32)])
def test_small_and_odd_sizes(name, size):
    for level in (levels(name)[0], levels(name)[-1]):
        made = run(name, scene(*size), level)
        assert made.shape == (*size, 3)
        assert made.dtype == np.uint8
        assert made.std() > 1


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"fog_depth"}))
def test_grey_images_through_the_engine(name):
    grey = scene(48, 64)[..., 1]
    made = corrupt(grey, name, 3, key="a.png")
    assert np.array_equal(made, corrupt(np.repeat(grey[..., None], 3, 2), name, 3, key="a.png"))


@pytest.mark.parametrize(
    ("name", "level", "text"),
    [
        ("fog_depth", 1, "5..100000 m of visibility"),
        ("rain", 400, "0.1..300 mm/h"),
        ("lens_droplets", 90, "0..80 % of the area"),
        ("sun_glare", 1, "0..0.9 of the light"),
        ("low_light", -1, "0..12 stops"),
        ("exposure_motion", float("nan"), "0..100 ms of exposure"),
        ("night", 13, "0..12 stops"),
    ],
)
def test_a_level_that_the_formula_does_not_hold_for(name, level, text):
    with pytest.raises(InputError, match=f"{name}: the level must be in {text}, got {level:g}"):
        run(name, scene(32, 32), level)


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("fog_depth", (600, 300, 150, 75, 40)),
        ("rain", (5, 25, 50, 100, 200)),
        ("lens_droplets", (1, 3, 6, 12, 20)),
        ("sun_glare", (0.02, 0.05, 0.1, 0.2, 0.4)),
        ("low_light", (2, 4, 5, 6, 7)),
        ("exposure_motion", (2, 5, 10, 20, 40)),
        ("night", (2, 3, 4, 5, 6)),
    ],
)
def test_levels_are_those_of_the_manual(name, stated):
    assert levels(name) == stated


def test_the_moments_of_an_exposure_are_at_most_a_pixel_apart():
    """A corner moves away from the middle as the camera drives, and with it as it turns."""
    path = math.hypot(512, 1024) * SPEED * 0.02 / DISTANCE + focal_px(2048) * TURN * 0.02
    moments = 2 ** motion._doublings(1024, 2048, 0.02)
    assert path <= moments < 2 * path
