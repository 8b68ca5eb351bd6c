"""fog_depth against pixels computed by hand, and its airlight."""

import numpy as np
import pytest

from stl_backbones.corruptions.driving.fog import CONTRAST, airlight, fog_depth

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (10, 128),  # t = exp(-0.1997) = 0.8190: 0.8190 * 100 + 0.1810 * 255
        (100, 234),  # t = exp(-1.9973) = 0.1357
        (300, 255),  # t = exp(-5.992) = 0.0025: 254.6
        (np.inf, 255),
    ],
)
def test_a_grey_pixel_in_150_m_of_visibility(depth, expected):
    image = np.full((64, 64, 3), 100, np.uint8)
    image[:, :24] = 255  # the airlight
    fog = fog_depth(image, 150, RNG, np.full((64, 64), depth, np.float32))
    assert (fog[:, 30:] == expected).all()
    assert (fog[:, :24] == 255).all()


@pytest.mark.parametrize(("beta", "visibility"), [(0.005, 599), (0.01, 300), (0.02, 150)])
def test_visibilities_of_foggy_cityscapes(beta, visibility):
    assert CONTRAST / beta == pytest.approx(visibility, abs=0.5)


def test_visibility_is_where_a_twentieth_of_the_contrast_is_left():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, :20] = 200
    fog = fog_depth(image, 80, RNG, np.full((64, 64), 80, np.float32))
    assert 200 - fog[0, 40, 0] == pytest.approx(0.05 * 200, abs=0.6)


def test_the_airlight_is_the_median_grey_of_the_haziest_pixels():
    image = np.full((64, 64, 3), 10, np.uint8)
    image[10:31, 10:31] = 200  # 7 x 7 of these have a whole 15 x 15 window: more than 5
    # The first five of the equally hazy: (17, 17) to (17, 21).
    image[17, 17:22] = [
        [200, 200, 250],
        [255, 255, 255],
        [200, 210, 200],
        [200, 200, 201],
        [201, 200, 200],
    ]
    assert airlight(image).tolist() == [200, 200, 250]
