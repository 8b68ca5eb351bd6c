"""The polynomials against numpy, to the errors that they state."""

from __future__ import annotations

import numpy as np

from stl_backbones.corruptions.bar import elementary


def largest_error(function, expected, *given):
    """Over float32 arguments; ``expected`` gets the same numbers in float64."""
    found = np.array([function(*one) for one in zip(*given, strict=True)], np.float64)
    return np.abs(found - expected(*(one.astype(np.float64) for one in given)))


def test_elementary_functions():
    rng = np.random.default_rng(0)
    far = rng.uniform(-25000, 25000, 4000).astype(np.float32)
    near = rng.uniform(-1000, 1000, 4000).astype(np.float32)
    assert largest_error(elementary.sine, np.sin, far).max() < 2e-7
    assert largest_error(elementary.cosine, np.cos, far * np.float32(0.48)).max() < 2e-7
    both = elementary.sine_and_cosine
    assert largest_error(lambda x: both(x)[0], np.sin, near).max() < 2e-7
    assert largest_error(lambda x: both(x)[1], np.cos, near).max() < 2e-7
    corners = (
        np.array([0, 0, 1, -1, 3, -3, 3, -3], np.float32),
        np.array([1, -1, 0, 0, 3, 3, -3, -3], np.float32),
    )
    for y, x in ((near, near[::-1]), corners):
        assert largest_error(elementary.arctangent, np.arctan2, y, x).max() < 5e-7
    assert elementary.arctangent(np.float32(0), np.float32(0)) == 0
    base = rng.uniform(0, 60, 4000).astype(np.float32) ** 2
    exponent = rng.uniform(0.1, 1.1, 4000).astype(np.float32)
    error = largest_error(elementary.power, np.power, base, exponent)
    assert (error / base.astype(np.float64) ** exponent).max() < 5e-6
    assert elementary.power(np.float32(0), np.float32(1.4)) < 1e-37
