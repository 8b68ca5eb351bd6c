"""FAN's four maps for detection: names, formulas, and the files they load from."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.necks import FPN
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS as MMDET_MODELS
from torch import nn
from torchvision.ops import roi_align

from stl_backbones.transfer import FANBackbone, FANDetectionBackbone

# The specification of the released files; C = 192.
ADDED = {
    "learnable_downsample.weight": (768, 192, 3, 3),
    "learnable_downsample.bias": (768,),
    "out_norm0.weight": (128,), "out_norm0.bias": (128,),
    "out_norm1.weight": (256,), "out_norm1.bias": (256,),
    "out_norm2.weight": (192,), "out_norm2.bias": (192,),
    "out_norm3.weight": (768,), "out_norm3.bias": (768,),
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    """No two of its added parameters are alike."""
    torch.manual_seed(3)
    model = FANDetectionBackbone("tiny_hybrid").eval()
    for name, parameter in model.named_parameters():
        if name in ADDED:
            nn.init.normal_(parameter, mean=0.3, std=0.2)
    return model


@pytest.fixture
def meta():
    """Build without weights."""

    def make(arch="tiny_hybrid", **options):
        with torch.device("meta"):
            return FANDetectionBackbone(arch, **options)

    return make


def test_mmdet_builds_it_by_its_name():
    with torch.device("meta"):
        built = MMDET_MODELS.build({"type": "stl_backbones.FANDetection", "arch": "large_hybrid"})
    assert type(built) is FANDetectionBackbone
    assert built.out_channels == (128, 256, 480, 768)


def test_parameter_names_are_the_released_ones(meta):
    shapes = {name: tuple(value.shape) for name, value in meta().state_dict().items()}
    with torch.device("meta"):
        plain = FANBackbone("tiny_hybrid").state_dict()
    assert shapes == {**{name: tuple(value.shape) for name, value in plain.items()}, **ADDED}


@pytest.mark.parametrize("size", [(128, 192), (75, 100), (33, 47)])
def test_strides_4_8_16_32(meta, size):
    maps = meta()(torch.zeros(2, 3, *size, device="meta"))
    channels = (128, 256, 192, 768)
    # A convolution of stride 2 with padding 1 rounds up, as the strides before it do.
    expected = [
        (2, c, -(-size[0] // s), -(-size[1] // s))
        for c, s in zip(channels, (4, 8, 16, 32), strict=True)
    ]
    assert [tuple(m.shape) for m in maps] == expected


def test_each_map_is_the_plain_formula(model, draw):
    x = draw(0, 2, 3, 64, 96)
    with torch.no_grad():
        maps, dense = model(x), model.forward_dense(x)
        dense[3] = F.conv2d(
            dense[3], model.learnable_downsample.weight, model.learnable_downsample.bias,
            stride=2, padding=1,
        )  # fmt: skip
    for index, (got, raw) in enumerate(zip(maps, dense, strict=True)):
        raw = raw.double()
        weight, bias = (
            getattr(getattr(model, f"out_norm{index}"), name).detach().double()[:, None, None]
            for name in ("weight", "bias")
        )
        centred = raw - raw.mean(dim=1, keepdim=True)
        variance = centred.square().mean(dim=1, keepdim=True)
        expected = centred / (variance + 1e-5).sqrt() * weight + bias
        torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-4)


def test_mmdets_own_extractor_reads_them_behind_a_pyramid(model, draw):
    """Mmcv's RoIAlign mixes up the pixels of maps that are not contiguous, and says nothing."""
    neck = FPN(in_channels=[128, 256, 192, 768], out_channels=4, num_outs=4)
    extractor = SingleRoIExtractor(
        roi_layer={"type": "RoIAlign", "output_size": 2, "sampling_ratio": 0},
        out_channels=4, featmap_strides=[4, 8, 16, 32],
    )  # fmt: skip
    rois = torch.tensor([[0.0, 5.0, 7.0, 50.0, 40.0], [1.0, 20.0, 3.0, 90.0, 60.0]])
    with torch.no_grad():
        pyramid = neck(model(draw(4, 2, 3, 64, 96)))
        expected = roi_align(
            pyramid[0], rois, output_size=2, spatial_scale=1 / 4, sampling_ratio=-1, aligned=True
        )
        got = extractor(pyramid, rois)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_out_indices_choose_maps_and_their_layers(meta):
    model = meta(out_indices=(1, 2))
    assert model.out_channels == (256, 192)
    own = {name.partition(".")[0] for name in model.state_dict() if name in ADDED}
    assert own == {"out_norm1", "out_norm2"}


def test_a_vit_arch_has_no_pyramid(meta):
    with pytest.raises(ValueError, match="expected a hybrid arch, got 'tiny_vit'"):
        meta("tiny_vit")


def test_recomputing_changes_no_gradient_and_counts_a_batch_once(draw):
    x = draw(1, 2, 3, 64, 64)
    torch.manual_seed(0)
    plain = FANDetectionBackbone("tiny_hybrid").train()
    saving = FANDetectionBackbone("tiny_hybrid", with_cp=True).train()
    saving.load_state_dict(plain.state_dict())
    for model in (plain, saving):
        sum(m.square().mean() for m in model(x)).backward()
    grads = [
        {n: p.grad for n, p in m.named_parameters() if p.requires_grad} for m in (plain, saving)
    ]
    assert all(grad is not None for grad in grads[0].values())  # or DDP waits for ever
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-4, atol=1e-7)
    counts = {
        m.num_batches_tracked.item() for m in saving.modules() if isinstance(m, nn.BatchNorm2d)
    }
    assert counts == {1}
    torch.testing.assert_close(saving.state_dict(), plain.state_dict())


class TestPretrained:
    def load(self, path):
        config = {"type": "Pretrained", "checkpoint": str(path)}
        model = FANDetectionBackbone("tiny_hybrid", init_cfg=config)
        fresh = {name: value.clone() for name, value in model.state_dict().items()}
        model.init_weights()
        return model.state_dict(), fresh

    def test_a_classifiers_file_leaves_the_added_layers_fresh(self, released_file, tiny_weights):
        after, fresh = self.load(released_file)
        expected = {**tiny_weights, **{name: fresh[name] for name in ADDED}}
        assert after.keys() == expected.keys()
        assert [n for n in after if not torch.equal(after[n], expected[n])] == []

    def test_a_detectors_file_fills_them(self, model, tmp_path):
        weights = {f"backbone.{name}": value for name, value in model.state_dict().items()}
        for kind in ("weight", "bias"):
            del weights[f"backbone.norm.{kind}"]  # no map needs it
        heads = {"rpn_head.rpn_cls.weight": torch.zeros(3, 256, 1, 1)}
        torch.save({"state_dict": {**weights, **heads}, "meta": {}}, tmp_path / "detector.pth")
        after, fresh = self.load(tmp_path / "detector.pth")
        expected = {
            n: fresh[n] if n.startswith("norm.") else v for n, v in model.state_dict().items()
        }
        assert [n for n, v in expected.items() if not torch.equal(after[n], v)] == []

    def test_a_part_of_them_is_refused(self, model, tmp_path):
        weights = model.state_dict()
        del weights["out_norm2.weight"]
        torch.save(weights, tmp_path / "part.pth")
        with pytest.raises(ValueError, match=r"not filled: out_norm2\.weight"):
            self.load(tmp_path / "part.pth")


class TestReleasedDetector:
    """A whole detector's file, with the backbone's names of old."""

    @pytest.fixture
    def released(self, model):
        weights = {f"backbone.{name}": value for name, value in model.state_dict().items()}
        for block in ("backbone.cls_attn_blocks.0", "backbone.cls_attn_blocks.1"):
            for kind in ("weight", "bias"):
                parts = [weights.pop(f"{block}.attn.{part}.{kind}") for part in "qkv"]
                weights[f"{block}.attn.qkv.{kind}"] = torch.cat(parts)
        for kind in ("weight", "bias"):
            name = f"token_projection.{kind}"
            weights[f"backbone.pos_embeder.{name}"] = weights.pop(f"backbone.pos_embed.{name}")
            del weights[f"backbone.norm.{kind}"]  # no map needs it
        return {
            **weights,
            "backbone.head.weight": torch.zeros(9, 192),
            "neck.weight": torch.ones(2, 2),
        }

    @pytest.fixture
    def detector(self):
        torch.manual_seed(9)
        parts = {
            "backbone": FANDetectionBackbone("tiny_hybrid"),
            "neck": nn.Linear(2, 2, bias=False),
        }
        return nn.ModuleDict(parts)

    def test_loads_key_for_key(self, released, detector, model):
        detector.load_state_dict(released)  # strict
        own = detector["backbone"].state_dict()
        different = [
            name
            for name, value in model.state_dict().items()
            if not torch.equal(own[name], value) and not name.startswith("norm.")
        ]
        assert different == []
        assert torch.equal(detector["neck"].weight, torch.ones(2, 2))

    def test_gives_the_same_maps(self, released, detector, model, draw):
        detector.load_state_dict(released)
        x = draw(2, 1, 3, 64, 64)
        with torch.no_grad():
            got, expected = detector["backbone"].eval()(x), model(x)
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))

    def test_a_missing_parameter_is_still_refused(self, released, detector):
        del released["backbone.blocks.3.attn.q.weight"]
        with pytest.raises(
            RuntimeError, match=r"Missing key.*backbone\.blocks\.3\.attn\.q\.weight"
        ):
            detector.load_state_dict(released)

    def test_the_file_in_memory_is_left_alone(self, released, detector):
        before = set(released)
        detector.load_state_dict(released)
        assert set(released) == before
