"""Conversion of released checkpoints: what must not be written."""

import pytest
import timm
import torch

from stl_backbones.engine.convert import convert_checkpoint


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    return timm.create_model("fan_tiny_8_p4_hybrid_token", num_classes=3).state_dict()


def test_classifiers_that_the_file_does_not_fill_are_not_kept(weights, tmp_path):
    source, target = tmp_path / "source.pth", tmp_path / "target.pth"
    few = {**weights, "aux_head.weight": weights["aux_head.weight"][:2]}
    torch.save({"state_dict": few}, source)
    with pytest.raises(ValueError, match=r"does not fill its classifiers \(aux_head.weight: \(2"):
        convert_checkpoint(source, target, with_head=True)
    assert not target.exists()
    convert_checkpoint(source, target)
    kept = torch.load(target, weights_only=True)["state_dict"]
    assert not any("head" in name for name in kept)
    assert torch.equal(kept["cls_token"], weights["cls_token"])


def test_weights_that_are_not_finite_are_not_written(weights, tmp_path):
    source, target = tmp_path / "source.pth", tmp_path / "target.pth"
    broken = {**weights, "cls_token": torch.full_like(weights["cls_token"], torch.nan)}
    torch.save(broken, source)
    with pytest.raises(ValueError, match=r"cls_token is not finite"):
        convert_checkpoint(source, target)
    assert not target.exists()
