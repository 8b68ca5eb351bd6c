"""Scores by class, hand-computed."""

import csv
import io
import math

import numpy as np
import pytest
from timm.data import ImageNetInfo

from stl_backbones.metrics import ClassAccuracy, percentile_interval, percentile_intervals
from stl_backbones.records import CLEAN, CellResult, Provenance
from stl_backbones.report.class_data import class_file
from stl_backbones.report.class_tables import class_map
from stl_backbones.report.read import class_names
from stl_backbones.report.read.class_names import find_class, shown_classes
from stl_backbones.report.render.csv_files import render_section
from stl_backbones.report.tasks import get_task

LABEL = np.array([2, 0, 0, 2, 2, 0])  # class 1 does not occur
PREDICTION = np.array([2, 0, 1, 0, 2, 0])


def lines_of(section):
    (_, text) = next(iter(render_section(section, None)))
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("prediction", [PREDICTION, np.roll(PREDICTION, 1)])  # 4, then 1 right
def test_accuracy_of_classes_counts_the_drawn_images(prediction):
    drawn = np.random.default_rng(0).multinomial(6, [1 / 6] * 6, size=50).T.astype(np.float32)
    found = ClassAccuracy(LABEL, classes=3, drawn=drawn)(prediction)
    for index in (0, 2):
        own = np.flatnonzero(index == LABEL)
        right = prediction[own] == index
        assert found.values[index] == right.mean()
        with np.errstate(invalid="ignore"):
            expected = drawn[own][right].sum(axis=0) / drawn[own].sum(axis=0)
        np.testing.assert_allclose(found.resampled[:, index], expected, rtol=1e-6)
    assert math.isnan(found.values[1])
    assert np.isnan(found.resampled[:, 1]).all()


def test_intervals_are_over_the_resamples_that_have_a_value():
    values = np.random.default_rng(0).random((200, 3))
    values[:5, 1] = np.nan  # 2.5 %: the interval of the other 195
    values[:6, 2] = np.nan  # too few have a value
    low, high = percentile_intervals(values)
    for index, known in ((0, values[:, 0]), (1, values[5:, 1])):
        assert (low[index], high[index]) == pytest.approx(percentile_interval(known))
    assert math.isnan(low[2])
    assert np.isnan(percentile_intervals(values[:0])).all()


def test_lines_of_classes(make_classified, findings_of):
    """Clean: 16 of 20 images are right, four of five of each class; fog 5: six of twenty."""
    lines = lines_of(class_file(findings_of([make_classified()], resamples=40)))
    assert len(lines) == 4 * 81
    clean = [one for one in lines if one["corruption"] == "clean"]
    assert [float(one["accuracy_fraction"]) for one in clean] == [0.8] * 4
    fog = [one for one in lines if (one["corruption"], one["severity"]) == ("fog", "5")]
    assert [float(one["accuracy_fraction"]) for one in fog] == [0.4, 0.4, 0.2, 0.2]
    assert {(one["truth_images"], one["truth_on_images"]) for one in lines} == {("5", "5")}
    assert {one["dataset_fingerprint"] for one in lines} == {"f1" * 16}
    assert float(fog[0]["accuracy_low_fraction"]) < 0.4 < float(fog[0]["accuracy_high_fraction"])


def test_lines_of_masks_are_beside_those_of_boxes(make_detected, findings_of):
    lines = lines_of(class_file(findings_of([make_detected()])))
    assert {one["class"] for one in lines} == {"car", "person"}  # no dog occurs
    car = next(one for one in lines if one["class"] == "car")
    found = [float(car[f"{name}_fraction"]) for name in ("box_ap", "mask_ap")]
    assert found == pytest.approx([76 / 101, 51 / 101])
    assert (car["truth_objects"], car["truth_on_images"], car["box_ap_low_fraction"]) == (
        "4", "4", ""
    )  # fmt: skip


def test_map_of_classes(make_classified, findings_of):
    section = class_map(findings_of([make_classified()]))
    row = section.maps["STL"][0]
    assert (section.metric_name, section.columns[:2]) == ("Accuracy", ("clean", "motion_blur"))
    assert row.label == "n01"
    # 14, 12, 10, 8 and 6 of 20 images are right: of class 0 images 0, 4, 8, 12 and 16.
    assert row.values["fog"] == pytest.approx((4 + 3 + 3 + 2 + 2) / 25)
    assert row.values["drop"] == pytest.approx(0.8 - 14 / 25)
    assert (row.values["worst"], row.values["worst_cell"]) == (0.4, "Motion blur 4 and 31 more")
    assert row.values["frequency"] == 0.25


def test_the_scale_of_a_map_goes_from_tenth_to_tenth(make_classified, findings_of):
    section = class_map(findings_of([make_classified()]))
    values = [row.values[name] for row in section.maps["STL"] for name in section.columns]
    low, high = section.limits
    assert low <= min(values) < low + 0.1
    assert high - 0.1 < max(values) <= high
    assert [10 * end for end in (low, high)] == pytest.approx([round(10 * low), round(10 * high)])


def test_confusion_of_a_classifier(plain_record):
    """Checked against scikit-learn's confusion matrix on a real sweep; here by hand."""
    record = {**plain_record, "task": "classification", "classes": ("a", "b", "c")}
    samples = {"label": LABEL, "prediction": PREDICTION}
    result = CellResult(CLEAN, Provenance(**record), tuple("012345"), samples)
    found = get_task("classification").class_scorer(np.zeros((6, 0), np.float32))(result)
    assert found.confusion.toarray().tolist() == [[2, 1, 0], [0, 0, 0], [1, 0, 2]]
    assert found.truth.tolist() == [3, 0, 3]


def test_classes_of_imagenet_are_shown_by_their_words():
    wnids = ("n01440764", "n02012849", "n03126707", "n99999999")
    shown = shown_classes(wnids)
    assert shown == ("tench", "crane (n02012849)", "crane (n03126707)", "n99999999")
    known = ImageNetInfo()  # the list is read without importing timm, so it must be where timm's is
    assert known.label_name_to_description("n01440764", detailed=False).split(",")[0] == shown[0]
    assert find_class("tench", wnids) == find_class("n01440764", wnids) == 0
    with pytest.raises(KeyError, match=r"unknown class 'tensh'; did you mean tench\?"):
        find_class("tensh", wnids)


def test_without_timm_classes_of_imagenet_keep_their_ids(monkeypatch):
    monkeypatch.setattr(class_names, "find_spec", lambda _name: None)
    uncached = class_names._words_of_wnids.__wrapped__
    monkeypatch.setattr(class_names, "_words_of_wnids", uncached)
    assert shown_classes.__wrapped__(("n01440764",)) == ("n01440764",)


def test_other_classes_keep_their_names():
    assert shown_classes(("tench", "n01440764")) == ("tench", "n01440764")
    assert find_class("b c", ("a", "b\nc")) == 1
