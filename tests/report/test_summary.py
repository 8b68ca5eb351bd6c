import math

import pytest

from stl_backbones.records import CLEAN, Cell
from stl_backbones.report import get_task
from stl_backbones.report.numbers.classes import occurring, summarise_classes
from stl_backbones.report.numbers.summary import (
    Extreme,
    corruption_scores,
    weakest,
    worst_of,
)
from stl_backbones.report.read.runs import read_runs


def read(folder, **options):
    protocol, (run,) = read_runs([folder], **options)
    return run, protocol


def weakest_of(folder, **options):
    return weakest(*read(folder, **options), get_task("segmentation").main)


@pytest.fixture
def row_of(findings_of):
    def row(folder, **options):
        return findings_of([folder], **options).aggregates[0]

    return row


def test_every_corruption_weighs_the_same(make_store, row_of):
    row = row_of(make_store())
    # 4 noises of 30 and 12 others of 50: 45; the mean of the 72 cells would be 46.67.
    assert row["average"].value == pytest.approx((4 * 0.30 + 12 * 0.50) / 16)
    assert row["clean"].value == pytest.approx(0.80)
    assert row["retention"].value == pytest.approx(0.45 / 0.80)


def test_a_column_is_the_mean_over_the_protocols_severities(make_store, row_of):
    folder = make_store(percent=lambda cell: 90 - 10 * cell.severity)
    row = corruption_scores(*read(folder))
    assert row["fog"] == pytest.approx((0.8 + 0.7 + 0.6 + 0.5 + 0.4) / 5)
    assert row["shot_noise"] == pytest.approx((0.8 + 0.7 + 0.6) / 3)
    assert row_of(folder)["average"].value == pytest.approx((4 * 0.7 + 12 * 0.6) / 16)


def test_the_weakest_corruption_and_the_weakest_cell_may_be_two(make_store):
    def percent(cell):
        if cell == Cell("snow", 5):
            return 10
        return 40 if cell.corruption == "frost" else 60

    corruption, cell = weakest_of(make_store(percent=percent))
    assert corruption == Extreme(pytest.approx(0.40), ("frost",))
    assert cell == Extreme(pytest.approx(0.10), ("snow-5",))


def test_the_worst_of_errors_is_the_highest_and_ties_are_all_named():
    scores = {"a": 0.3, "b": 0.1 + 0.2, "c": 0.1, "d": math.nan}
    assert worst_of(scores, lower_is_better=True) == Extreme(pytest.approx(0.3), ("a", "b"))
    assert worst_of(scores, lower_is_better=False) == Extreme(0.1, ("c",))
    assert worst_of({"a": 0.3, "b": None}, lower_is_better=True) is None
    assert worst_of({"a": math.nan}, lower_is_better=True) is None


def test_a_mean_over_an_incomplete_set_is_missing(make_store, row_of):
    folder = make_store(without=("fog-3",))
    row = row_of(folder, partial=True)
    assert (row["average"].value, row["retention"].value) == (None, None)
    assert weakest_of(folder, partial=True) is None
    assert corruption_scores(*read(folder, partial=True))["fog"] is None
    assert row["snow"].value == pytest.approx(0.50)
    assert row["clean"].value == pytest.approx(0.80)


def test_without_clean_there_is_an_average_and_no_retention(make_store, row_of):
    row = row_of(make_store(without=("clean",)), partial=True)
    assert (row["clean"].value, row["retention"].value) == (None, None)
    assert row["average"].value == pytest.approx(0.45)


def test_retention_of_nothing_is_not_a_number(make_store, row_of):
    row = row_of(make_store(percent=lambda cell: 0))
    assert row["average"].value == 0
    assert math.isnan(row["retention"].value)


def test_classes_break_where_they_are_worst(make_store):
    def percent(cell):
        if cell == Cell("snow", 2):
            return 10
        return {"frost": 20, "clean": 80}.get(cell.corruption, 60)

    run, protocol = read(make_store(percent=percent))
    by_class = summarise_classes(run, protocol, "iou", occurring(run))
    assert sorted(by_class) == [0, 1]
    assert by_class[1].clean == pytest.approx(0.80)
    assert by_class[1].average == pytest.approx((14 * 0.60 + 0.20 + 0.50) / 16)
    assert by_class[1].worst == Extreme(pytest.approx(0.20), ("frost",))
    assert by_class[1].loss == pytest.approx(0.60)
    assert by_class[1].cell == Extreme(pytest.approx(0.10), ("snow-2",))


def test_class_means_over_an_incomplete_set_are_missing(make_store):
    run, protocol = read(make_store(without=("fog-1",)), partial=True)
    row = summarise_classes(run, protocol, "iou", [0])[0]
    assert (row.clean, row.average, row.worst, row.loss) == (pytest.approx(0.80), None, None, None)


def test_the_mean_of_the_classes_is_the_models_average(make_store, row_of):
    folder = make_store()
    run, protocol = read(folder)
    classes = summarise_classes(run, protocol, "iou", occurring(run)).values()
    mean = sum(row.average for row in classes) / len(classes)
    assert mean == pytest.approx(row_of(folder)["average"].value)
    assert Cell("fog", 1) in run.scores
    assert CLEAN in run.classes


@pytest.mark.parametrize(
    ("percent", "under", "cell"),
    [
        (lambda cell: 0, "never found", ""),
        (lambda cell: 50, "", "all 72 alike"),
        (lambda cell: 80 if cell.is_clean else 50, "all 16 alike", "all 72 alike"),
        (lambda cell: 40 if cell.corruption in ("fog", "frost") else 80, "Fog, Frost",
         "Fog 1 and 9 more"),
    ],
)  # fmt: skip
def test_the_class_table_says_ties_and_classes_that_are_never_found(
    make_store, tables_of, percent, under, cell
):
    table = tables_of([make_store(percent=percent)])["Classes"]
    row = table.rows[0].values
    assert (row["0 under"], row["0 in"]) == (under, cell)
