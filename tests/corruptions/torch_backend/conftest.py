"""Pictures of two sizes, and the package's own random numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from stl_backbones.corruptions.frost import frost_picture
from stl_backbones.corruptions.parameters import strength


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pictures():
    """Ramps with black, white and grey patches, 80x64; coarse and fine noise, 131x97."""
    y, x = np.mgrid[:64, :80]
    ramps = np.stack([x * 3, y * 4, (x + y) * 1.7], axis=-1).astype(np.uint8)
    ramps[10:20, 10:30], ramps[30:40, 5:25], ramps[40:50, 40:60] = 0, 255, 117
    rng = np.random.default_rng(3)
    coarse = np.kron(rng.integers(0, 200, (14, 19, 3)), np.ones((7, 7, 1), int))[:97, :131]
    noise = (coarse + rng.integers(0, 56, (97, 131, 3))).astype(np.uint8)
    for picture in (ramps, noise):
        picture.setflags(write=False)
    return {"ramps": ramps, "noise": noise}


@pytest.fixture(scope="session")
def to_batch():
    """Turn ``(H, W, 3)`` pictures of one size into ``(N, 3, H, W)``."""

    def stack(*pictures):
        return torch.tensor(np.stack([picture.transpose(2, 0, 1) for picture in pictures]))

    return stack


@pytest.fixture(scope="session")
def package_draws():
    """What the package draws after ``np.random.seed(seed)``, for a batch of one."""

    def draw(name, severity, shape, seed):
        rng = np.random.RandomState(seed)
        drawn = _DRAWS[name](rng, severity, *shape[:2])
        return {label: torch.tensor(np.asarray(value))[None] for label, value in drawn.items()}

    return draw


def _values(rng, severity, height, width):
    return {"normal": rng.normal(size=(height, width, 3)).transpose(2, 0, 1)}


def _impulses(rng, severity, height, width):
    share = strength("impulse_noise", severity)
    generator = np.random.default_rng(rng.get_state()[1][0])  # scikit-image's, from the same seed
    replaced = generator.random((height, width, 3)) <= share
    white = generator.random((height, width, 3)) <= 0.5
    uniform = np.where(replaced, np.where(white, 0.25 * share, 0.75 * share), 1.0)
    return {"uniform": uniform.transpose(2, 0, 1)}


def _snow(rng, severity, height, width):
    factor = strength("snow", severity).zoom
    noise = rng.normal(size=(height, width))
    rows, columns = math.ceil(height / factor), math.ceil(width / factor)
    top, left = (height - rows) // 2, (width - columns) // 2
    return {
        "normal": noise[top : top + rows, left : left + columns],
        "angle": rng.uniform(-135, -45),
    }


def _frost(rng, severity, height, width):
    index = rng.randint(6)
    rows, columns, _ = frost_picture(index, height, width).shape
    return {
        "picture": index,
        "top": rng.randint(0, rows - height),
        "left": rng.randint(0, columns - width),
    }


def _fog(rng, severity, height, width):
    side = 2 ** math.ceil(math.log2(max(height, width)))
    return {"uniform": rng.random_sample(side**2 - 1)}


_DRAWS = {
    "gaussian_noise": _values,
    "speckle_noise": _values,
    "impulse_noise": _impulses,
    "motion_blur": lambda rng, *_: {"angle": rng.uniform(-45, 45)},
    "snow": _snow,
    "frost": _frost,
    "fog": _fog,
    "spatter": lambda rng, _, height, width: {"normal": rng.normal(size=(height, width))},
    "elastic_transform": lambda rng, _, height, width: {
        "uniform": rng.random_sample((2, height, width))
    },
}
