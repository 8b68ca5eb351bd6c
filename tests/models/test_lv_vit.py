"""LV-ViT against timm's ViT, whose parts it shares."""

import pytest
import timm
import torch
from timm.models.vision_transformer import Block as TimmBlock
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from stl_backbones.models import lv_vit
from stl_backbones.models.counting import count_parameters

SMALL = lv_vit.Size(depth=2, dim=24, heads=3, divisor=2.0, crop_pct=0.9)


def noisy(module):
    """The module with parameters that are all different."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


@pytest.mark.parametrize(
    ("letter", "parameters"),
    # README of zihangJiang/TokenLabeling; T: Table 2 prints 9 M.
    [("t", 8.53e6), ("s", 26.15e6), ("m", 55.83e6)],
)
def test_parameters_are_the_published_ones(letter, parameters):
    with torch.device("meta"):
        network = timm.create_model(f"lv_vit_{letter}")
    assert count_parameters(network) == pytest.approx(parameters, abs=0.005e6)


@pytest.mark.parametrize(("letter", "share"), [("s", 0.9), ("m", 1.0)])
def test_crops_are_those_of_the_release(letter, share):
    assert timm.get_pretrained_cfg(f"lv_vit_{letter}").crop_pct == share


def test_a_block_is_timms_whose_branches_are_divided():
    ours = noisy(lv_vit.Block(24, 3, divisor=2.0, drop_path=0.0))
    theirs = TimmBlock(24, 3, mlp_ratio=lv_vit.MLP_RATIO, norm_layer=nn.LayerNorm).eval()
    weights = {name: value.clone() for name, value in ours.state_dict().items()}
    for name in ("attn.proj.weight", "attn.proj.bias", "mlp.fc2.weight", "mlp.fc2.bias"):
        weights[name] /= 2
    theirs.load_state_dict(weights)
    tokens = torch.randn(2, 7, 24)
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens))


def test_tokens_are_those_of_timms_vit_behind_the_stem():
    size = lv_vit.Size(depth=2, dim=24, heads=3, divisor=1.0, crop_pct=0.9)
    ours = noisy(lv_vit.LVViT(size, num_classes=5, img_size=(32, 48)))
    theirs = VisionTransformer(
        img_size=(32, 48), embed_dim=24, depth=2, num_heads=3, num_classes=5, qkv_bias=False,
        mlp_ratio=lv_vit.MLP_RATIO, norm_layer=nn.LayerNorm,
    ).eval()  # fmt: skip
    theirs.patch_embed = ours.patch_embed
    weights = {k: v for k, v in ours.state_dict().items() if not k.startswith("aux_head")}
    theirs.load_state_dict(weights)
    image = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        logits, token_logits = ours(image)
        tokens = theirs.forward_features(image)
        torch.testing.assert_close(logits, theirs.head(tokens[:, 0]))
        torch.testing.assert_close(token_logits, ours.aux_head(tokens[:, 1:]))
    assert token_logits.shape == (2, 6, 5)


def test_the_stem_halves_the_image_once_and_cuts_patches():
    stem = noisy(lv_vit.ConvPatchEmbed(8))
    image = torch.randn(1, 3, 32, 48)
    with torch.no_grad():
        tokens = stem(image)
        changed = image.clone()
        changed[..., 40] += 1  # a pixel column of the last patch column
        moved = (stem(changed) - tokens).abs().amax(dim=2).view(2, 3)
    assert tokens.shape == (1, 6, 8)
    assert (moved[:, 0] == 0).all()  # eight pixels of the stem's convolutions, not sixteen
    assert (moved[:, 2] > 0).all()


def test_gradients_are_the_same_when_recomputed():
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(1)
        network = noisy(lv_vit.LVViT(SMALL, num_classes=3, img_size=32))
        network.set_grad_checkpointing(recompute)
        logits, token_logits = network.train()(torch.ones(2, 3, 32, 32).cumsum(3))
        (logits.square().sum() + token_logits.square().sum()).backward()
        gradients.append(network.blocks[0].attn.qkv.weight.grad)
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients)


def test_without_classifiers_the_class_token_is_left():
    network = noisy(lv_vit.LVViT(SMALL, num_classes=0, img_size=32))
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(image), network.forward_features(image)[:, 0])
