"""Presets of the paper's comparison rows against its tables and the libraries' metafiles."""

from __future__ import annotations

import csv
import re
from importlib.resources import files

import pytest
import yaml

from stl_backbones.config.packaged import (
    Release,
    config_file,
    find_release,
    mm_preset_lines,
)
from stl_backbones.models.mm_presets import MM_PRESETS, OWN
from stl_backbones.models.presets import PRESETS

TABLES = {4: ("table4_segmentation.csv", "city_miou"), 5: ("table5_detection.csv", "coco_box_map")}
UNTRAINED = [p for p in MM_PRESETS.values() if p.table == 4 and p.config.startswith(OWN)]
RELEASED = [preset for preset in MM_PRESETS.values() if preset not in UNTRAINED]
each = pytest.mark.parametrize("preset", MM_PRESETS.values(), ids=lambda preset: preset.name)


def rows(table):
    name, column = TABLES[table]
    text = files("stl_backbones.report.paper").joinpath(name).read_text()
    return {row["model"]: float(row[column]) for row in csv.DictReader(text.splitlines())}


@each
def test_score_is_the_tables(preset):
    assert preset.paper_score == rows(preset.table)[preset.title]


@pytest.mark.parametrize("table", TABLES)
def test_every_row_but_fans_is_a_preset(table):
    presets = {preset.title for preset in MM_PRESETS.values() if preset.table == table}
    others = {title for title in rows(table) if "FAN" not in title}
    assert presets == others


@pytest.mark.parametrize("preset", RELEASED, ids=lambda preset: preset.name)
def test_the_library_carries_the_config_and_released_weights(preset):
    release = find_release(preset.config)
    assert release.weights.endswith(".pth")
    # 3.1 points is the furthest, ICNet.
    assert abs(release.scores[preset.metric] - preset.paper_score) <= 3.1


@pytest.mark.parametrize("preset", UNTRAINED, ids=lambda preset: preset.name)
def test_a_segmenters_config_of_ours_is_there_and_has_no_weights(preset):
    assert config_file(preset.config).is_file()
    assert find_release(preset.config) == Release()


def test_the_list_says_where_weights_come_from():
    lines = mm_preset_lines().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("fcn8s "))
    assert [line.strip() for line in lines[at : at + 3]] == [
        "fcn8s                Table 4, FCN8s: mIoU 66.7 in the paper",
        "stl_backbones::seg/fcn8s_cityscapes.py",
        "weights to be trained",
    ]


# The same network and precision in other trainings.
SAME_NETWORK = {
    "deeplabv3plus-r50": r"deeplabv3plus_r50-d8_\dxb\d-\d+k_cityscapes",
    "deeplabv3plus-r101": r"deeplabv3plus_r101-d8_\dxb\d-\d+k_cityscapes",
    "icnet": r"icnet_r50-d8_\dxb\d-\d+k_cityscapes",
    "pspnet": r"pspnet_r50-d8_\dxb\d-\d+k_cityscapes-\d+x\d+$",
}


@pytest.mark.parametrize("name", SAME_NETWORK)
def test_of_several_trainings_the_nearest_was_taken(name):
    preset = MM_PRESETS[name]
    metafile = config_file(preset.config).parent / "metafile.yaml"
    scores = {
        model["Name"]: model["Results"]["Metrics"]["mIoU"]
        for model in yaml.safe_load(metafile.read_text())["Models"]
        if re.match(SAME_NETWORK[name], model["Name"])
    }
    assert len(scores) >= 2
    nearest = min(scores, key=lambda other: abs(scores[other] - preset.paper_score))
    assert config_file(preset.config).stem == nearest


def test_names_are_no_classifiers_too():
    assert not set(MM_PRESETS) & set(PRESETS)
