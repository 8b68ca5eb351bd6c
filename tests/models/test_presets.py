"""The classifiers of Tables 2, 3 and 12 that a user can reproduce."""

import csv

import pytest
import timm

from stl_backbones.models.presets import PRESETS, get_preset, preset_of_row


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_a_preset_is_a_model_of_timm(preset):
    config = timm.get_pretrained_cfg(preset.timm_name)
    assert config.num_classes == 1000
    assert config.input_size == (3, 224, 224)
    assert bool(config.has_weights) == ("." in preset.timm_name)
    assert (config.tag or "") == preset.timm_name.partition(".")[2]


SCORES = {  # table: its file, and its column of clean accuracies
    2: ("table2_classification", "in1k_top1"),
    3: ("table3_ood", "in1k_top1"),
    12: ("table12_imagenet_c", None),
}


def rows(repo_root, table):
    path = repo_root / f"stl_backbones/report/paper/{SCORES[table][0]}.csv"
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("table", SCORES)
def test_every_row_is_a_preset(table, repo_root):
    for row in rows(repo_root, table):
        preset = preset_of_row(table, row["model"])
        if table == 2:
            assert (preset.title, preset.paper_top1) == (row["model"], float(row["in1k_top1"]))


def test_no_preset_is_without_a_row(repo_root):
    first = {}
    for table, (_, column) in SCORES.items():
        for row in rows(repo_root, table):
            score = float(row[column]) if column else None
            first.setdefault(preset_of_row(table, row["model"]).name, score)
    assert first == {preset.name: preset.paper_top1 for preset in PRESETS.values()}


def test_what_timm_lacks_has_an_address_or_a_note():
    lacking = [preset for preset in PRESETS.values() if "." not in preset.timm_name]
    assert all(preset.weights.startswith("https://") or preset.note for preset in lacking)
    assert not any(preset.weights for preset in PRESETS.values() if preset not in lacking)


def test_an_unknown_preset():
    with pytest.raises(KeyError, match="unknown preset 'convnext'; did you mean convnext-"):
        get_preset("convnext")
