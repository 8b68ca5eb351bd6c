"""mmdet's Swin with files of the authors and of timm: renamed, in order, equal to timm's maps."""

import pytest
import torch
from mmengine.registry import MODELS
from timm.models import swin_transformer

from stl_backbones.transfer import SwinTransformer
from stl_backbones.transfer.swin import by_mmdets_names

DEPTHS, HEADS = (2, 2, 2, 2), (1, 2, 4, 8)
SIDE = 448  # the coarsest map has two windows a side: timm shifts no single one, mmdet does


@pytest.fixture(scope="module")
def reference():
    """A small Swin of timm with weights that differ in every channel."""
    torch.manual_seed(0)
    model = swin_transformer.SwinTransformer(
        img_size=SIDE, embed_dim=32, depths=DEPTHS, num_heads=HEADS, num_classes=0
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def authors_name(name):
    """timm's name of a parameter -> the authors', where stages end in a downsampling."""
    parts = name.split(".")
    if parts[0] == "layers" and parts[2] == "downsample":
        parts[1] = str(int(parts[1]) - 1)
    return ".".join(parts)


def authors_weights(reference):
    """As in a detector's file: with the masks of one image size, and a norm for each map."""
    torch.manual_seed(1)
    weights = {
        f"backbone.{authors_name(name)}": value
        for name, value in reference.state_dict().items()
        if not name.startswith("norm.")
    }
    weights["backbone.layers.0.blocks.1.attn_mask"] = torch.zeros(4, 49, 49)
    for index, dim in enumerate((32, 64, 128, 256)):
        weights[f"backbone.norm{index}.weight"] = 1 + 0.1 * torch.randn(dim)
        weights[f"backbone.norm{index}.bias"] = 0.1 * torch.randn(dim)
    return weights


def test_maps_are_timms_through_the_norms(reference):
    settings = {"embed_dims": 32, "depths": DEPTHS, "num_heads": HEADS}
    model = MODELS.build({"type": "stl_backbones.SwinTransformer", **settings})
    model.eval()  # mmdet's returns nothing
    weights = authors_weights(reference)
    model.rename_released(weights, prefix="backbone.")
    own = {name.removeprefix("backbone."): value for name, value in weights.items()}
    indices = {name for name in model.state_dict() if name.endswith("relative_position_index")}
    missing, unexpected = model.load_state_dict(own, strict=False)
    assert (set(missing), unexpected) == (indices, [])  # timm keeps no indices in its files
    image = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        maps = model(image)
        expected = reference.forward_intermediates(image, intermediates_only=True)
    assert [tuple(found.shape[1:]) for found in maps] == [
        (32, 112, 112), (64, 56, 56), (128, 28, 28), (256, 14, 14)
    ]  # fmt: skip
    for index, (found, raw) in enumerate(zip(maps, expected, strict=True)):
        norm = model.get_submodule(f"norm{index}")
        normed = norm(raw.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        torch.testing.assert_close(found, normed, atol=1e-3, rtol=1e-3)


def test_names_of_today_are_left_alone():
    weights = {"backbone.stages.0.blocks.0.norm1.weight": torch.ones(96), "neck.a": torch.ones(1)}
    before = dict(weights)
    SwinTransformer(depths=(1, 1, 1, 1)).rename_released(weights, prefix="backbone.")
    assert weights == before


SETTINGS = {"embed_dims": 32, "depths": DEPTHS, "num_heads": HEADS}


def filled(path, weights):
    torch.save(weights, path)
    model = SwinTransformer(**SETTINGS, init_cfg={"type": "Pretrained", "checkpoint": str(path)})
    model.init_weights()
    model.eval()
    return model


@pytest.mark.parametrize("of", ["timm", "authors", "mmdet"])
def test_a_classifiers_file_fills_it(reference, tmp_path, of):
    """All but the norms of the maps, which stay as they were drawn."""
    weights = {"head.fc.weight": torch.zeros(5, 256), **reference.state_dict()}
    expected = by_mmdets_names(weights)
    if of == "authors":
        weights = {"model": {authors_name(name): value for name, value in weights.items()}}
    elif of == "mmdet":
        weights = {"state_dict": {f"backbone.{name}": v for name, v in expected.items()}}
    found = filled(tmp_path / "swin.pth", weights).state_dict()
    shared = [name for name in found if name in expected]
    assert len(shared) == len(found) - 8 - sum(DEPTHS)  # norms, position indices
    assert all(torch.equal(found[name], expected[name]) for name in shared)
    assert found["norm2.weight"].eq(1).all()


def test_a_file_of_another_swin_is_refused(reference, tmp_path):
    weights = {k: v for k, v in reference.state_dict().items() if not k.startswith("layers.3")}
    with pytest.raises(ValueError, match=r"fits \d+ of the \d+ backbone keys of SwinTransformer"):
        filled(tmp_path / "other.pth", weights)
