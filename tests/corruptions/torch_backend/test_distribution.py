"""Over many keys, the results are distributed as the package's."""

import numpy as np
import pytest
from scipy.stats import ks_2samp, poisson

from stl_backbones.corruptions.parameters import strength
from stl_backbones.corruptions.reference import corrupt_reference
from stl_backbones.corruptions.torch_backend import corrupt_batch

KEYS = 120
RANDOM = (
    "gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "motion_blur", "snow",
    "frost", "fog", "spatter", "elastic_transform",
)  # fmt: skip


@pytest.fixture(scope="module")
def crop(pictures):
    """Small, and no smaller than the motion blur's line."""
    return np.ascontiguousarray(pictures["noise"][:44, :48])


SIX_PICTURES = pytest.mark.needs_stack(
    "onedl", reason="frost here has six pictures, imagecorruptions 1.1.2 only draws from five"
)
CELLS = [
    pytest.param((name, severity), marks=[SIX_PICTURES] if name == "frost" else [])
    for name in RANDOM
    for severity in (3, 5)
]


@pytest.fixture(scope="module", params=CELLS, ids=str)
def results(request, crop, to_batch):
    """The package's and our results: two ``(KEYS, H, W, 3)`` float arrays."""
    name, severity = request.param
    with np.errstate(invalid="ignore"):  # water without a drop
        package = [corrupt_reference(crop, name, severity, seed=key) for key in range(KEYS)]
    ours = corrupt_batch(to_batch(*[crop] * KEYS), name, severity, seeds=range(KEYS))
    return np.stack(package).astype(float), ours.permute(0, 2, 3, 1).numpy().astype(float)


@pytest.mark.parametrize(
    "statistic",
    [
        lambda images: images.mean(axis=(1, 2, 3)),
        lambda images: images.std(axis=(1, 2, 3)),
        lambda images: images[:, 22, 24, 1],
        lambda images: (images[:, 1:] - images[:, :-1]).std(axis=(1, 2, 3)),
        lambda images: (images[:, :, 1:] - images[:, :, :-1]).std(axis=(1, 2, 3)),
    ],
    ids=["mean", "deviation", "one pixel", "vertical steps", "horizontal steps"],
)
def test_a_statistic_of_each_image_is_distributed_alike(results, statistic):
    package, ours = map(statistic, results)

    assert ks_2samp(package, ours, method="asymp").pvalue > 1e-3


def test_the_grey_levels_of_all_images_are_alike(results):
    package, ours = (np.sort(values.ravel()) for values in results)

    assert abs(package.mean() - ours.mean()) < 0.1 * package.std()
    assert np.abs(package - ours).mean() < 0.08 * package.std()  # of a few pictures: frost


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("grey", [0, 1, 60, 128, 255])
def test_shot_noise_is_poisson(to_batch, severity, grey):
    white = strength("shot_noise", severity)
    even = np.full((128, 128, 3), grey, np.uint8)
    greys = (np.arange(white + 1) / float(white) * 255).astype(np.uint8)
    expected = poisson.pmf(np.arange(white), grey / 255 * white)
    expected = np.append(expected, 1 - expected.sum())

    noisy = corrupt_batch(to_batch(even), "shot_noise", severity, seeds=[3]).numpy()
    shares = np.array([(noisy == level).mean() for level in greys])

    assert shares.sum() == pytest.approx(1)
    error = np.sqrt(expected * (1 - expected) / noisy.size)
    assert np.all(np.abs(shares - expected) <= 4.5 * error + 1 / 65536)


def test_impulse_noise_replaces_its_share_half_white_half_black(to_batch):
    even = np.full((256, 256, 3), 100, np.uint8)

    noisy = corrupt_batch(to_batch(even), "impulse_noise", 2, seeds=[3]).numpy()

    error = np.sqrt(0.03 / noisy.size)
    assert (noisy == 255).mean() == pytest.approx(0.03, abs=4 * error)
    assert (noisy == 0).mean() == pytest.approx(0.03, abs=4 * error)
    assert (noisy == 100).mean() == pytest.approx(0.94, abs=6 * error)
