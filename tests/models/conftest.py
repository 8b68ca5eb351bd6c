"""The authors' numbers, the weights they were made with, and a network small enough for loops."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from stl_backbones.models import FAN, Variant

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


@pytest.fixture(scope="session")
def golden():
    """Read a file of tests/data/golden."""

    def read(name):
        path = GOLDEN / name
        if path.suffix == ".json":
            return json.loads(path.read_text())
        with np.load(path) as arrays:
            return dict(arrays)

    return read


@pytest.fixture(scope="session")
def fill():
    """Fill a network by the rule of tests/data/golden/README.md."""

    def value(name, old):
        if name.endswith("num_batches_tracked"):
            return old
        random = np.random.RandomState(zlib.crc32(name.encode()))
        n = random.standard_normal(old.numel()).astype(np.float32).reshape(old.shape)
        if name.endswith("running_var"):
            n = 1 + 0.1 * np.abs(n)
        elif name.endswith(("running_mean", "bias")):
            n = 0.1 * n
        elif name.endswith("temperature") or n.ndim == 1:
            n = 1 + 0.1 * n
        else:
            n = n / math.sqrt(math.prod(n.shape[1:]))
        return torch.from_numpy(np.asarray(n, np.float32))

    def apply(model):
        own = model.state_dict()
        model.load_state_dict({name: value(name, old) for name, old in own.items()})
        return model

    return apply


@pytest.fixture(scope="session")
def draw():
    """Standard normal numbers of a seed, float32."""

    def make(seed, *shape):
        random = np.random.RandomState(seed)
        return torch.from_numpy(random.standard_normal(shape).astype(np.float32))

    return make


@pytest.fixture(scope="session")
def filled(fill):
    """A released network with golden weights, in eval mode; shared, so leave it as it was."""
    built = {}

    def make(name):
        if name not in built:
            built[name] = fill(timm.create_model(name)).eval()
        return built[name]

    return make


@pytest.fixture
def small_vit():
    """Depth 4, dim 16, 2 heads behind the convolutional stem."""
    return Variant("small_test_vit", "test_vit", "FAN-Test-ViT", 4, 16, 2, None, (0, 1, 2))


@pytest.fixture
def small_hybrid():
    """Depth 3, dim 16, 2 heads behind a ConvNeXt stem of one block per stage."""
    return Variant("small_test_hybrid", "test_hybrid", "FAN-Test-Hybrid", 3, 16, 2, (1, 1), (1,))


@pytest.fixture
def make_small(small_vit, small_hybrid, fill):
    """A small FAN with golden weights; the class attention is not tiny, so heads matter."""

    def make(kind="vit", **kwargs):
        variant = {"vit": small_vit, "hybrid": small_hybrid}[kind]
        return fill(FAN(variant, **{"num_classes": 5, **kwargs}))

    return make
