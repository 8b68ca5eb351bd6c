"""Checkpoints that a training would take in part, or not at all, without a word."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from stl_backbones.config.reading import load_config
from stl_backbones.training.starting import check_parts, check_start


@pytest.fixture(scope="module")
def runner(repo_root):
    config = load_config(repo_root / "configs/seg/stl_fan_t_mini.py")
    init_default_scope("mmseg")
    torch.manual_seed(0)
    hooks = []
    return SimpleNamespace(
        model=MODELS.build(config.model),
        register_hook=lambda hook, priority: hooks.append((priority, hook)),
    )


def without(weights, *names):
    return {name: value for name, value in weights.items() if name not in names}


def test_a_start_needs_the_whole_backbone_and_no_head(runner):
    weights = runner.model.state_dict()
    heads = [name for name in weights if not name.startswith("backbone.")]
    check_start(runner, {"state_dict": without(weights, *heads)}, "x.pth", resume=False)
    lacking = without(weights, "backbone.blocks.0.norm1.weight")
    with pytest.raises(ValueError, match=r"'x.pth' does not fit .* it fills (\d+) of the \d+ back"):
        check_start(runner, {"state_dict": lacking}, "x.pth", resume=False)


def test_a_start_of_another_network(runner):
    other = {"backbone.conv1.weight": torch.zeros(3), "fc.weight": torch.zeros(3)}
    with pytest.raises(ValueError, match=r"it fills 29 of the \d+ backbone"):
        check_start(runner, {"state_dict": other}, "x.pth", resume=False)


def test_a_start_that_is_not_finite(runner):
    weights = runner.model.state_dict()
    name = "decode_head.conv_seg.weight"
    broken = {**weights, name: torch.full_like(weights[name], torch.nan)}
    with pytest.raises(ValueError, match=r"decode_head.conv_seg.weight is not finite"):
        check_start(runner, {"state_dict": broken}, "x.pth", resume=False)


def test_to_resume_all_must_fit_and_the_training_be_known(runner):
    weights = runner.model.state_dict()
    state = {"epoch": 0, "iter": 3}
    check_start(runner, {"state_dict": weights, "meta": state}, "x.pth", resume=True)
    lacking = without(weights, "decode_head.conv_seg.weight")
    with pytest.raises(ValueError, match=r"1 keys missing \(decode_head.conv_seg.weight\)"):
        check_start(runner, {"state_dict": lacking, "meta": state}, "x.pth", resume=True)
    for meta in ({}, {"epoch": 1}, None):
        with pytest.raises(ValueError, match=r"no state of a training to resume; start from it"):
            check_start(runner, {"state_dict": weights, "meta": meta}, "x.pth", resume=True)
    with pytest.raises(ValueError, match=r"no state of a training"):
        check_start(runner, weights, "x.pth", resume=True)


def test_what_is_missing_is_named():
    config = {"train_cfg": {"max_iters": 3}, "optim_wrapper": None}
    with pytest.raises(ValueError, match=r"no train_dataloader and no optim_wrapper"):
        check_parts(config, "train_dataloader", "optim_wrapper", "train_cfg")
