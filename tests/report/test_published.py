"""Published numbers: their files hold together, and stand beside one's own only where they may."""

import pytest

from stl_backbones.corruptions import custom_versions, get_protocol
from stl_backbones.records import Cell
from stl_backbones.report import make_report
from stl_backbones.report.published import sources
from stl_backbones.report.published.files import read_published
from stl_backbones.report.published.sources import (
    ROBUSTBENCH_LIST,
    SOURCES,
    corruption_means_of,
    robustbench_mce,
)

FIFTEEN = tuple(key for key in read_published("semsegbench_cityscapes").rows[0])[5:20]


def cells_of(row):
    return {
        Cell(name.partition("/")[0], int(name[-1])): float(value)
        for name, value in row.items()
        if "/" in name and value
    }


@pytest.mark.parametrize("file", ["robustbench_imagenet_c", "robustbench_imagenet_3dcc"])
def test_robustbench_follows_from_its_cells(file):
    rows = read_published(file).rows
    assert len(rows) == 12
    for row in rows:
        means = corruption_means_of(cells_of(row))
        mean, mce = sum(means.values()) / len(means), robustbench_mce(cells_of(row), file)
        assert 100 * mean == pytest.approx(float(row["mean_acc"]), abs=0.01)
        assert 100 * mce == pytest.approx(float(row["mCE"]), abs=0.01)


def test_detection_follows_from_its_cells():
    for row in read_published("robust_detection_cells").rows:
        means = corruption_means_of(cells_of(row))
        mean = sum(means[name] for name in FIFTEEN) / 15
        assert mean == pytest.approx(float(row["mPC"]), abs=0.01)
        assert 100 * mean / float(row["P"]) == pytest.approx(float(row["rPC"]), abs=0.1)


def test_means_follow_from_their_columns():
    for row in read_published("semsegbench_cityscapes").rows:
        mean = sum(float(row[name]) for name in FIFTEEN) / 15
        assert mean == pytest.approx(float(row["mean_15"]), abs=0.01)
    for row in read_published("imagenet_c_bar").rows:
        ten = list(row.values())[3:]
        assert sum(map(float, ten)) / 10 == pytest.approx(float(row["imagenet_c_bar"]), abs=0.06)


def test_every_file_states_its_source_and_licence():
    for make in SOURCES.values():
        for one in make():
            assert one.comments[0].startswith("source: ")
            assert any(name in one.comments[0] for name in ("MIT", "Apache-2.0", "CC0-1.0"))


def published(folder, *names, **options):
    return (make_report([folder], published=names, **options).folder / "report.md").read_text()


def test_own_numbers_are_set_apart_with_the_reason(make_classified):
    text = published(make_classified(cells="imagenet-c", protocol="imagenet-c"), "robustbench")
    assert "RobustBench, ImageNet-C: own numbers, NOT COMPARABLE with it" in text
    assert "STL (set apart)" in text
    assert "of 20 images, theirs of the 5,000 that their imagenet_test_image_ids.txt lists" in text
    assert "corrupted here, theirs are ImageNet-C's own files" in text


BESIDE = {
    "image_list": f"ids.txt sha256 {ROBUSTBENCH_LIST}", "protocol": "imagenet-c",
    "corruption_mode": "files", "corruption_source": "folder:imagenet-c",
    "inference": "center crop 224 of 256 bicubic, corrupted files as they are",
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "images", "reason"),
    [
        ({}, 5000, "of 20 images, theirs of the 5,000"),  # the list, cut by --limit
        ({"inference": "center crop 224 of 256 bicubic, corrupted files through the same crop"},
         20, "corrupted files resized otherwise, theirs to 224 pixels without crop"),
        ({"inference": "x, corrupted files resized to 384 bicubic"}, 20, "resized otherwise"),
    ],
)  # fmt: skip
def test_other_images_or_sizes_are_not_robustbenchs(
    fields, images, reason, make_classified, monkeypatch
):
    monkeypatch.setattr(sources, "ROBUSTBENCH_IMAGES", images)
    folder = make_classified(cells="imagenet-c", **{**BESIDE, **fields})
    assert reason in published(folder, "robustbench", resamples=0)


def test_the_same_images_and_files_stand_beside(make_classified, monkeypatch):
    monkeypatch.setattr(sources, "ROBUSTBENCH_IMAGES", 20)
    fields = BESIDE
    text = published(make_classified(cells="imagenet-c", **fields), "robustbench")
    table = text.split("### RobustBench, ImageNet-C\n")[1].split("### ")[0]
    own, alexnet = table.splitlines()[3:5]
    assert [cell.strip() for cell in own.split("|")[1:4]] == ["STL", "80.0", "50.0"]
    assert alexnet.startswith("| robustbench: AlexNet")
    means = corruption_means_of(cells_of(read_published("robustbench_imagenet_c").rows[0]))
    mce = 100 * sum(0.5 / (1 - mean) for mean in means.values()) / 15
    assert own.split("|")[4].strip() == f"{mce:.1f}"  # by AlexNet on their images, not Hendrycks'


def test_c_bar_s_mean_is_of_its_ten_errors(make_classified):
    protocol = get_protocol("imagenet-c-bar")
    fields = {
        "cells": protocol.name, "protocol": protocol.name,
        "custom_versions": custom_versions(protocol.corruptions),
    }  # fmt: skip
    text = published(make_classified(**fields), "c-bar")
    own = next(line for line in text.splitlines() if line.startswith("| STL (set apart)"))
    assert [cell.strip() for cell in own.split("|")[2:-1]] == ["-", *["50.0"] * 11]
    weaker = tuple(cell.name for cell in protocol.cells() if cell.severity < 5)
    strongest = tuple(cell.name for cell in protocol.cells() if cell.severity == 5)
    folder = make_classified("weak", without=strongest, chosen=weaker, **fields)
    own = next(line for line in published(folder, "c-bar").splitlines() if "| STL (set" in line)
    assert [cell.strip() for cell in own.split("|")[2:5]] == ["-", "-", "45.0"]


def test_colour_order_and_images_keep_detection_apart(make_detected, make_store):
    text = published(make_detected(), "robust-detection")
    assert "of 3 classes and 4 images, theirs of COCO's 80 and 5000" in text
    assert "corrupted in RGB order, theirs in BGR" in text
    text = published(make_store("seg"), "semsegbench")
    assert "corrupted in RGB order, theirs in BGR; theirs in half precision" in text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("robustbanch", "unknown source of published numbers 'robustbanch'; did you mean"),
        ("semsegbench", "no numbers of classification; expected robustbench, timm, c-bar"),
    ],
)  # fmt: skip
def test_what_nobody_published(name, message, make_classified):
    with pytest.raises((ValueError, KeyError), match=message):
        make_report([make_classified()], published=[name])
