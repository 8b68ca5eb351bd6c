"""A released-style file whose weights are known."""

from __future__ import annotations

import argparse

import pytest
import torch

from stl_backbones.transfer import FANBackbone


@pytest.fixture(scope="session")
def tiny_weights():
    """A tiny hybrid backbone's weights, none of them as a fresh network has them."""
    torch.manual_seed(5)
    state = FANBackbone("tiny_hybrid").state_dict()
    return {k: v + torch.rand_like(v) if v.is_floating_point() else v for k, v in state.items()}


@pytest.fixture(scope="session")
def released_file(tmp_path_factory, tiny_weights):
    """EMA weights, raw ones that are off by one, both heads, a Namespace, `module.`."""
    heads = {"head.weight": torch.zeros(9, 192), "head.bias": torch.zeros(9)}
    heads.update({f"aux_{name}": value for name, value in heads.items()})
    averaged = {f"module.{k}": v for k, v in {**tiny_weights, **heads}.items()}
    raw = {k: v + 1 for k, v in averaged.items()}
    path = tmp_path_factory.mktemp("released") / "fan_tiny.pth.tar"
    args = argparse.Namespace(model="fan_tiny_8_p4_hybrid_token")
    torch.save({"state_dict": raw, "state_dict_ema": averaged, "args": args, "epoch": 3}, path)
    return path


@pytest.fixture(scope="session")
def draw():
    """Standard normal numbers of a seed."""

    def make(seed, *shape, dtype=torch.float32):
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)

    return make
