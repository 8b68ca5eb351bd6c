"""Accuracy and likelihood against hand-computed numbers and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stl_backbones.metrics import hits, mean_of_terms


def test_hits_are_ones_where_the_prediction_is_right():
    terms = hits(np.array([3, 1, 2], np.int32), np.array([3, 0, 2], np.int32))
    np.testing.assert_array_equal(terms, [[1], [0], [1]])
    assert terms.dtype == np.float32


def test_accuracy_is_the_share_of_hits():
    terms = hits(np.array([3, 1, 2, 2]), np.array([3, 0, 2, 1]))
    assert mean_of_terms(terms.sum(axis=0), 4) == 0.5


def test_accuracy_over_a_million_images_is_exact_in_float32():
    label = np.zeros(1_000_003, np.int32)
    prediction = (np.arange(1_000_003) % 3 == 0).astype(np.int32)
    assert hits(label, prediction).sum(dtype=np.float64) == 666_668  # 333,335 of them are wrong


def test_mean_nll_is_the_cross_entropy():
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    label = torch.arange(50) % 7
    nll = -logits.log_softmax(dim=1)[torch.arange(50), label]
    found = mean_of_terms(nll.numpy()[:, None].sum(axis=0), 50)
    assert found == pytest.approx(float(torch.nn.functional.cross_entropy(logits, label)))


def test_shapes_must_be_the_same():
    with pytest.raises(ValueError, match=r"one shape \(images,\), got \(3,\) and \(2,\)"):
        hits(np.zeros(3, int), np.zeros(2, int))
