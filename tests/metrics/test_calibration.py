"""Expected calibration error against hand numbers and a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from stl_backbones.metrics import binned_error, binned_terms, calibration_error, calibration_terms


def ece(confidence, correct, bins=15):
    terms = calibration_terms(np.asarray(confidence), np.asarray(correct), bins=bins)
    return float(calibration_error(terms.sum(axis=0, dtype=np.float64), len(terms)))


def loop(confidence, correct, bins=15):
    """The definition, bin by bin."""
    total = 0.0
    for index in range(bins):
        low, high = index / bins, (index + 1) / bins
        inside = [i for i, c in enumerate(confidence) if low < c <= high]
        if inside:
            accuracy = sum(correct[i] for i in inside) / len(inside)
            mean = sum(confidence[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return total


def test_by_hand():
    # bin (0.4, 0.6]: accuracy 1/2, confidence 0.5; bin (0.8, 1]: accuracy 1/2, confidence 0.9
    found = ece([0.45, 0.55, 0.85, 0.95], [True, False, True, False], bins=5)
    assert found == pytest.approx((2 * 0.0 + 2 * 0.4) / 4, abs=1e-7)


def test_equals_a_loop_over_bins():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.001, 1, 2000)
    correct = rng.random(2000) < confidence**2
    assert ece(confidence, correct) == pytest.approx(loop(confidence, correct), abs=1e-6)


def test_a_calibrated_model_has_none():
    confidence = np.repeat([0.25, 0.75], 4)
    assert ece(confidence, [1, 0, 0, 0, 1, 1, 1, 0]) == pytest.approx(0, abs=1e-7)


def test_it_is_of_the_data_set_and_no_mean_over_batches():
    # Each half alone is off by 0.5, in opposite directions; together they are calibrated.
    confidence, correct = [0.5] * 4, [True, True, False, False]
    assert ece(confidence[:2], correct[:2]) == pytest.approx(0.5)
    assert ece(confidence[2:], correct[2:]) == pytest.approx(0.5)
    assert ece(confidence, correct) == pytest.approx(0.0)


def test_a_bin_holds_its_upper_end():
    terms = calibration_terms(np.array([0.2, 0.2000001, 1.0, 0.0]), np.ones(4, bool), bins=5)
    assert [int(np.flatnonzero(row)[0]) if row.any() else 4 for row in terms] == [0, 1, 4, 0]


@pytest.mark.parametrize("value", [1.001, -0.1, np.nan])
def test_what_is_no_probability_is_refused(value):
    with pytest.raises(ValueError, match=r"confidence must be in 0\.\.1, got"):
        calibration_terms(np.array([0.5, value]), np.ones(2, bool))


def test_shapes_must_be_the_same():
    with pytest.raises(ValueError, match="one shape"):
        calibration_terms(np.zeros(3), np.zeros(2, bool))


def test_counts_of_bins_by_hand():
    """Bin (7/15, 8/15]: two of two right, 0.5 each; bin (14/15, 1]: one of three right, 1 each."""
    counts = np.zeros((1, 3, 15), np.int64)
    counts[0, :, 7] = 2, 2, 2 * 32768
    counts[0, :, 14] = 3, 1, 3 * 65536
    expected = np.zeros(16)
    expected[[7, 14, 15]] = 2 - 1, 1 - 3, 5
    np.testing.assert_array_equal(binned_terms(counts), [expected])
    assert binned_error(binned_terms(counts)) == pytest.approx((1 + 2) / 5)
