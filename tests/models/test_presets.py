"""The rows of Table 2 that a user can reproduce."""

import csv

import pytest
import timm

from stl_backbones.models.presets import PRESETS, get_preset


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_a_preset_is_a_model_of_timm(preset):
    config = timm.get_pretrained_cfg(preset.timm_name)
    assert config.num_classes == 1000
    assert config.input_size == (3, 224, 224)
    assert bool(config.has_weights) == ("." in preset.timm_name)
    assert (config.tag or "") == preset.timm_name.partition(".")[2]


def test_titles_and_scores_are_those_of_the_papers_table(repo_root):
    path = repo_root / "stl_backbones/report/paper/table2_classification.csv"
    lines = path.read_text().splitlines()
    rows = {row["model"]: float(row["in1k_top1"]) for row in csv.DictReader(lines)}
    assert {preset.title: preset.paper_top1 for preset in PRESETS.values()} == {
        model: score for model, score in rows.items() if not model.startswith("LV-ViT")
    }


def test_an_unknown_preset():
    with pytest.raises(KeyError, match="unknown preset 'convnext'; did you mean convnext-"):
        get_preset("convnext")
