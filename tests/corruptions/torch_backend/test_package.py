"""Given the same draws, the result is the package's but for rounding."""

import numpy as np
import pytest
import torch

from stl_backbones.corruptions.parameters import strength
from stl_backbones.corruptions.reference import corrupt_reference
from stl_backbones.corruptions.torch_backend import corrupt_batch

SEED = 11
DETERMINISTIC = (
    "defocus_blur", "gaussian_blur", "zoom_blur", "brightness", "saturate", "contrast", "pixelate",
)  # fmt: skip
SMOOTH = ("gaussian_noise", "speckle_noise", "impulse_noise", "motion_blur", "frost", "fog")
SMOOTH += ("elastic_transform",)
THRESHOLDED = ("snow", "spatter")


def difference(picture, name, severity, batch, draws):
    expected = corrupt_reference(picture, name, severity, seed=SEED)
    actual = corrupt_batch(batch, name, severity, seeds=[1], draws=draws)[0].permute(1, 2, 0)
    return np.abs(actual.numpy().astype(int) - expected)


@pytest.mark.parametrize("picture", ["ramps", "noise"])
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_without_draws(pictures, to_batch, picture, name, severity):
    shown = pictures[picture]

    apart = difference(shown, name, severity, to_batch(shown), None)

    assert apart.max() <= 1


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["pixelate", "jpeg_compression"])
def test_pillows_integers_are_repeated(pictures, to_batch, name, severity):
    """Also at sides that are whole blocks, and one or nine pixels longer."""
    for height, width in ((64, 48), (64, 80), (33, 41), (40, 33), (97, 131)):
        shown = np.ascontiguousarray(pictures["noise"][:height, :width])
        assert difference(shown, name, severity, to_batch(shown), None).max() == 0


@pytest.mark.parametrize("picture", ["ramps", "noise"])
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", SMOOTH)
def test_with_the_same_draws(pictures, to_batch, package_draws, picture, name, severity):
    shown = pictures[picture]
    draws = package_draws(name, severity, shown.shape, SEED)

    apart = difference(shown, name, severity, to_batch(shown), draws)

    assert apart.max() <= 1


@pytest.mark.parametrize("picture", ["ramps", "noise"])
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", THRESHOLDED)
def test_with_the_same_draws_but_next_to_a_threshold(
    pictures, to_batch, package_draws, picture, name, severity
):
    """Measured on 2048x1024: at most 3e-5 of the values are more than 1 apart."""
    shown = pictures[picture]
    draws = package_draws(name, severity, shown.shape, SEED)

    apart = difference(shown, name, severity, to_batch(shown), draws)

    assert (apart > 1).mean() <= 1e-3  # a pixel or two of these small pictures


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_shot_noise_with_the_same_photons(pictures, to_batch, severity):
    shown = pictures["noise"]
    white = strength("shot_noise", severity)
    counts = np.random.RandomState(SEED).poisson(shown / 255.0 * white)
    photons = torch.tensor(counts.transpose(2, 0, 1))[None]

    apart = difference(shown, "shot_noise", severity, to_batch(shown), {"photons": photons})

    assert apart.max() == 0


@pytest.mark.parametrize("name", ["gaussian_blur", "defocus_blur"])
@pytest.mark.parametrize("grey", [1, 100, 117, 255])
def test_an_even_area_is_rounded_as_by_the_package(to_batch, name, grey):
    shown = np.full((32, 40, 3), grey, np.uint8)

    apart = [difference(shown, name, severity, to_batch(shown), None) for severity in (1, 2, 3)]

    assert np.max(apart) == 0


@pytest.mark.parametrize("severity", [1, 2, 3])
def test_water_without_a_drop_is_black(pictures, to_batch, monkeypatch, severity):
    """0 / 0 in the package, stated rather than inherited."""
    shown = pictures["ramps"]
    monkeypatch.setattr(np.random, "normal", lambda size, loc, scale: np.full(size, float(loc)))
    with np.errstate(invalid="ignore"):
        draws = {"normal": torch.zeros(1, *shown.shape[:2])}
        apart = difference(shown, "spatter", severity, to_batch(shown), draws)

    assert apart.max() == 0


def test_a_black_image_has_no_haze(to_batch):
    black = np.zeros((32, 40, 3), np.uint8)

    hazy = corrupt_batch(to_batch(black), "fog", 3, seeds=[1])

    assert hazy.max() == 0
