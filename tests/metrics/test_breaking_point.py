"""Breaking points, hand-computed."""

import math

import numpy as np
import pytest

from stl_backbones.metrics import breaking_intervals, breaking_point

# Scores clean and at severities 1, 3 and 5 -> where they fall below 0.5.
POINTS = [
    ([0.8, 0.7, 0.6, 0.5], math.inf),  # 0.5 is not below
    ([0.8, 0.7, 0.3, 0.1], 1 + 2 * 0.5),  # halfway between 1 and 3
    ([0.8, 0.4, 0.9, 0.1], 0.75),  # the first time
    ([0.5, 0.0, 0.0, 0.0], 0.0),
    ([0.4, 0.9, 0.9, 0.9], 0.0),  # below on clean images
    ([0.8, math.nan, 0.3, 0.1], math.nan),
]


def test_breaking_points():
    scores = np.array([one for one, _ in POINTS]).T
    expected = [point for _, point in POINTS]
    np.testing.assert_allclose(breaking_point([0, 1, 3, 5], scores, 0.5), expected)
    with pytest.raises(ValueError, match="rising severities"):
        breaking_point([0, 3, 1, 5], scores, 0.5)


def test_ends_of_intervals_are_points_of_resamples_and_may_be_infinite():
    points = np.array([np.arange(200.0), [*range(190), *[np.inf] * 10], [np.nan] * 200]).T
    low, high = breaking_intervals(points)
    assert (low[0], high[0]) == (4, 195)
    assert (low[1], high[1]) == (4, math.inf)
    assert math.isnan(low[2])
