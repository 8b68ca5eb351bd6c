"""ViT-B/16 of two rows: timm's network, and what its authors' files hold."""

import pytest
import timm
import torch
from timm.data import resolve_model_data_config

from stl_backbones.models.timm_classifiers import create_from_weights

MAE, DAT = "mae_vit_base_patch16_224", "dat_vit_base_patch16_224"


@pytest.mark.parametrize(("name", "pool"), [(MAE, "avg"), (DAT, "token")])
def test_the_network_is_timms_with_the_pooling(name, pool):
    with torch.device("meta"):
        ours = timm.create_model(name)
        theirs = timm.create_model("vit_base_patch16_224", global_pool=pool)
    assert ours.global_pool == pool
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }


def test_mae_classifies_the_normalised_mean_of_the_patches():
    network = timm.create_model(MAE, depth=1, embed_dim=24, num_heads=3, num_classes=5).eval()
    torch.nn.init.normal_(network.head.weight)
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        tokens = network.forward_features(image)
        mean = torch.nn.functional.layer_norm(tokens[:, 1:].mean(dim=1), (24,), eps=1e-6)
        torch.testing.assert_close(network(image), network.head(mean))


def test_images_are_prepared_for_the_authors_files():
    data = resolve_model_data_config(timm.create_model(MAE, depth=1))
    assert (data["mean"], data["std"]) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (data["crop_pct"], data["interpolation"]) == (0.875, "bicubic")


@pytest.mark.slow
def test_a_file_in_maes_wrapping_fills_it():
    weights = timm.create_model(MAE).state_dict()
    network = create_from_weights(MAE, weights, source="mae_finetuned_vit_base.pth")
    assert network.fc_norm.weight.shape == (768,)
    assert torch.equal(network.head.weight, weights["head.weight"])
