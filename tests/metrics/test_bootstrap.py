"""Resampling against its distribution, scipy's bootstrap and exact tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from stl_backbones.metrics import (
    paired_p_value,
    percentile_interval,
    resample_counts,
    weighted_sums,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_every_resample_draws_as_many_images_as_there_are():
    counts = resample_counts(37, resamples=50, rng=rng())
    assert counts.shape == (50, 37)
    np.testing.assert_array_equal(counts.sum(axis=1), 37)


def test_counts_are_multinomial():
    counts = resample_counts(20, resamples=20_000, rng=rng())
    # mean 1, variance 1 - 1/20, covariance -1/20
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.03)
    covariance = np.cov(counts.T)
    np.testing.assert_allclose(np.diag(covariance), 0.95, atol=0.05)
    assert covariance[~np.eye(20, dtype=bool)].mean() == pytest.approx(-0.05, abs=0.002)


def test_the_generator_decides():
    first, again = (resample_counts(9, resamples=5, rng=rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first != resample_counts(9, resamples=5, rng=rng(2))).any()


@pytest.mark.parametrize(("images", "resamples"), [(0, 10), (5, -1)])
def test_impossible_numbers_are_refused(images, resamples):
    with pytest.raises(ValueError, match=f"got {images} images and {resamples} resamples"):
        resample_counts(images, resamples=resamples, rng=rng())


def test_sums_are_those_of_the_drawn_images():
    drawn = rng(3).integers(0, 6, (4, 6))  # which images, drawn one by one
    counts = np.stack([np.bincount(row, minlength=6) for row in drawn]).astype(np.float32)
    terms = rng(4).random((6, 3))
    expected = [[sum(terms[i, s] for i in row) for s in range(3)] for row in drawn]
    np.testing.assert_allclose(weighted_sums(counts, terms), expected, rtol=1e-12)


def test_counts_of_pixels_beyond_float32_are_exact():
    counts = np.array([[1, 2], [0, 3]], np.float32)
    terms = np.array([[2.0**30 + 1], [2.0**31 + 1]])
    expected = [[2.0**30 + 1 + 2 * (2.0**31 + 1)], [3 * (2.0**31 + 1)]]
    np.testing.assert_array_equal(weighted_sums(counts, terms), expected)


def test_blocks_do_not_change_the_sums(monkeypatch):
    counts, terms = resample_counts(30, resamples=25, rng=rng()), rng(1).random((30, 2))
    whole = weighted_sums(counts, terms)
    monkeypatch.setattr("stl_backbones.metrics.bootstrap._BLOCK", 90)  # three rows a block
    np.testing.assert_allclose(weighted_sums(counts, terms), whole, rtol=1e-14)


def test_terms_of_another_number_of_images_are_refused():
    with pytest.raises(ValueError, match="terms of 4 images, got 3"):
        weighted_sums(np.ones((2, 4), np.float32), np.ones((3, 1)))


def test_the_interval_is_between_percentiles():
    # 0, 0.001, ..., 1: the percentiles are their own positions
    assert percentile_interval(np.linspace(0, 1, 1001)) == pytest.approx((0.025, 0.975))
    assert percentile_interval(np.linspace(0, 1, 1001), level=0.5) == pytest.approx((0.25, 0.75))


def test_the_interval_agrees_with_scipy():
    values = rng(5).gamma(2.0, size=400)
    counts = resample_counts(400, resamples=4000, rng=rng(6))
    found = percentile_interval(weighted_sums(counts, values[:, None])[:, 0] / 400)
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=rng(7), vectorized=True
    ).confidence_interval
    assert found == pytest.approx(tuple(reference), abs=0.01)  # its width is 0.28


def test_the_interval_of_an_accuracy_is_the_binomial_one():
    right = np.zeros(10_000)
    right[:3000] = 1
    counts = resample_counts(10_000, resamples=2000, rng=rng())
    found = percentile_interval(weighted_sums(counts, right[:, None])[:, 0] / 10_000)
    half = 1.96 * np.sqrt(0.3 * 0.7 / 10_000)
    assert found == pytest.approx((0.3 - half, 0.3 + half), abs=0.0006)


def test_joint_resampling_keeps_the_correlation_of_cells():
    # Ten cells that are right on the same images: their mean is as uncertain as one of them.
    right = (rng(8).random(2000) < 0.5).astype(np.float32)
    counts = resample_counts(2000, resamples=1000, rng=rng())
    same = weighted_sums(counts, np.repeat(right[:, None], 10, axis=1)).mean(axis=1) / 2000
    other = (rng(9).random((2000, 10)) < 0.5).astype(np.float32)
    independent = weighted_sums(counts, other).mean(axis=1) / 2000
    assert same.std() == pytest.approx(0.5 / np.sqrt(2000), rel=0.1)
    assert independent.std() == pytest.approx(0.5 / np.sqrt(20_000), rel=0.1)


@pytest.mark.parametrize("replicates", [[], [0.5, np.nan]])
def test_without_a_score_in_every_resample_there_is_no_interval(replicates):
    assert np.isnan(percentile_interval(np.array(replicates))).all()
    assert np.isnan(paired_p_value(np.array(replicates)))


def test_p_by_hand():
    # 999 differences, 9 of them not above zero: 2 * (9 + 1) / 1000
    differences = np.concatenate([np.full(990, 0.1), np.full(8, -0.1), [0.0]])
    assert paired_p_value(differences) == pytest.approx(0.02)
    assert paired_p_value(-differences) == pytest.approx(0.02)


def test_equal_models_have_p_one():
    assert paired_p_value(np.zeros(1000)) == 1
    assert paired_p_value(np.full(1000, 1e-17)) == 1  # zero but for rounding


def test_p_is_never_zero():
    assert paired_p_value(np.ones(999)) == pytest.approx(2 / 1000)


@pytest.mark.parametrize("lost", [60, 75, 100])
def test_p_agrees_with_the_exact_mcnemar_test(lost):
    # The second model is right on 100 images that the first gets wrong, and the other way round
    # on `lost`; on 840 both are right or both wrong.
    difference = np.concatenate([np.ones(100), -np.ones(lost), np.zeros(840)])
    images = len(difference)
    counts = resample_counts(images, resamples=20_000, rng=rng())
    found = paired_p_value(weighted_sums(counts, difference.astype(np.float32)[:, None])[:, 0])
    exact = stats.binomtest(lost, 100 + lost, 0.5).pvalue
    assert found == pytest.approx(exact, abs=0.04)


def test_p_is_small_exactly_when_the_interval_excludes_zero():
    for shift in (1.5, 1.9, 2.05, 2.5):
        differences = rng(1).normal(shift, 1, 4999)
        low, _ = percentile_interval(differences)
        assert (paired_p_value(differences) < 0.05) == (low > 0)
