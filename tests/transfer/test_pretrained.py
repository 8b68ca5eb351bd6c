"""Backbones of timm and of our own networks: maps, and weights of files."""

import re

import pytest
import timm
import torch
from mmengine.registry import MODELS
from mmseg.models.backbones import VisionTransformer

from stl_backbones.transfer import (
    DilatedNetVGG16,
    FCN8sVGG16,
    TimmFeatures,
    WideResNet38Backbone,
)


def image(height, width):
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def randomised(network):
    """A network none of whose values is as a fresh one has it."""
    torch.manual_seed(0)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(0.05 * torch.rand_like(value))
    return network.eval()


def saved(path, network):
    torch.save(network.state_dict(), path)
    return {"type": "Pretrained", "checkpoint": str(path)}


@pytest.mark.parametrize(("name", "blocks"), [("xception65", 20), ("xception71", 22)])
def test_xceptions_maps_are_timms(name, blocks):
    """Strides 4 and 16, as DeepLabv3+ takes them."""
    model = randomised(TimmFeatures(name, out_indices=(1, 4), output_stride=16))
    reference = timm.create_model(
        name, features_only=True, out_indices=(1, 4), output_stride=16
    ).eval()
    weights = model.network.state_dict()
    reference.load_state_dict(
        {re.sub(r"^(stem|blocks)\.", r"\1_", name): value for name, value in weights.items()}
    )
    with torch.no_grad():
        maps, expected = model(image(64, 96)), reference(image(64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [(256, 16, 24), (2048, 4, 6)]
    assert len(model.network.blocks) == blocks + 1
    for found, other in zip(maps, expected, strict=True):
        torch.testing.assert_close(found, other)


def mmsegs_name(name):
    """timm's -> mmseg's."""
    for old, new in (
        ("blocks.", "layers."),
        ("norm1.", "ln1."),
        ("norm2.", "ln2."),
        ("attn.qkv.weight", "attn.attn.in_proj_weight"),
        ("attn.qkv.bias", "attn.attn.in_proj_bias"),
        ("attn.proj.", "attn.attn.out_proj."),
        ("mlp.fc1.", "ffn.layers.0.0."),
        ("mlp.fc2.", "ffn.layers.1."),
        ("patch_embed.proj.", "patch_embed.projection."),
    ):
        name = name.replace(old, new)
    return name


def test_deits_maps_are_mmsegs():
    model = randomised(
        TimmFeatures("deit_tiny_patch16_224", out_indices=(2, 5, 8, 11), img_size=(64, 96))
    )
    reference = VisionTransformer(
        img_size=(64, 96), embed_dims=192, num_heads=3, out_indices=(2, 5, 8, 11),
        norm_cfg={"type": "LN", "eps": 1e-6}, patch_bias=True,
    )  # fmt: skip
    reference.eval()
    reference.load_state_dict(
        {mmsegs_name(name): value for name, value in model.network.state_dict().items()}
    )
    with torch.no_grad():
        maps, expected = model(image(64, 96)), reference(image(64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [(192, 4, 6)] * 4
    for found, other in zip(maps, expected, strict=True):
        torch.testing.assert_close(found, other, atol=1e-4, rtol=1e-4)


def test_out_norms_are_over_the_channels():
    model = TimmFeatures("convnext_tiny", out_indices=(0, 3), out_norms=True).eval()
    with torch.no_grad():
        for found in model(image(64, 96)):
            variance, mean = torch.var_mean(found, dim=1, correction=0)
            torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-4, rtol=0)
            torch.testing.assert_close(variance, torch.ones_like(mean), atol=1e-2, rtol=0)


def test_a_classifiers_file_fills_the_network(tmp_path):
    classifier = randomised(timm.create_model("resnet18", num_classes=7))
    model = TimmFeatures(
        "resnet18", out_indices=(1, 4), init_cfg=saved(tmp_path / "r18.pth", classifier)
    )
    model.init_weights()
    model.eval()
    with torch.no_grad():
        expected = classifier.forward_features(image(64, 64))
        found = model(image(64, 64))[1]
    torch.testing.assert_close(found, expected)


def test_positions_are_resized_as_timm_does_it(tmp_path):
    classifier = randomised(timm.create_model("deit_tiny_patch16_224"))
    config = saved(tmp_path / "deit.pth", classifier)
    model = TimmFeatures(
        "deit_tiny_patch16_224", out_indices=(11,), img_size=(64, 96), init_cfg=config
    )
    model.init_weights()
    expected = timm.create_model(
        "deit_tiny_patch16_224", img_size=(64, 96), pretrained=True,
        pretrained_cfg_overlay={"file": config["checkpoint"]},
    )  # fmt: skip
    torch.testing.assert_close(model.network.pos_embed, expected.pos_embed)
    assert model.network.pos_embed.shape == (1, 4 * 6 + 1, 192)


def test_an_image_of_another_size_than_the_positions():
    model = TimmFeatures(
        "deit_tiny_patch16_224", out_indices=(11,), img_size=(64, 64), dynamic_img_size=True
    ).eval()
    with torch.no_grad():
        assert model(image(64, 128))[0].shape == (1, 192, 4, 8)


def test_vggs_names_are_timms():
    with torch.device("meta"):
        theirs = timm.create_model("vgg16").state_dict()
        networks = [FCN8sVGG16().network, DilatedNetVGG16().network]
    for network in networks:
        ours = network.state_dict()
        assert set(theirs) - set(ours) == {"head.fc.weight", "head.fc.bias"}
        assert all(value.shape == theirs[name].shape for name, value in ours.items())


def test_a_file_of_another_network_is_refused(tmp_path):
    config = saved(tmp_path / "r34.pth", timm.create_model("resnet34", num_classes=2))
    model = TimmFeatures("resnet50", out_indices=(4,), init_cfg=config)
    with pytest.raises(ValueError, match=r"r34\.pth' fits \d+ of the 318 .* of ResNet") as caught:
        model.init_weights()
    assert "FAN" not in str(caught.value)


def test_without_a_file_it_starts_from_scratch():
    model = MODELS.build(
        {
            "type": "stl_backbones.TimmFeatures", "name": "resnet18", "out_indices": [4],
            "init_cfg": {"type": "Pretrained", "checkpoint": None},
        }
    )  # fmt: skip
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.init_weights()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "config", [{"type": "Kaiming"}, {"type": "Pretrained", "checkpoint": "x", "prefix": "a."}]
)
def test_another_init_cfg_is_refused(config):
    model = TimmFeatures("resnet18", out_indices=(4,), init_cfg=config)
    with pytest.raises(ValueError, match="TimmFeatures's init_cfg must be dict"):
        model.init_weights()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("resnet19", KeyError, "timm has no model 'resnet19'; did you mean"),
        ("resnet18", ValueError, r"timm's 'resnet18' gives no maps \[9\]"),
    ],
)
def test_what_timm_lacks_is_named(name, error, message):
    with pytest.raises(error, match=message):
        TimmFeatures(name, out_indices=(9,))


def test_wide_resnet38_is_registered():
    with torch.device("meta"):
        model = MODELS.build({"type": "stl_backbones.WideResNet38", "output_stride": 16})
    assert isinstance(model, WideResNet38Backbone)
    assert model(torch.zeros(1, 3, 32, 64, device="meta"))[0].shape == (1, 4096, 2, 4)
