"""Each layer against its formula, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from stl_backbones.models import FAN
from stl_backbones.models.layers import ChannelProcessing, FANBlock, TokenAttention
from stl_backbones.models.stem import UnbiasedLayerNorm2d

FORMATS = [torch.contiguous_format, torch.channels_last]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def softmax(values):
    powers = np.exp(values - values.max())
    return powers / powers.sum()


@pytest.fixture
def norm():
    layer = UnbiasedLayerNorm2d(3)
    layer.weight.data = torch.tensor([1.0, 2.0, -1.0])
    layer.bias.data = torch.tensor([0.0, 0.5, 0.25])
    return layer


@pytest.mark.parametrize("memory_format", FORMATS)
def test_stem_norm_divides_by_the_unbiased_variance(norm, draw, memory_format):
    x = draw(1, 2, 3, 5, 4)
    mean, variance = x.mean(dim=1, keepdim=True), torch.var(x, dim=1, unbiased=True, keepdim=True)
    weight, bias = norm.weight.view(1, 3, 1, 1), norm.bias.view(1, 3, 1, 1)
    expected = (x - mean) / torch.sqrt(variance + 1e-6) * weight + bias
    ours = norm(x.to(memory_format=memory_format))
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-6)


def test_stem_norm_of_one_pixel_by_hand(norm):
    # mean 2, squared deviations 1 + 0 + 1: unbiased variance 1, biased one 2/3
    ours = norm(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(ours, torch.tensor([-1.0, 0.5, -0.75]), rtol=0, atol=1e-5)


def test_stem_norm_adds_eps_to_the_unbiased_variance():
    layer = UnbiasedLayerNorm2d(2, eps=0.5)
    # mean 1, unbiased variance 2: deviations over sqrt(2.5)
    ours = layer(torch.tensor([0.0, 2.0]).view(1, 2, 1, 1)).flatten()
    torch.testing.assert_close(ours, torch.tensor([-1.0, 1.0]) / math.sqrt(2.5))


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(("released", "over"), [(True, 127), (False, 128)])
def test_stem_norms_of_a_network(small_hybrid, draw, memory_format, released, over):
    model = FAN(small_hybrid, num_classes=0, released_norm=released).eval()
    layer = model.patch_embed.backbone.stages[1].downsample[0]
    x = draw(3, 1, 128, 6, 4).to(memory_format=memory_format)
    centred = x - x.mean(dim=1, keepdim=True)
    variance = centred.square().sum(dim=1, keepdim=True) / over
    expected = centred / torch.sqrt(variance + 1e-6)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=5e-6)
    # The two differ by 0.4 %, far above that tolerance.
    assert (layer(x) - expected * math.sqrt(over / 127.5)).abs().max() > 1e-3


@pytest.mark.parametrize("released", [True, False])
def test_first_stem_norm_is_ordinary_in_both(small_hybrid, draw, released):
    model = FAN(small_hybrid, num_classes=0, released_norm=released).eval()
    x = draw(3, 1, 128, 6, 4)
    variance = torch.var(x, dim=1, unbiased=False, keepdim=True)
    expected = (x - x.mean(dim=1, keepdim=True)) / torch.sqrt(variance + 1e-6)
    ours = model.patch_embed.backbone.stem[1](x)
    torch.testing.assert_close(ours, expected, rtol=0, atol=5e-6)


def test_released_norm_sits_in_every_block_and_before_the_stride(small_hybrid):
    model = FAN(small_hybrid, num_classes=0)
    unbiased = {n for n, m in model.named_modules() if isinstance(m, UnbiasedLayerNorm2d)}
    stages = "patch_embed.backbone.stages"
    assert unbiased == {
        f"{stages}.0.blocks.0.norm", f"{stages}.1.blocks.0.norm", f"{stages}.1.downsample.0",
    }  # fmt: skip


def test_positional_encoding_is_the_published_formula(make_small):
    height, width = 5, 7
    code = np.zeros((64, height, width))
    for row in range(height):
        for column in range(width):
            y = (row + 1) / (height + 1e-6) * 2 * math.pi
            x = (column + 1) / (width + 1e-6) * 2 * math.pi
            for i in range(32):
                wave = math.sin if i % 2 == 0 else math.cos
                code[i, row, column] = wave(y / 10000 ** (2 * (i // 2) / 32))
                code[32 + i, row, column] = wave(x / 10000 ** (2 * (i // 2) / 32))
    layer = make_small().pos_embed
    weight = layer.token_projection.weight.detach().numpy()[:, :, 0, 0]
    bias = layer.token_projection.bias.detach().numpy()
    expected = np.einsum("ck,khw->chw", weight, code) + bias[:, None, None]
    with torch.no_grad():
        ours = layer(1, height, width)[0].numpy()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-6)


def test_channel_gate_is_the_published_formula(fill, draw):
    tokens, heads, width = 6, 2, 3
    layer = fill(ChannelProcessing(heads * width, heads, 12))
    z = draw(4, 2, tokens, heads * width)
    weight, bias = (p.detach().numpy().astype(float) for p in (layer.q.weight, layer.q.bias))
    expected = np.zeros((2, 1, heads * width))
    for image in range(2):
        z_image = z[image].numpy().astype(float)
        q = z_image @ weight.T + bias
        for head in range(heads):
            channels = range(head * width, (head + 1) * width)
            key = np.mean([softmax(z_image[:, c]) for c in channels], axis=0)
            for c in channels:
                total = sum(softmax(q[:, c])[n] * key[n] for n in range(tokens))
                expected[image, 0, c] = sigmoid(total) * layer.temperature[head].item()
    with torch.no_grad():
        ours = layer.gate(z).numpy()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)


def test_channel_processing_gates_the_normalised_mlp(fill, draw):
    layer = fill(ChannelProcessing(6, 2, 12)).eval()
    x = draw(5, 2, 20, 6)
    mlp = layer.mlp_v
    with torch.no_grad():
        hidden = mlp.fc1(x)
        planes = hidden.transpose(1, 2).reshape(2, 12, 4, 5)  # row-major tokens
        first, norm, second = mlp.dwconv.conv1, mlp.dwconv.bn, mlp.dwconv.conv2
        branch = second(norm(nn.functional.gelu(first(planes)))).flatten(2).transpose(1, 2)
        value = mlp.fc2(hidden + mlp.gamma * branch)
        mean, variance = value.mean(-1, keepdim=True), value.var(-1, unbiased=False, keepdim=True)
        normed = (value - mean) / torch.sqrt(variance + 1e-5)  # norm_v's own eps
        expected = layer.gate(x) * (normed * layer.norm_v.weight + layer.norm_v.bias)
        torch.testing.assert_close(layer(x, 4, 5), expected, rtol=0, atol=2e-6)


def test_token_attention_is_softmax_of_scaled_products(fill, draw):
    tokens, heads, width = 5, 2, 4
    layer = fill(TokenAttention(heads * width, heads))
    x = draw(6, 1, tokens, heads * width)
    with torch.no_grad():
        q, kv = layer.q(x)[0].numpy(), layer.kv(x)[0].numpy()
        k, v = kv[:, : heads * width], kv[:, heads * width :]
        mixed = np.zeros_like(q)
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            for n in range(tokens):
                scores = np.array([q[n, part] @ k[m, part] for m in range(tokens)])
                mixed[n, part] = softmax(scores * width**-0.5) @ v[:, part]
        expected = layer.proj(torch.from_numpy(mixed))
        torch.testing.assert_close(layer(x)[0], expected, rtol=0, atol=2e-6)


def test_block_adds_both_scaled_branches(fill, draw):
    block = fill(FANBlock(8, 2)).eval()
    x = draw(7, 1, 6, 8)
    with torch.no_grad():
        once = x + block.gamma1 * block.attn(block.norm1(x))
        expected = once + block.gamma2 * block.mlp(block.norm2(once), 2, 3)
        torch.testing.assert_close(block(x, 2, 3), expected, rtol=0, atol=1e-6)


def test_norm_eps_of_a_block():
    block = FANBlock(8, 2)
    eps = {name: m.eps for name, m in block.named_modules() if isinstance(m, nn.LayerNorm)}
    assert eps == {"norm1": 1e-6, "norm2": 1e-6, "mlp.norm_v": 1e-5}


def test_dropped_branches_leave_the_tokens_as_they_are(draw):
    block = FANBlock(8, 2, drop_path=1 - 1e-12).train()
    x = draw(8, 4, 6, 8)
    torch.testing.assert_close(block(x, 2, 3), x, rtol=0, atol=0)
