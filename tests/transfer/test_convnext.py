"""ConvNeXt against timm's, parameter by parameter and map by map."""

import pytest
import timm
import torch
from mmengine.registry import MODELS

from stl_backbones.transfer.convnext import ConvNeXt

# timm's name -> mmpretrain's, of what differs.
RENAMED = (
    ("stem_0.", "downsample_layers.0.0."),
    ("stem_1.", "downsample_layers.0.1."),
    ("conv_dw.", "depthwise_conv."),
    ("mlp.fc1.", "pointwise_conv1."),
    ("mlp.fc2.", "pointwise_conv2."),
)


def mmpretrain_name(name):
    for old, new in RENAMED:
        name = name.replace(old, new)
    if name.startswith("stages_"):
        stage, rest = name[len("stages_") :].split(".", 1)
        if rest.startswith("downsample."):
            return f"downsample_layers.{stage}.{rest.removeprefix('downsample.')}"
        return f"stages.{stage}.{rest.removeprefix('blocks.')}"
    return name


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    model = timm.create_model("convnext_tiny", features_only=True, out_indices=(0, 1, 2, 3)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter + 0.02 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def ours(reference):
    model = ConvNeXt("tiny", layer_scale_init_value=1.0, drop_path_rate=0.4).eval()
    weights = {mmpretrain_name(name): value for name, value in reference.state_dict().items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert unexpected == []
    assert missing == [f"norm{stage}.{kind}" for stage in range(4) for kind in ("weight", "bias")]
    return model


def test_maps_are_timms_through_a_layer_norm(ours, reference):
    image = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        maps, expected = ours(image), reference(image)
    assert [tuple(found.shape) for found in maps] == [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in ((96, 4), (192, 8), (384, 16), (768, 32))
    ]
    for found, raw in zip(maps, expected, strict=True):
        variance, mean = torch.var_mean(raw, dim=1, keepdim=True, correction=0)
        torch.testing.assert_close(
            found, (raw - mean) / (variance + 1e-6).sqrt(), atol=1e-4, rtol=1e-4
        )


def test_the_authors_detectors_fit(ours):
    """Their names, from facebookresearch/ConvNeXt: dwconv, pwconv1, pwconv2, gamma, norm0."""
    theirs = {
        f"backbone.{name.replace('depthwise_', 'dw').replace('pointwise_', 'pw')}": value
        for name, value in ours.state_dict().items()
    }
    assert "backbone.stages.2.8.pwconv1.weight" in theirs
    theirs["neck.dwconv.weight"] = torch.ones(1)
    ours.rename_released(theirs, prefix="backbone.")
    assert theirs.pop("neck.dwconv.weight") == 1
    own = {f"backbone.{name}" for name in ours.state_dict()}
    assert theirs.keys() == own


@pytest.mark.parametrize(
    ("arch", "blocks", "timm_name"),
    [
        ("small", 36, "convnext_small"),
        ("base", 36, "convnext_base"),
        ("large", 36, "convnext_large"),
    ],
)
def test_the_larger_ones_have_timms_shapes(arch, blocks, timm_name):
    with torch.device("meta"):
        model = ConvNeXt(arch, layer_scale_init_value=1.0)
        other = timm.create_model(timm_name, features_only=True, out_indices=(0, 1, 2, 3))
    shapes = {mmpretrain_name(name): value.shape for name, value in other.state_dict().items()}
    own = {name: value.shape for name, value in model.state_dict().items()}
    assert {name: own[name] for name in shapes} == shapes
    assert sum(map(len, model.stages)) == blocks


def test_recomputing_changes_no_gradient():
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(2)
        model = ConvNeXt("tiny", out_indices=(0,), layer_scale_init_value=1.0, with_cp=with_cp)
        found = model(torch.randn(1, 3, 32, 32))[0]
        (found * torch.randn_like(found)).sum().backward()
        gradients.append(model.stages[0][1].pointwise_conv1.weight.grad)
    assert gradients[0].abs().max() > 1e-4
    torch.testing.assert_close(*gradients)


def test_only_the_maps_asked_for():
    model = MODELS.build(
        {"type": "stl_backbones.ConvNeXt", "arch": "tiny", "out_indices": [1, 3]}
    ).eval()
    assert [found.shape[1] for found in model(torch.zeros(1, 3, 32, 32))] == [192, 768]
    assert not any(name.startswith(("norm0", "norm2")) for name in model.state_dict())


def test_without_layer_scale():
    model = ConvNeXt("tiny", layer_scale_init_value=0.0)
    assert not any("gamma" in name for name in model.state_dict())


def test_what_cannot_be_built_is_named():
    with pytest.raises(
        KeyError, match="unknown ConvNeXt arch 'huge'; expected one of tiny, small, base,"
    ):
        ConvNeXt("huge")
    with pytest.raises(ValueError, match="a pyramid needs maps"):
        ConvNeXt("tiny", gap_before_final_norm=True)


def test_maps_are_contiguous():
    """mmcv's RoIAlign misreads others, and a neck's convolutions hand the format on."""
    image = torch.randn(1, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        maps = ConvNeXt("tiny").eval()(image)
    assert [part.is_contiguous() for part in maps] == [True] * 4
