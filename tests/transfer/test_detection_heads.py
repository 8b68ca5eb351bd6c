"""Mixed precision rounds no box, score or RoI feature."""

from __future__ import annotations

import pytest
import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from torchvision.ops import roi_align

STRIDES = [4, 8]
COORDINATES = {"target_means": [0.0] * 4, "target_stds": [0.1, 0.1, 0.2, 0.2]}
EXTRACTOR = {
    "roi_layer": {"type": "RoIAlign", "output_size": 2, "sampling_ratio": 0},
    "out_channels": 4,
    "featmap_strides": STRIDES,
}
RPN = {
    "in_channels": 4, "feat_channels": 4,
    "anchor_generator": {
        "type": "AnchorGenerator", "scales": [8], "ratios": [1.0], "strides": STRIDES
    },
    "bbox_coder": {"type": "DeltaXYWHBBoxCoder", **COORDINATES},
    "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 1.0},
    "loss_bbox": {"type": "SmoothL1Loss", "loss_weight": 1.0},
}  # fmt: skip
BOXES = {
    "num_shared_convs": 1, "num_shared_fcs": 1, "in_channels": 4, "conv_out_channels": 4,
    "fc_out_channels": 8, "roi_feat_size": 2, "num_classes": 3,
    "bbox_coder": {"type": "DeltaXYWHBBoxCoder", **COORDINATES},
    "norm_cfg": {"type": "BN"}, "reg_decoded_bbox": True,
    "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
    "loss_bbox": {"type": "GIoULoss", "loss_weight": 10.0},
}  # fmt: skip
MASKS = {
    "num_convs": 1, "in_channels": 4, "conv_out_channels": 4, "num_classes": 3,
    "loss_mask": {"type": "CrossEntropyLoss", "use_mask": True, "loss_weight": 1.0},
}  # fmt: skip
# Ours, mmdet's, its config, a layer that must follow autocast.
HEADS = {
    "rpn": ("Float32RPNHead", "RPNHead", RPN, "rpn_conv"),
    "boxes": ("Float32BBoxHead", "ConvFCBBoxHead", BOXES, "shared_fcs.0"),
    "masks": ("Float32MaskHead", "FCNMaskHead", MASKS, "convs.0.conv"),
}


def build(kind, config):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build({"type": kind, **config}).eval()


def tensors(outputs):
    """The tensors of a head's outputs, however nested."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [tensor for part in outputs for tensor in tensors(part)]


@pytest.fixture
def maps(draw):
    return [draw(1, 1, 4, 24, 340), draw(2, 1, 4, 12, 170)]


@pytest.fixture
def rois():
    """Two boxes that bfloat16, with its 8 bits, would move by up to 4 pixels."""
    return torch.tensor([[0, 1301.3, 20.7, 1333.9, 51.2], [0, 602.6, 2.2, 811.7, 91.1]])


def half():
    return torch.autocast("cpu", torch.bfloat16)


def test_rois_are_cut_out_in_float32(maps, rois):
    ours = build("stl_backbones.Float32RoIExtractor", EXTRACTOR)
    rounded = [features.bfloat16() for features in maps]
    plain = build("mmdet.SingleRoIExtractor", EXTRACTOR)
    expected = plain([features.float() for features in rounded], rois)
    with half():
        got = ours(rounded, rois.clone())
    assert got.dtype == torch.float32
    assert torch.equal(got, expected)


def test_rounded_rois_would_have_been_others(maps, rois):
    """So the test before can fail."""
    plain = build("mmdet.SingleRoIExtractor", EXTRACTOR)
    far = plain(maps, rois.bfloat16().float())
    assert (far - plain(maps, rois)).abs().max() > 0.1


def test_without_autocast_rois_are_mmdets(maps, rois):
    ours = build("stl_backbones.Float32RoIExtractor", EXTRACTOR)
    assert isinstance(ours, SingleRoIExtractor)
    plain = build("mmdet.SingleRoIExtractor", EXTRACTOR)
    assert torch.equal(ours(maps, rois), plain(maps, rois))


def test_maps_of_any_memory_format_are_cut_as_torchvision_cuts_them(maps, rois):
    ours = build("stl_backbones.Float32RoIExtractor", {**EXTRACTOR, "featmap_strides": [4]})
    expected = roi_align(
        maps[0], rois, output_size=2, spatial_scale=1 / 4, sampling_ratio=-1, aligned=True
    )
    last = maps[0].contiguous(memory_format=torch.channels_last)
    assert not last.is_contiguous()
    for features in (maps[0], last):
        torch.testing.assert_close(ours([features], rois), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", HEADS)
def test_a_heads_layers_follow_autocast_and_its_outputs_do_not(kind, draw, maps):
    ours, _, config, layer = HEADS[kind]
    head = build(f"stl_backbones.{ours}", config)
    seen = []
    head.get_submodule(layer).register_forward_hook(lambda *call: seen.append(call[-1].dtype))
    with half():
        outputs = tensors(head(maps if kind == "rpn" else draw(3, 5, 4, 2, 2)))
    assert set(seen) == {torch.bfloat16}
    assert {tensor.dtype for tensor in outputs} == {torch.float32}


@pytest.mark.parametrize("kind", HEADS)
def test_without_autocast_a_head_is_mmdets(kind, draw, maps):
    ours, theirs, config, _ = HEADS[kind]
    heads = [build(f"stl_backbones.{ours}", config), build(f"mmdet.{theirs}", config)]
    heads[0].load_state_dict(heads[1].state_dict())
    x = maps if kind == "rpn" else draw(3, 5, 4, 2, 2)
    got, expected = (tensors(head(x)) for head in heads)
    assert len(got) > 0
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
