"""Batches by image ids against one image after the other."""

import numpy as np
import pytest
import torch

from stl_backbones.corruptions import apply_corruption
from stl_backbones.corruptions.torch_backend import PARALLEL, corrupt_keyed
from stl_backbones.records import CorruptionEngine, CorruptionSpec

KEYS = ("a/1.png", "a/2.png", "b/1.png")


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (len(KEYS), 5, 7, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(9, axis=1).repeat(8, axis=2))


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("name", PARALLEL)
def test_a_batch_is_its_images_to_the_byte(images, name, order):
    spec = CorruptionSpec(name, 4, CorruptionEngine("torch", channel_order=order, seed=7))
    made = corrupt_keyed(torch.from_numpy(images), spec, keys=KEYS)
    for found, image, key in zip(made.numpy(), images, KEYS, strict=True):
        assert np.array_equal(found, apply_corruption(image, spec, key=key))


def test_an_id_is_wanted_of_each_image(images):
    spec = CorruptionSpec("fog", 1, CorruptionEngine("torch"))
    with pytest.raises(ValueError, match="one seed per image, got 2 for 3"):
        corrupt_keyed(torch.from_numpy(images), spec, keys=KEYS[:2])
