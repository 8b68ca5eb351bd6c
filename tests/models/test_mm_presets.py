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
from stl_backbones.models.mm_presets import MM_PRESETS
from stl_backbones.models.presets import PRESETS

TABLES = {4: ("table4_segmentation.csv", "city_miou"), 5: ("table5_detection.csv", "coco_box_map")}
# Rows that no config is of; docs/how-to/paper_row.md says why.
LEFT_OUT = {4: set(), 5: {"Swin-T", "Swin-S", "Swin-B", "ConvNeXt-B"}}
RELEASED = [preset for preset in MM_PRESETS.values() if not preset.is_own]
each = pytest.mark.parametrize("preset", MM_PRESETS.values(), ids=lambda preset: preset.name)


def rows(table):
    name, column = TABLES[table]
    text = files("stl_backbones.report.paper").joinpath(name).read_text()
    return {row["model"]: float(row[column]) for row in csv.DictReader(text.splitlines())}


@each
def test_score_is_the_tables(preset):
    assert preset.paper_score == rows(preset.table)[preset.title]


@pytest.mark.parametrize("table", TABLES)
def test_every_row_is_a_preset_or_left_out_or_ours(table, repo_root):
    presets = {preset.title for preset in MM_PRESETS.values() if preset.table == table}
    others = {title for title in rows(table) if "FAN" not in title}
    assert presets | LEFT_OUT[table] == others
    assert not presets & LEFT_OUT[table]
    page = (repo_root / "docs/how-to/paper_row.md").read_text()
    assert [title for title in LEFT_OUT[table] if title not in page] == []


@pytest.mark.parametrize("preset", RELEASED, ids=lambda preset: preset.name)
def test_the_library_carries_the_config_and_released_weights(preset):
    release = find_release(preset.config)
    assert release.weights.endswith(".pth")
    # 3.1 points is the furthest, ICNet.
    assert abs(release.scores[preset.metric] - preset.paper_score) <= 3.1


@each
def test_a_config_of_ours_is_there_and_has_no_weights(preset):
    if preset.is_own:
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
