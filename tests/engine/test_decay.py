"""Which parameters decay, and in how many groups."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper

from stl_backbones.engine.decay import split_by_decay
from stl_backbones.models import Variant
from stl_backbones.pretraining import TokenLabeler

SMALL = Variant("small_test_vit", "test_vit", "FAN-Test-ViT", 2, 16, 2, None, (0, 1))


@pytest.fixture
def model():
    return TokenLabeler(SMALL, num_classes=3)


def test_matrices_decay_and_nothing_else(model):
    decayed, kept = split_by_decay(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert len(decayed) + len(kept) == len(names)
    assert all(parameter.ndim > 1 for parameter in decayed)
    assert not any(names[id(parameter)].endswith("bias") for parameter in decayed)
    matrices_kept = {names[id(parameter)] for parameter in kept if parameter.ndim > 1}
    assert matrices_kept == {"backbone.cls_token"}


def test_frozen_parameters_are_in_no_group(model):
    model.backbone.requires_grad_(False)
    assert split_by_decay(model) == ([], [])


def test_two_groups(model):
    config = {
        "type": "OptimWrapper",
        "constructor": "stl_backbones.NoDecayConstructor",
        "optimizer": {"type": "AdamW", "lr": 2e-3, "weight_decay": 0.05},
        "accumulative_counts": 3,
    }
    wrapper = build_optim_wrapper(model, config)
    assert isinstance(wrapper.optimizer, torch.optim.AdamW)
    assert [group["weight_decay"] for group in wrapper.optimizer.param_groups] == [0.05, 0.0]
    assert {group["lr"] for group in wrapper.optimizer.param_groups} == {2e-3}
    assert wrapper._accumulative_counts == 3


def test_mmengines_own_options_are_refused(model):
    config = {
        "constructor": "stl_backbones.NoDecayConstructor",
        "optimizer": {"type": "AdamW", "lr": 2e-3},
        "paramwise_cfg": {"norm_decay_mult": 0.0},
    }
    with pytest.raises(ValueError, match="takes no paramwise_cfg"):
        build_optim_wrapper(model, config)
