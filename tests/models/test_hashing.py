"""sha256 of files and of weights."""

import hashlib

import timm
import torch

from stl_backbones.models.hashing import file_sha256, weights_sha256


def test_of_a_file(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc" * 700_000)  # more than a block
    assert file_sha256(tmp_path / "a.bin") == hashlib.sha256(b"abc" * 700_000).hexdigest()


def test_of_weights():
    """Counters of BatchNorm, which have no dimension, and bfloat16 are weights too."""
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=3)
    before = weights_sha256(network)
    assert before == weights_sha256(network)
    network.bn1.num_batches_tracked += 1
    counted = weights_sha256(network)
    assert len({before, counted, weights_sha256(network.bfloat16())}) == 3
