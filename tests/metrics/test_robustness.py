"""Means over cells by hand, and what is missing by name."""

from __future__ import annotations

import numpy as np
import pytest

from stl_backbones.metrics import (
    IncompleteCellsError,
    corruption_means,
    mean_over,
    retention,
    robust_mean,
    share,
)
from stl_backbones.records import CLEAN, Cell

SEVERITIES = {"fog": (1, 2), "snow": (1, 2, 3, 4)}


@pytest.fixture
def scores():
    values = {"fog": (60, 40), "snow": (10, 20, 30, 60)}
    cells = {Cell(n, s + 1): float(v) for n, row in values.items() for s, v in enumerate(row)}
    return {CLEAN: 80.0, **cells}


def test_corruption_means(scores):
    assert corruption_means(scores, SEVERITIES) == {"fog": 50.0, "snow": 30.0}


def test_robust_mean_weighs_corruptions_not_cells(scores):
    # (50 + 30) / 2; the mean over the six cells would be 36.67
    assert robust_mean(scores, SEVERITIES) == 40.0


def test_retention(scores):
    assert retention(scores, SEVERITIES) == 0.5  # 40 / 80


def test_cells_outside_the_protocol_do_not_count(scores):
    scores[Cell("fog", 5)] = 0.0
    scores[Cell("frost", 1)] = 0.0
    assert robust_mean(scores, SEVERITIES) == 40.0


def test_a_score_of_zero_is_not_missing(scores):
    scores[Cell("fog", 1)] = 0.0
    assert corruption_means(scores, SEVERITIES)["fog"] == 20.0


@pytest.mark.parametrize("formula", [corruption_means, robust_mean, retention])
def test_every_missing_cell_is_named(scores, formula):
    del scores[Cell("fog", 2)], scores[Cell("snow", 1)]
    with pytest.raises(IncompleteCellsError, match=r"2 cells are missing.*: fog-2, snow-1") as got:
        formula(scores, SEVERITIES)
    assert got.value.missing == (Cell("fog", 2), Cell("snow", 1))


def test_retention_needs_the_clean_score(scores):
    del scores[CLEAN]
    with pytest.raises(IncompleteCellsError, match=r": clean$") as got:
        retention(scores, SEVERITIES)
    assert got.value.missing == (CLEAN,)


def test_mean_over(scores):
    assert mean_over(scores, [CLEAN, Cell("fog", 2), Cell("snow", 3)]) == 50.0


def test_mean_over_names_what_is_missing(scores):
    with pytest.raises(IncompleteCellsError, match=r": fog-5$"):
        mean_over(scores, [CLEAN, Cell("fog", 5)])


def test_mean_over_nothing(scores):
    with pytest.raises(ValueError, match="at least one cell"):
        mean_over(scores, [])


def test_arrays_are_averaged_element_by_element(scores):
    stacked = {cell: np.array([score, score / 2]) for cell, score in scores.items()}
    np.testing.assert_allclose(robust_mean(stacked, SEVERITIES), [40, 20])
    np.testing.assert_allclose(retention(stacked, SEVERITIES), [0.5, 0.5])


def test_a_share_of_nothing_is_not_a_number():
    np.testing.assert_array_equal(share(np.array([1.0, 0.0]), np.array([4.0, 0.0])), [0.25, np.nan])
    assert np.isnan(share(1.0, 0.0))
    assert share(1.0, 2.0) == 0.5
