"""mmseg's Swin with timm's weights, against timm's Swin."""

import pytest
import timm
import torch

from stl_backbones.transfer import PretrainedSwin

NAME = "swin_tiny_patch4_window7_224"
SETTINGS = {"depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24), "window_size": 7}


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    network = timm.create_model(NAME, num_classes=5).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.rand_like(parameter))
    return network


def filled(path, weights):
    torch.save(weights, path)
    model = PretrainedSwin({"type": "Pretrained", "checkpoint": str(path)}, **SETTINGS)
    model.init_weights()
    model.eval()
    return model


@pytest.fixture(scope="module")
def model(reference, tmp_path_factory):
    return filled(tmp_path_factory.mktemp("swin") / "timm.pth", reference.state_dict())


def test_maps_are_timms_through_a_layer_norm(model, reference):
    """At 224, where windows of 7 divide all maps."""
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        maps = model(image)
        expected = reference.forward_intermediates(image, intermediates_only=True)
    assert [tuple(x.shape[1:]) for x in maps] == [
        (96, 56, 56), (192, 28, 28), (384, 14, 14), (768, 7, 7)
    ]  # fmt: skip
    for found, raw in zip(maps[:3], expected[:3], strict=True):
        variance, mean = torch.var_mean(raw, dim=1, keepdim=True, correction=0)
        torch.testing.assert_close(
            found, (raw - mean) / (variance + 1e-5).sqrt(), atol=1e-3, rtol=1e-3
        )


def test_a_file_of_mmsegs_names_fills_it_too(model, tmp_path):
    """But for the norms of the maps, which mmseg's released files lack as well."""
    weights = {
        f"backbone.{name}": value + 1 if value.is_floating_point() else value
        for name, value in model.network.state_dict().items()
        if not name.startswith("norm")
    }
    other = filled(tmp_path / "mmseg.pth", {"state_dict": weights}).network.state_dict()
    for name, value in weights.items():
        torch.testing.assert_close(other[name.removeprefix("backbone.")], value)


def test_a_file_of_another_swin_is_refused(tmp_path):
    weights = timm.create_model("swin_s3_tiny_224", num_classes=2).state_dict()
    with pytest.raises(ValueError, match=r"fits \d+ of the \d+ backbone keys of SwinTransformer"):
        filled(tmp_path / "s3.pth", weights)
