"""The whole network: variants, sizes, dense maps, gradients and timm's interface."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from stl_backbones.models import FAN, VARIANTS, get_variant

ROOT = Path(__file__).parents[2]

# released name: stem depths, depth, dim, heads, dense tap (Zhou et al. 2022; released configs)
TABLE = {
    "fan_tiny_8_p4_hybrid": ((3, 3), 8, 192, 8, 7),
    "fan_small_12_p4_hybrid": ((3, 3), 10, 384, 8, 9),
    "fan_base_16_p4_hybrid": ((3, 3), 16, 448, 8, 15),
    "fan_large_16_p4_hybrid": ((3, 5), 22, 480, 10, 18),
    "fan_tiny_12_p16_224": (None, 12, 192, 4, None),
    "fan_small_12_p16_224": (None, 12, 384, 8, None),
    "fan_base_18_p16_224": (None, 18, 448, 8, None),
    "fan_large_24_p16_224": (None, 24, 480, 10, None),
    "fan_mini_4_p4_hybrid": ((1, 1), 4, 96, 4, 2),  # ours
    "fan_mini_4_p4_32": (None, 4, 96, 4, None),  # ours
}
TINY = ("fan_tiny_8_p4_hybrid", "fan_tiny_12_p16_224")


@pytest.mark.parametrize("name", TABLE)
def test_variant_table(name):
    stem, depth, dim, heads, tap = TABLE[name]
    variant = get_variant(name)
    assert (variant.stem_depths, variant.depth, variant.dim, variant.heads) == (
        stem, depth, dim, heads,
    )  # fmt: skip
    if tap is not None:
        assert variant.feature_blocks == (tap,)


def test_a_variant_cannot_be_changed():
    """All networks of a name share it."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_variant(TINY[0]).depth = 3


@pytest.mark.parametrize("name", TINY)
def test_timm_is_told_the_first_and_the_last_layers(name):
    with torch.device("meta"):
        model = timm.create_model(f"{name}_token", num_classes=3)
    config = model.pretrained_cfg
    assert model.get_submodule(config["first_conv"]).in_channels == 3
    for classifier in config["classifier"]:
        assert model.get_submodule(classifier).out_features == 3


def test_there_are_no_other_variants():
    assert {variant.name for variant in VARIANTS.values()} == set(TABLE)


def test_a_variant_is_found_by_each_of_its_names():
    names = ("large_hybrid", "fan_large_16_p4_hybrid", "fan_large_16_p4_hybrid_token")
    assert {get_variant(name).title for name in names} == {"FAN-L-Hybrid"}


def test_unknown_variant_lists_the_known_ones():
    with pytest.raises(KeyError, match=r"unknown FAN arch 'huge'; expected one of tiny_hybrid, "):
        get_variant("huge")


@pytest.mark.parametrize("suffix", ["", "_token"])
@pytest.mark.parametrize("name", TABLE)
def test_timm_builds_every_released_name(name, suffix):
    with torch.device("meta"):
        model = timm.create_model(name + suffix, num_classes=7).eval()
        out = model(torch.zeros(2, 3, 64, 48))
    if suffix:
        tokens = 3072 // get_variant(name).patch_stride ** 2
        assert [tuple(part.shape) for part in out] == [(2, 7), (2, tokens, 7)]
    else:
        assert tuple(out.shape) == (2, 7)
    blocks, dim = TABLE[name][1:3]
    assert (len(model.blocks), model.num_features) == (blocks, dim)


@pytest.mark.parametrize(
    ("name", "channels", "strides", "sizes"),
    [
        (
            "fan_tiny_8_p4_hybrid",
            [128, 256, 192, 192],
            [4, 8, 16, 16],
            [(16, 24), (8, 12), (4, 6), (4, 6)],
        ),
        ("fan_tiny_12_p16_224", [192] * 4, [16] * 4, [(4, 6)] * 4),
    ],
)
def test_features_only(name, channels, strides, sizes):
    with torch.device("meta"):
        model = timm.create_model(name, features_only=True).eval()
        maps = model(torch.zeros(1, 3, 64, 96))
    assert model.feature_info.channels() == channels
    assert model.feature_info.reduction() == strides
    shapes = [(1, c, *size) for c, size in zip(channels, sizes, strict=True)]
    assert [tuple(m.shape) for m in maps] == shapes


def test_features_only_of_chosen_maps(draw):
    model = timm.create_model(TINY[0], features_only=True, out_indices=(1, 3)).eval()
    whole = timm.create_model(TINY[0])
    whole.prune_intermediate_layers([1, 3])
    assert isinstance(whole.norm, nn.LayerNorm)
    x = draw(0, 1, 3, 32, 32)
    with torch.no_grad():
        maps, all_maps = model(x), model.model.forward_dense(x)
    assert model.feature_info.channels() == [256, 192]
    assert torch.equal(maps[0], all_maps[1])
    assert torch.equal(maps[1], all_maps[3])


def test_dense_maps_of_the_last_block_are_the_tokens_before_the_norm(make_small, draw):
    model = make_small("hybrid").eval()
    seen = {}
    model.cls_attn_blocks[-1].register_forward_hook(
        lambda module, args, output: seen.update(tokens=output)
    )
    x = draw(0, 2, 3, 48, 32)
    with torch.no_grad():
        model(x)
        last = model.forward_dense(x)[-1]
    expected = seen["tokens"][:, 1:].transpose(1, 2).reshape(2, 16, 3, 2)
    torch.testing.assert_close(last, expected, rtol=0, atol=1e-5)


def test_tap_takes_the_tokens_after_the_block(make_small, draw):
    model = make_small("hybrid", feature_blocks=(2,)).eval()
    seen = {}
    model.blocks[2].register_forward_hook(lambda module, args, output: seen.update(tokens=output))
    with torch.no_grad():
        tap = model.forward_dense(draw(0, 1, 3, 48, 32))[2]
    assert torch.equal(tap, seen["tokens"].transpose(1, 2).reshape(1, 16, 3, 2))


@pytest.mark.parametrize("blocks", [(0, 1), (3,), (-1,)])
def test_feature_blocks_that_do_not_fit(small_hybrid, blocks):
    message = r"must be 1 different block\(s\) in 0\.\.2, got " + re.escape(str(list(blocks)))
    with pytest.raises(ValueError, match=message):
        FAN(small_hybrid, feature_blocks=blocks)


@pytest.mark.parametrize("kind", ["hybrid", "vit"])
@pytest.mark.parametrize("size", [(33, 47), (70, 100), (32, 32)])
def test_maps_of_any_size(make_small, draw, kind, size):
    model = make_small(kind).eval()
    with torch.no_grad():
        maps = model.forward_dense(draw(0, 1, 3, *size))
    strides = (4, 8, 16, 16) if kind == "hybrid" else (16, 16, 16, 16)
    expected = [tuple(math.ceil(side / stride) for side in size) for stride in strides]
    assert [tuple(m.shape[-2:]) for m in maps] == expected


@pytest.mark.parametrize("size", [(31, 64), (64, 31), (16, 16)])
@pytest.mark.parametrize("call", ["forward", "forward_dense"])
def test_small_images_are_refused(make_small, size, call):
    message = f"image sides must be at least 32, got {size[0]}x{size[1]}"
    with pytest.raises(ValueError, match=message):
        getattr(make_small(), call)(torch.zeros(1, 3, *size))


@pytest.mark.parametrize("kind", ["hybrid", "vit"])
def test_odd_sizes_are_zero_padding_below_and_right_then_a_crop(make_small, draw, kind):
    model = make_small(kind).eval()
    x = draw(0, 2, 3, 33, 47)
    padded = F.pad(x, (0, 1, 0, 15))  # 48 x 48
    with torch.no_grad():
        maps, full = model.forward_dense(x), model.forward_dense(padded)
        for ours, whole in zip(maps, full, strict=True):
            assert torch.equal(ours, whole[..., : ours.shape[-2], : ours.shape[-1]])
        assert torch.equal(model(x), model(padded))


@pytest.mark.parametrize("kind", ["hybrid", "vit"])
def test_class_path_does_not_reach_the_dense_maps(make_small, draw, kind):
    model = make_small(kind).eval()
    x = draw(0, 1, 3, 64, 32)
    with torch.no_grad():
        before, logits = model.forward_dense(x), model(x)
        for parameter in model.class_path_parameters():
            parameter.add_(torch.ones_like(parameter))
        after = model.forward_dense(x)
        assert not torch.allclose(model(x), logits)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("kind", ["hybrid", "vit"])
def test_every_other_backbone_parameter_gets_a_gradient_from_the_maps(make_small, draw, kind):
    model = make_small(kind, num_classes=0).train()
    for index, dense_map in enumerate(model.forward_dense(draw(0, 2, 3, 64, 48))):
        (dense_map * draw(index + 1, *dense_map.shape)).sum().backward(retain_graph=True)
    class_path = {id(parameter) for parameter in model.class_path_parameters()}
    without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert without == {n for n, p in model.named_parameters() if id(p) in class_path}


def train_once(model, x):
    model.train()
    maps = model.forward_dense(x)
    logits = model(x)
    (sum(m.square().mean() for m in maps) + logits.square().mean()).backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return [*maps, logits], gradients


@pytest.mark.parametrize("kind", ["hybrid", "vit"])
def test_gradient_checkpointing_changes_no_output_and_no_gradient(make_small, draw, kind):
    x = draw(0, 2, 3, 48, 64)
    plain, saving = make_small(kind), make_small(kind)
    saving.set_grad_checkpointing()
    outputs, gradients = train_once(plain, x)
    same_outputs, same_gradients = train_once(saving, x)
    for one, other in zip(outputs, same_outputs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    torch.testing.assert_close(gradients, same_gradients, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["hybrid", "vit"])
def test_gradient_checkpointing_counts_a_batch_once(make_small, draw, kind):
    """Else BatchNorm's running statistics move twice as fast."""
    x = draw(0, 2, 3, 48, 64)
    plain, saving = make_small(kind), make_small(kind)
    saving.set_grad_checkpointing()
    train_once(plain, x)
    train_once(saving, x)
    counted = 0
    for (name, one), other in zip(plain.named_buffers(), saving.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6, msg=name)
        counted += name.endswith("num_batches_tracked")
    assert counted >= 3
    batches = saving.blocks[0].mlp.mlp_v.dwconv.bn.num_batches_tracked
    assert batches > 0
    before = int(batches)
    saving.eval()(x).sum().backward()  # which counts nothing, once or twice
    assert batches == before


@pytest.mark.parametrize("kind", ["hybrid", "vit"])
def test_gradient_checkpointing_recomputes_the_blocks(make_small, draw, kind):
    model = make_small(kind)
    runs = []
    model.blocks[0].register_forward_pre_hook(lambda *args: runs.append(1))
    model.set_grad_checkpointing()
    train_once(model, draw(0, 2, 3, 48, 64))
    assert len(runs) == 4  # dense and class forward, once more each in backward


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_gradient_checkpointing_in_a_compiled_network(small_vit, fill, draw, backend):
    """Statistics, counts and gradients are those of the plain network."""
    x = draw(0, 2, 3, 32, 48)
    variant = dataclasses.replace(small_vit, depth=1, feature_blocks=(0,))
    plain, saving = (fill(FAN(variant, num_classes=5)) for _ in range(2))
    saving.set_grad_checkpointing()
    saving.compile(backend=backend)
    for model in (plain, saving):
        model.train()(x).square().mean().backward()
    own, same = (
        [dict(model.named_buffers()), {n: p.grad for n, p in model.named_parameters()}]
        for model in (plain, saving)
    )
    torch.testing.assert_close(own, same, rtol=1e-4, atol=1e-6)
    assert saving.blocks[0].mlp.mlp_v.dwconv.bn.num_batches_tracked == 1


def test_all_blocks_drop_at_one_rate(small_vit):
    model = FAN(small_vit, drop_path_rate=0.3)
    assert [block.drop_path.drop_prob for block in model.blocks] == [0.3] * 4


def test_reset_classifier_to_another_number_of_classes(make_small, draw):
    model = make_small(token_head=True).eval()
    model.reset_classifier(3)
    logits, tokens = model(draw(0, 2, 3, 32, 48))
    assert (tuple(logits.shape), tuple(tokens.shape)) == ((2, 3), (2, 6, 3))
    assert model.num_classes == 3


def test_reset_classifier_brings_the_token_head_back(make_small):
    model = make_small(token_head=True)
    model.reset_classifier(0)
    model.reset_classifier(5)
    assert {tuple(head.weight.shape) for head in (model.head, model.aux_head)} == {
        (5, model.embed_dim)
    }


def test_reset_classifier_to_none_hands_out_the_class_token(make_small, draw):
    model = make_small(token_head=True).eval()
    model.reset_classifier(0)
    x = draw(0, 2, 3, 32, 48)
    with torch.no_grad():
        assert torch.equal(model(x), model.forward_features(x)[:, 0])
    assert not {name for name in model.state_dict() if "head" in name}


def test_reset_classifier_with_average_pooling(make_small, draw):
    model = make_small().eval()
    model.reset_classifier(3, global_pool="avg")
    x = draw(0, 2, 3, 32, 48)
    with torch.no_grad():
        expected = model.head(model.forward_features(x)[:, 1:].mean(dim=1))
        torch.testing.assert_close(model(x), expected)


def test_unknown_pooling_is_refused(make_small):
    with pytest.raises(ValueError, match=r"global_pool must be one of .* got 'max'"):
        make_small().reset_classifier(3, global_pool="max")


def test_forward_intermediates_gives_features_and_chosen_maps(make_small, draw):
    model = make_small("hybrid").eval()
    x = draw(0, 1, 3, 32, 48)
    with torch.no_grad():
        features, maps = model.forward_intermediates(x, indices=[0, 2])
        assert torch.equal(features, model.forward_features(x))
        assert all(map(torch.equal, maps, model.forward_dense(x, [0, 2])))


@pytest.mark.parametrize("option", [{"norm": True}, {"output_fmt": "NLC"}])
def test_forward_intermediates_refuses_what_it_cannot_give(make_small, option):
    with pytest.raises(ValueError, match="expected norm=False, output_fmt='NCHW'"):
        make_small().forward_intermediates(torch.zeros(1, 3, 32, 32), **option)


@pytest.mark.parametrize("kind", ["hybrid", "vit"])
@pytest.mark.parametrize("stride", [16, 8, 4])
def test_tokens_lie_a_patch_stride_apart(kind, stride):
    """32 px: 64 tokens at stride 4; the dense maps' strides follow."""
    variant = dataclasses.replace(get_variant(f"mini_{kind}"), patch_stride=stride)
    fan = FAN(variant, num_classes=3, token_head=True).eval()
    images = torch.rand(1, 3, 32, 34)
    grid = (32 // stride, math.ceil(34 / stride))
    assert fan.token_grid(images) == grid
    assert fan(images)[1].shape == (1, math.prod(grid), 3)
    for tokens, info in zip(fan.forward_dense(images), fan.feature_info, strict=True):
        reduction = info["reduction"]
        assert tokens.shape[1:] == (info["num_chs"], 32 // reduction, math.ceil(34 / reduction))


@pytest.mark.parametrize("arch", ["mini_hybrid", "mini_vit"])
def test_equal_seeds_give_equal_networks_with_and_without_a_token_head(arch):
    states = []
    for token_head in (False, True):
        torch.manual_seed(3)
        states.append(FAN(get_variant(arch), token_head=token_head).state_dict())
    plain, with_head = states
    assert set(with_head) - set(plain) == {"aux_head.weight", "aux_head.bias"}
    assert all(torch.equal(value, with_head[name]) for name, value in plain.items())


def test_initial_values(small_hybrid):
    torch.manual_seed(0)
    model = FAN(small_hybrid)
    state = model.state_dict()
    block = "blocks.0"
    for name in ("gamma1", "gamma2", "mlp.gamma1", "mlp.mlp_v.gamma", "mlp.temperature"):
        if f"{block}.{name}" in state:
            assert torch.all(state[f"{block}.{name}"] == 1), name
    assert torch.all(state["patch_embed.backbone.stages.0.blocks.0.gamma"] == 1e-6)
    assert torch.all(state["head.bias"] == 0)
    # 9 taps, one output channel per group: std sqrt(2 / 9); 64 x 9 numbers
    depthwise = state["blocks.0.mlp.mlp_v.dwconv.conv1.weight"]
    assert depthwise.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.1)
    assert state["head.weight"].std().item() == pytest.approx(0.02, rel=0.1)


BLOCKED = """
import importlib.abc, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"mmengine", "mmcv", "mmseg", "mmdet"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Refuse())
try:
    import mmengine
except ImportError:
    print("blocked")
import timm, torch
import stl_backbones.models
with torch.device("meta"):
    model = timm.create_model("fan_tiny_8_p4_hybrid_token")
print(type(model).__module__)
"""


def test_networks_need_no_openmmlab():
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": search},
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, ["blocked", "stl_backbones.models.fan"])


def test_img_size_is_taken_as_timm_passes_it(draw):
    torch.manual_seed(0)
    one = timm.create_model("fan_tiny_12_p16_224", num_classes=3).eval()
    torch.manual_seed(0)
    other = timm.create_model("fan_tiny_12_p16_224", num_classes=3, img_size=(96, 64)).eval()
    image = draw(0, 1, 3, 80, 48)
    assert torch.equal(one(image), other(image))
    with pytest.raises(ValueError, match="image sides must be at least 32, got 16x16"):
        timm.create_model("fan_tiny_12_p16_224", img_size=16)


def test_grey_images(draw):
    network = timm.create_model("fan_tiny_8_p4_hybrid", num_classes=3, in_chans=1).eval()
    assert network(draw(0, 1, 1, 64, 64)).shape == (1, 3)
