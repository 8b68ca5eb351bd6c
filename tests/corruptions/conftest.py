"""A small picture with edges, colours and texture."""

from __future__ import annotations

import numpy as np
import pytest

from stl_backbones.corruptions.reference import package_version


@pytest.fixture(scope="session")
def image():
    rng = np.random.default_rng(7)
    picture = rng.integers(0, 60, (64, 64, 3))
    picture[:32, :, 0] += 150
    picture[:, 20:40, 1] += 120
    picture[40:, 40:, 2] += 190
    picture = picture.astype(np.uint8)
    picture.setflags(write=False)
    return picture


@pytest.fixture(scope="session")
def installed_compat():
    """The name under which exact mode repeats the installed package."""
    fork = package_version().startswith("imagecorruptions-imaug ")
    return "imaug-1.1.5" if fork else "imagecorruptions-1.1.2"
