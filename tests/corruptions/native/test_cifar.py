"""The constants of CIFAR-10-C: each form against plain code, the package's functions with them."""

from __future__ import annotations

import inspect
import re

import cv2
import imagecorruptions.corruptions as package
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.stats import ks_2samp

from stl_backbones.corruptions import CORRUPTIONS
from stl_backbones.corruptions.native import EXACT, FAST, Draws
from stl_backbones.corruptions.parameters import strength
from stl_backbones.corruptions.torch_backend import corrupt_batch, is_parallel

SEVERITIES = (1, 2, 3, 4, 5)
KEYS = 100
# The published table, in the form in which the package's functions take their constants.
TABLE = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "shot_noise": (500, 250, 100, 75, 50),
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
    "speckle_noise": (0.06, 0.1, 0.12, 0.16, 0.2),
    "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1),
    "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    "zoom_blur": tuple(np.arange(1, end, 0.01) for end in (1.06, 1.11, 1.16, 1.21, 1.26)),
    "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    "snow": (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9), (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    "spatter": (
        (0.62, 0.1, 0.7, 0.7, 0.5, 0), (0.65, 0.1, 0.8, 0.7, 0.5, 0), (0.65, 0.3, 1, 0.69, 0.5, 0),
        (0.65, 0.1, 0.7, 0.69, 0.6, 1), (0.65, 0.1, 0.5, 0.68, 0.6, 1),
    ),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    "jpeg_compression": (80, 65, 58, 50, 40),
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
    "elastic_transform": (
        (0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03),
    ),
}  # fmt: skip
RANDOM = tuple(
    name for name in CORRUPTIONS
    if name not in ("defocus_blur", "zoom_blur", "gaussian_blur", "brightness", "contrast",
                    "pixelate", "jpeg_compression", "saturate")
)  # fmt: skip
pytestmark = pytest.mark.needs_stack(
    "onedl", reason="the plain code is imagecorruptions-imaug's with other constants"
)


@pytest.fixture(scope="module")
def small(pictures):
    """Pictures of 32x32: a scene, noise, white and a grey ramp."""
    parts = {name: pictures[name][:32, :32] for name in ("smallest", "noise", "white", "steps")}
    return {name: np.ascontiguousarray(part) for name, part in parts.items()}


def frost(x, constants):
    """Bilinear to a fifth, then a crop; the first five pictures."""
    weights = constants
    index = np.random.randint(5)  # noqa: NPY002  the draws that exact mode repeats
    name = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")[index]
    folder = re.sub(r"corruptions\.py$", "frost/", package.__file__)
    picture = cv2.resize(cv2.imread(folder + name), (0, 0), fx=0.2, fy=0.2)
    top = np.random.randint(0, picture.shape[0] - 32)  # noqa: NPY002
    left = np.random.randint(0, picture.shape[1] - 32)  # noqa: NPY002
    crop = picture[top : top + 32, left : left + 32, ::-1]
    return np.clip(weights[0] * np.array(x) + weights[1] * crop, 0, 255)


def elastic_transform(x, constants):
    """Three points move, then every pixel; in sides of 32 pixels."""
    alpha, sigma, affine = (32 * value for value in constants)
    values = np.array(x, dtype=np.float32) / 255.0
    before = np.float32([(26, 26), (26, 6), (6, 6)])
    after = before + np.random.uniform(-affine, affine, (3, 2)).astype(np.float32)  # noqa: NPY002
    matrix = cv2.getAffineTransform(before, after)
    values = cv2.warpAffine(values, matrix, (32, 32), borderMode=cv2.BORDER_REFLECT_101)
    dx, dy = (
        gaussian_filter(np.random.uniform(-1, 1, (32, 32)), sigma, truncate=3) * alpha  # noqa: NPY002
        for _ in range(2)
    )
    rows, columns, channels = np.meshgrid(*map(np.arange, (32, 32, 3)), indexing="ij")
    places = (
        rows + np.float32(dy)[..., None],
        columns + np.float32(dx)[..., None],
        channels,
    )
    return np.clip(map_coordinates(values, places, order=1, mode="reflect"), 0, 1) * 255


def plain(name, image, severity, seed):
    """The package's function with the constants of the table, or the two above."""
    constants = TABLE[name][severity - 1]
    seeds = {"seed": seed} if name in ("impulse_noise", "glass_blur") else {}
    if name in ("frost", "elastic_transform"):
        function, given = globals()[name], constants
    else:
        source, found = re.subn(
            r"c = \[.*?\]\[\s*severity - 1\]", "c = severity",
            inspect.getsource(getattr(package, name)), flags=re.DOTALL,
        )  # fmt: skip
        assert found == 1
        scope = dict(vars(package))
        exec(source, scope)
        function, given = scope[name], constants
    state = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(seed)  # noqa: NPY002  the package draws from the global generator
        return np.uint8(function(Image.fromarray(image), given, **seeds))
    finally:
        np.random.set_state(state)  # noqa: NPY002


def ours(forms, name, image, severity, seed):
    constants = strength(name, severity, "cifar10")
    return forms[name](image, constants, Draws(seed, "imaug-1.1.5"))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_exact_form_equals_plain_code(small, name):
    for label, image in small.items():
        for severity in SEVERITIES:
            for seed in range(5 if name in RANDOM else 1):
                with np.errstate(invalid="ignore"):  # water without a drop
                    expected = plain(name, image, severity, seed)
                found = ours(EXACT, name, image, severity, seed)
                np.testing.assert_array_equal(
                    found, expected, err_msg=f"{label}, severity {severity}, seed {seed}"
                )


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in RANDOM])
def test_fast_and_torch_are_within_a_level_where_nothing_is_drawn(small, name):
    for image in small.values():
        batch = torch.tensor(image.transpose(2, 0, 1)[None].copy())
        for severity in SEVERITIES:
            exact = ours(EXACT, name, image, severity, 0).astype(int)
            fast = ours(FAST, name, image, severity, 0)
            by_torch = corrupt_batch(batch, name, severity, seeds=[0], strengths="cifar10")
            assert np.abs(fast - exact).max() <= 1
            assert np.abs(by_torch[0].permute(1, 2, 0).numpy() - exact).max() <= 1


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("name", RANDOM)
def test_fast_and_torch_are_distributed_as_the_exact_form(small, name, severity):
    image = small["smallest"]
    exact, fast = (
        np.stack([ours(forms, name, image, severity, seed) for seed in range(KEYS)])
        for forms in (EXACT, FAST)
    )
    others = [fast]
    if is_parallel(name, "cifar10"):
        batch = torch.tensor(np.stack([image.transpose(2, 0, 1)] * KEYS))
        made = corrupt_batch(batch, name, severity, seeds=range(KEYS), strengths="cifar10")
        others.append(made.permute(0, 2, 3, 1).numpy())
    for images in others:
        for statistic in (
            lambda values: values.mean(axis=(1, 2, 3)),
            lambda values: values.std(axis=(1, 2, 3)),
            lambda values: np.abs(np.diff(values.astype(float), axis=1)).mean(axis=(1, 2, 3)),
            lambda values: np.abs(np.diff(values.astype(float), axis=2)).mean(axis=(1, 2, 3)),
        ):
            assert ks_2samp(statistic(images), statistic(exact)).pvalue > 1e-3
