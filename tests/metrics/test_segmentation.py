"""Confusion matrices and IoU against loops and hand-computed numbers."""

from __future__ import annotations

import numpy as np
import pytest

from stl_backbones.metrics import (
    class_iou,
    class_iou_of_terms,
    confusion_matrix,
    find_ignored,
    ignored_text,
    iou_terms,
    mean_iou,
    mean_iou_of_terms,
)

# rows = truth: class 0 hit 3 times and taken for 1 once, and so on; class 3 never occurs
CONFUSION = np.array([[3, 1, 0, 0], [2, 4, 0, 0], [0, 0, 5, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("label", [0, 255, -1])
def test_the_ignored_label_is_found_in_the_text_of_a_record(label):
    assert find_ignored(", ".join(["whole", *ignored_text(label), "bfloat16"])) == label


def test_rows_are_the_truth():
    label = np.array([[0, 0, 1], [1, 1, 255]], np.uint8)
    prediction = np.array([[0, 1, 1], [1, 0, 0]])
    counts = confusion_matrix(prediction, label, num_classes=2)
    np.testing.assert_array_equal(counts, [[1, 1], [1, 2]])
    assert counts.dtype == np.int64


@pytest.mark.parametrize("ignore_index", [255, 4, 0])
def test_equals_a_loop_over_pixels(ignore_index):
    rng = np.random.default_rng(0)
    label = rng.choice([0, 1, 2, 3, ignore_index], (17, 23)).astype(np.uint8)
    prediction = rng.integers(0, 4, (17, 23))
    expected = np.zeros((4, 4), int)
    for truth, guess in zip(label.ravel(), prediction.ravel(), strict=True):
        if truth != ignore_index:
            expected[truth, guess] += 1
    counts = confusion_matrix(prediction, label, num_classes=4, ignore_index=ignore_index)
    np.testing.assert_array_equal(counts, expected)


def test_many_classes_of_a_small_type_do_not_overflow():
    label = np.full((2, 2), 200, np.uint8)
    counts = confusion_matrix(label, label, num_classes=201)
    assert counts[200, 200] == counts.sum() == 4


def test_nothing_but_ignored_pixels():
    label = np.full((2, 2), 255, np.uint8)
    counts = confusion_matrix(np.zeros((2, 2), int), label, num_classes=3)
    np.testing.assert_array_equal(counts, np.zeros((3, 3)))


def test_what_is_predicted_on_ignored_pixels_does_not_matter():
    label = np.array([[255, 1]], np.uint8)
    counts = confusion_matrix(np.array([[99, 1]]), label, num_classes=2)
    np.testing.assert_array_equal(counts, [[0, 0], [0, 1]])


def test_shapes_must_be_the_same():
    with pytest.raises(ValueError, match=r"one shape, got \(2, 3\) and \(3, 2\)"):
        confusion_matrix(np.zeros((2, 3), int), np.zeros((3, 2), int), num_classes=2)


@pytest.mark.parametrize(
    ("prediction", "label", "message"),
    [
        ([[0, 1]], [[0, 7]], r"label must hold classes 0\.\.1, got 0\.\.7"),
        ([[0, 2]], [[0, 1]], r"prediction must hold classes 0\.\.1, got 0\.\.2"),
        ([[-1, 1]], [[0, 1]], r"prediction must hold classes 0\.\.1, got -1\.\.1"),
    ],
)
def test_values_that_are_no_class(prediction, label, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(np.array(prediction), np.array(label), num_classes=2)


def test_class_iou_by_hand():
    # 3 / (4 + 5 - 3), 4 / (6 + 5 - 4), 5 / 5, absent
    np.testing.assert_allclose(class_iou(CONFUSION), [3 / 6, 4 / 7, 1, np.nan], rtol=1e-15)


def test_class_iou_of_many_images_at_once():
    stacked = np.stack([CONFUSION, 2 * CONFUSION.T, np.eye(4, dtype=int)])
    expected = np.stack([class_iou(matrix) for matrix in stacked])
    np.testing.assert_array_equal(class_iou(stacked), expected)


def test_a_class_only_predicted_counts_as_zero():
    np.testing.assert_array_equal(class_iou(np.array([[3, 1], [0, 0]])), [0.75, 0])


def test_of_terms_a_class_only_predicted_has_no_iou():
    sums = iou_terms(np.array([[[3, 1], [0, 0]], [[4, 1], [2, 3]]]))
    np.testing.assert_array_equal(class_iou_of_terms(sums), [[3 / 4, np.nan], [4 / 7, 3 / 6]])


def test_mean_iou_leaves_out_absent_classes():
    assert mean_iou(CONFUSION) == pytest.approx((1 / 2 + 4 / 7 + 1) / 3, rel=1e-15)


def test_mean_iou_of_nothing_is_not_a_number():
    assert np.isnan(mean_iou(np.zeros((3, 3), int)))


def test_mean_iou_is_that_of_the_sum_not_the_mean_over_images():
    first, second = np.array([[8, 0], [0, 0]]), np.array([[0, 1], [0, 1]])
    # the sum has IoU 8 / 9 and 1 / 2
    assert mean_iou(first + second) == pytest.approx((8 / 9 + 1 / 2) / 2, rel=1e-15)


def test_mean_iou_of_summed_terms_is_that_of_the_summed_matrices():
    rng = np.random.default_rng(0)
    matrices = rng.integers(0, 50, (7, 4, 4))
    matrices[:, 3] = matrices[:, :, 3] = 0  # a class that never occurs
    terms = iou_terms(matrices)
    assert terms.shape == (7, 12)
    found = mean_iou_of_terms(terms.sum(axis=0))
    assert found == pytest.approx(mean_iou(matrices.sum(axis=0)), rel=1e-14)


def test_mean_iou_of_terms_of_many_resamples_at_once():
    terms = iou_terms(np.stack([CONFUSION, np.zeros((4, 4), int)]))
    np.testing.assert_allclose(mean_iou_of_terms(terms), [mean_iou(CONFUSION), np.nan])
