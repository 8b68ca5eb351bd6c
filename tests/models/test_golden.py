"""Ours against the authors' published networks, see tests/data/golden/README.md."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F

TOLERANCE = 2e-5
TWELVE = [
    "fan_tiny_8_p4_hybrid", "fan_small_12_p4_hybrid", "fan_base_16_p4_hybrid",
    "fan_large_16_p4_hybrid", "fan_tiny_8_p4_hybrid_token", "fan_small_12_p4_hybrid_token",
    "fan_base_16_p4_hybrid_token", "fan_large_16_p4_hybrid_token", "fan_tiny_12_p16_224",
    "fan_small_12_p16_224", "fan_base_18_p16_224", "fan_large_24_p16_224",
]  # fmt: skip


def largest_difference(ours, theirs):
    assert ours.shape == theirs.shape
    return float(np.abs(ours.detach().numpy() - theirs).max())


@pytest.mark.parametrize("name", TWELVE)
def test_parameter_names_and_shapes_are_the_released_ones(golden, name):
    with torch.device("meta"):
        model = timm.create_model(name)
    ours = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert ours == golden("state_dict_keys.json")[name]


def test_the_list_of_names_is_that_of_the_file(golden):
    assert set(golden("state_dict_keys.json")) == set(TWELVE)


@pytest.mark.parametrize("name", ["fan_tiny_8_p4_hybrid_token", "fan_base_16_p4_hybrid_token"])
def test_class_and_token_logits(golden, filled, draw, name):
    expected = golden(f"{name}.npz")
    with torch.no_grad():
        logits, tokens = filled(name)(draw(0, 2, 3, 224, 224))
    assert largest_difference(logits, expected["cls_logits"]) <= TOLERANCE
    tokens = tokens[..., ::25]
    assert largest_difference(tokens, expected["token_logits_every_25th_class"]) <= TOLERANCE


def test_class_logits_of_a_vit_variant(golden, filled, draw):
    expected = golden("fan_tiny_12_p16_224.npz")["cls_logits"]
    with torch.no_grad():
        logits = filled("fan_tiny_12_p16_224")(draw(0, 2, 3, 224, 224))
    assert largest_difference(logits, expected) <= TOLERANCE


@pytest.mark.parametrize("name", ["fan_tiny_8_p4_hybrid_token", "fan_base_16_p4_hybrid_token"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_dense_maps(golden, filled, draw, name, memory_format):
    expected = golden(f"{name}_dense_128x192.npz")
    images = draw(2, 1, 3, 128, 192).to(memory_format=memory_format)
    with torch.no_grad():
        maps = filled(name).forward_dense(images)
    assert len(maps) == 4
    for index, ours in enumerate(maps):
        theirs = expected[f"stage{index}_every_8th_channel"]
        assert largest_difference(ours[:, ::8], theirs) <= TOLERANCE, f"map {index}"


@pytest.fixture(scope="module")
def training_step(golden, fill, draw):
    """Loss and gradient norms of one step, and what the authors' network gave."""
    name = "fan_tiny_8_p4_hybrid_token"
    expected = golden(f"{name}_train.json")
    model = fill(timm.create_model(name)).train()
    logits, tokens = model(draw(0, 2, 3, 224, 224))
    labels = torch.tensor(expected["labels"])
    loss = F.cross_entropy(logits, labels) + F.cross_entropy(tokens.mean(dim=1), labels)
    loss.backward()
    return loss.item(), {k: p.grad.norm().item() for k, p in model.named_parameters()}, expected


def test_training_loss(training_step):
    loss, _, expected = training_step
    assert loss == pytest.approx(expected["loss"], rel=1e-3, abs=1e-6)


def test_every_gradient_norm(training_step):
    _, norms, expected = training_step
    assert norms == pytest.approx(expected["grad_norms"], rel=1e-3, abs=1e-6)
