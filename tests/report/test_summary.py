import math

import pytest

from stl_backbones.corruptions.catalog import get_protocol
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report import get_task
from stl_backbones.report.numbers.summary import summarise, summarise_classes, weakest
from stl_backbones.report.read.runs import read_runs


def summary_of(folder, **options):
    protocol, (run,) = read_runs([folder], **options)
    return summarise(run, protocol)


def worst_of(row):
    metric = get_task("segmentation").main
    return weakest(row, get_protocol("stl-cityscapes-c"), metric)


def test_every_corruption_weighs_the_same(make_store):
    row = summary_of(make_store())
    # 4 noises of 30 and 12 others of 50: 45; the mean of the 72 cells would be 46.67.
    assert row["average"] == pytest.approx((4 * 0.30 + 12 * 0.50) / 16)
    assert row["clean"] == pytest.approx(0.80)
    assert row["retention"] == pytest.approx(0.45 / 0.80)


def test_a_column_is_the_mean_over_the_protocols_severities(make_store):
    row = summary_of(make_store(percent=lambda cell: 90 - 10 * cell.severity))
    assert row["fog"] == pytest.approx((0.8 + 0.7 + 0.6 + 0.5 + 0.4) / 5)
    assert row["shot_noise"] == pytest.approx((0.8 + 0.7 + 0.6) / 3)
    assert row["average"] == pytest.approx((4 * 0.7 + 12 * 0.6) / 16)


def test_the_weakest_corruption(make_store):
    row = summary_of(make_store(percent=lambda cell: 20 if cell.corruption == "frost" else 60))
    assert worst_of(row) == ("frost", pytest.approx(0.20))


def test_a_mean_over_an_incomplete_set_is_missing(make_store):
    row = summary_of(make_store(without=("fog-3",)), partial=True)
    assert (row["average"], row["retention"], worst_of(row)) == (None, None, None)
    assert row["fog"] is None
    assert row["snow"] == pytest.approx(0.50)
    assert row["clean"] == pytest.approx(0.80)


def test_without_clean_there_is_an_average_and_no_retention(make_store):
    row = summary_of(make_store(without=("clean",)), partial=True)
    assert (row["clean"], row["retention"]) == (None, None)
    assert row["average"] == pytest.approx(0.45)


def test_retention_of_nothing_is_not_a_number(make_store):
    row = summary_of(make_store(percent=lambda cell: 0))
    assert row["average"] == 0
    assert math.isnan(row["retention"])


def test_classes_break_where_they_are_worst(make_store):
    def percent(cell):
        return {"frost": 20, "clean": 80}.get(cell.corruption, 60)

    protocol, (run,) = read_runs([make_store(percent=percent)])
    by_class = summarise_classes(run, protocol)
    assert sorted(by_class) == [0, 1]
    assert by_class[1]["clean"] == pytest.approx(0.80)
    assert by_class[1]["average"] == pytest.approx((15 * 0.60 + 0.20) / 16)
    assert by_class[1]["worst"] == pytest.approx(0.20)
    assert by_class[1]["under"] == "frost"


def test_class_means_over_an_incomplete_set_are_missing(make_store):
    protocol, (run,) = read_runs([make_store(without=("fog-1",))], partial=True)
    row = summarise_classes(run, protocol)[0]
    assert row == {"clean": pytest.approx(0.80)}


def test_the_mean_of_the_classes_is_the_models_average(make_store):
    protocol, (run,) = read_runs([make_store()])
    classes = summarise_classes(run, protocol).values()
    mean = sum(row["average"] for row in classes) / len(classes)
    assert mean == pytest.approx(summarise(run, protocol)["average"])
    assert Cell("fog", 1) in run.scores
    assert CLEAN in run.class_scores
