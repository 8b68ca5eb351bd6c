import math

import numpy as np
import pytest

from stl_backbones.records import CLEAN
from stl_backbones.report import Task, get_task
from stl_backbones.report.read.metrics import TASKS


def scores_of(result):
    counts = np.empty((0, len(result.image_ids)), np.float32)
    return get_task("segmentation").score_cell(result, counts)


def test_segmentation_score_is_the_iou_of_the_summed_matrix(make_result):
    # Sum: [[8, 2], [0, 10]]; IoU 8/10 and 10/12; per-image IoUs average to something else.
    matrices = np.array([[[8, 0], [0, 1]], [[0, 2], [0, 9]]])
    result = make_result(CLEAN, matrices)
    assert scores_of(result).replicates["miou"][0] == pytest.approx((8 / 10 + 10 / 12) / 2)


def test_a_class_that_is_only_predicted_counts_for_the_mean_and_has_no_row(make_result):
    matrices = np.array([[[6, 2], [0, 0]]])  # class 1 is predicted, never true
    result = make_result(CLEAN, matrices)
    scores = scores_of(result)
    assert scores.replicates["miou"][0] == pytest.approx((6 / 8 + 0) / 2)
    by_class = scores.classes.scores["iou"].values
    assert by_class[0] == 6 / 8
    assert math.isnan(by_class[1])


def test_no_counted_pixel_is_nan(make_result):
    result = make_result(CLEAN, np.zeros((2, 2, 2), dtype=np.int64))
    assert math.isnan(scores_of(result).replicates["miou"][0])


def test_pixel_accuracy_of_images_needs_one_counted_pixel(make_result):
    (accuracy,) = (
        one for one in get_task("segmentation").image_means if one.key == "image_accuracy"
    )
    result = make_result(CLEAN, np.array([[[0, 0], [0, 1]], [[0, 1], [0, 0]], [[0, 0], [0, 0]]]))
    np.testing.assert_array_equal(accuracy.terms(result), [[1], [0], [np.nan]])


@pytest.mark.parametrize("shape", [(2, 2), (2, 3, 3), (1, 2, 2)])
def test_other_shapes_are_refused(make_result, shape):
    result = make_result(CLEAN, np.ones((2, 2, 2), dtype=np.int64))
    broken = type(result)(
        CLEAN, result.provenance, result.image_ids, {"confusion_matrix": np.ones(shape, int)}
    )
    with pytest.raises(ValueError, match=r"classes\) = \(2, 2, 2\), got"):
        scores_of(broken)


def test_an_unknown_task_names_the_known_ones():
    with pytest.raises(ValueError, match=f"'juggling'; expected one of {', '.join(TASKS)}"):
        get_task("juggling")


def test_images_of_a_task_without_scores_by_class_have_none(make_result):
    task = Task("juggling", get_task("segmentation").cells)
    result = make_result(CLEAN, np.array([[[4, 0], [0, 4]]]))
    assert task.image_scores(result).tolist() == [1]
    with pytest.raises(ValueError, match="'juggling' has no scores of an image's classes"):
        task.image_scores(result, 1)
