"""One line per image and cell, for every task."""

import csv
import math

import pytest

from stl_backbones.corruptions import Protocol, register_protocol
from stl_backbones.records import Cell
from stl_backbones.report.write import make_report

FEW = {"protocol": "small", "cells": "small"}
SMALL = Protocol("small", {"weather": ("fog",)}, "this test", {"fog": (1, 4, 5)})


@pytest.fixture(autouse=True)
def _small_protocol(own_catalog):
    register_protocol(SMALL)


def lines_of(folders, **options):
    made = make_report(folders, per_image=True, resamples=0, **options)
    with (made.folder / "images.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def chosen(lines, cell, **places):
    wanted = {"corruption": cell.corruption, "severity": str(cell.severity), **places}
    return [line for line in lines if all(line[key] == text for key, text in wanted.items())]


def test_classified_images(make_classified):
    """Of 20 images the first 16 - 2 severity are right, with confidence 0.75 and NLL 0.25."""
    lines = lines_of([make_classified(**FEW, sets={"imagenet-a": 5})])
    assert len(lines) == 4 * 20 + 20
    found = chosen(lines, Cell("fog", 4))
    assert [line["image"] for line in found] == [f"{index}.jpg" for index in range(20)]
    assert [float(line["top1_fraction"]) for line in found] == [1.0] * 8 + [0.0] * 12
    assert [float(line["top5_fraction"]) for line in found] == [1.0] * 9 + [0.0] * 11
    assert (found[7]["label"], found[7]["prediction"], found[8]["prediction"]) == ("3", "3", "1")
    assert (float(found[0]["nll_nats"]), float(found[8]["nll_nats"])) == (0.25, 2.0)
    other = chosen(lines, Cell("clean", 0), set="imagenet-a")
    assert sum(float(line["top1_fraction"]) for line in other) == 5


def test_segmented_images(make_store):
    """All hits are in the first image, all misses in the second; see `confusion_of`."""
    folders = [
        make_store("a", protocol="small", model="A"),
        make_store("b", protocol="small", model="=B", without=("fog-1",)),
    ]
    lines = lines_of(folders, partial=True)
    assert len(lines) == 4 * 2 + 3 * 2
    found = [line["miou_fraction"] for line in chosen(lines, Cell("fog", 1))]
    assert found == ["1.0", "0.0"]  # A's alone
    assert {line["model"] for line in lines} == {"A", "'=B"}


def test_images_with_detections(make_detected):
    """A car on each of four images, a person on the first; clean: three cars, and the person."""
    lines = lines_of([make_detected(**FEW), make_detected("b", **FEW, model="B", masks=False)])
    clean = chosen(lines, Cell("clean", 0), model="STL")
    assert [float(line["box_ap_fraction"]) for line in clean] == pytest.approx([1, 1, 1, 0])
    assert [line["objects"] for line in clean] == ["2", "1", "1", "1"]
    # the mask of the last car found is wrong, and so is no person's
    assert [float(line["mask_ap_fraction"]) for line in clean] == pytest.approx([1, 1, 0, 0])
    worst = chosen(lines, Cell("fog", 5), model="STL")
    assert [float(line["box_ap_fraction"]) for line in worst] == [0, 0, 0, 0]
    assert math.isnan(float(worst[0]["box_ap_large_fraction"]))  # no object of that size
    assert chosen(lines, Cell("fog", 5), model="B")[0]["mask_ap_fraction"] == ""


def test_images_are_scored_alone_however_many_are_taken_at_once(make_detected, monkeypatch):
    folder = make_detected(**FEW)
    whole = lines_of([folder])
    monkeypatch.setattr("stl_backbones.report.tasks.detection._AT_ONCE", 3)
    assert lines_of([folder]) == whole


def test_without_the_option_there_is_no_file(make_store):
    made = make_report([make_store(protocol="small")], resamples=0)
    assert not (made.folder / "images.csv").exists()


@pytest.mark.parametrize("missing", ["clean", "fog-4"])
def test_a_missing_cell_has_no_lines(make_classified, missing):
    lines = lines_of([make_classified(**FEW, without=(missing,))], partial=True)
    assert len(lines) == 3 * 20
