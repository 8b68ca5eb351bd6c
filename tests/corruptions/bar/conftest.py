"""What the comparisons with plain code share."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def picture():
    """36 rows, 44 columns: smooth colours and texture, neither square nor grey."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:36, :44]
    planes = [90 + 60 * np.sin(x / 5), 120 + 70 * np.cos(y / 4), 4.0 * x]
    made = np.clip(np.stack(planes, 2) + rng.integers(0, 40, (36, 44, 3)), 0, 255)
    return made.astype(np.uint8)


@pytest.fixture(scope="session")
def agrees():
    """Whether an image is a picture of floats, cut to 0..255 and truncated, within 0.02 levels."""

    def check(found, values, *, but=0.0):
        values = np.clip(values, 0, 255)
        wrong = (found > values + 0.02) | (found < values - 1.02)
        assert found.dtype == np.uint8
        assert found.shape == values.shape
        assert wrong.mean() <= but, f"{wrong.mean():.2%} of the values differ"

    return check
