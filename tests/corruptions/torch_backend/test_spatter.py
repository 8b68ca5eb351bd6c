"""The water's steps against OpenCV's."""

import cv2
import numpy as np
import pytest
import torch

from stl_backbones.corruptions.torch_backend import spatter


@pytest.fixture(params=[(0, 1.0), (1, 1.5), (2, 3.0), (3, 6.0)], ids=str)
def layer(request):
    """Smooth noise with edges of all strengths, uint8."""
    seed, sigma = request.param
    noise = np.random.default_rng(seed).normal(size=(97, 131))
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    smooth = 128 + 50 * smooth / smooth.std()
    smooth[smooth < 90] = 0
    return smooth.clip(0, 255).astype(np.uint8)


def as_tensor(array):
    return torch.tensor(array)[None].to(torch.int32)


def test_canny_is_opencvs(layer):
    edges = spatter._canny(as_tensor(layer))[0].numpy()

    np.testing.assert_array_equal(edges * 255, cv2.Canny(layer, 50, 150))


def test_canny_follows_a_weak_edge_to_its_end():
    """A step that fades from strong to weak over the whole width."""
    picture = np.zeros((40, 300), np.uint8)
    picture[20:] = np.linspace(60, 16, 300)

    edges = spatter._canny(as_tensor(picture))[0].numpy()

    assert edges.sum() > 250
    np.testing.assert_array_equal(edges * 255, cv2.Canny(picture, 50, 150))


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.3])
def test_edge_distance_is_opencvs(share):
    edges = np.random.default_rng(4).random((97, 131)) < share
    expected = cv2.distanceTransform(np.where(edges, 0, 255).astype(np.uint8), cv2.DIST_L2, 5)

    distance = spatter._edge_distance(torch.tensor(edges)[None])[0].numpy() / 10_000

    np.testing.assert_allclose(distance, expected.clip(max=20), atol=2e-5)


@pytest.mark.parametrize("lowest", [0, 3, 20])
def test_equalised_is_opencvs(lowest):
    levels = np.random.default_rng(4).integers(lowest, 21, (97, 131)).astype(np.uint8)

    equalised = spatter._equalised(as_tensor(levels))[0].numpy()

    np.testing.assert_array_equal(equalised, cv2.equalizeHist(levels))


def test_relief_is_opencvs(layer):
    distance = cv2.distanceTransform(255 - cv2.Canny(layer, 50, 150), cv2.DIST_L2, 5).clip(max=20)
    expected = cv2.equalizeHist(cv2.blur(distance, (3, 3)).astype(np.uint8))
    kernel = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    expected = cv2.blur(cv2.filter2D(expected, cv2.CV_8U, kernel), (3, 3))

    relief = spatter._relief(spatter._edge_distance(spatter._canny(as_tensor(layer))))[0].numpy()

    np.testing.assert_array_equal(relief, expected)
