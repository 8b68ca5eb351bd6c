"""FAN written down as its formulas stand: the peer that `backbone.py` measures against.

Explicit attention matrices, transposed copies, norms from mean and variance; the same parameters
and outputs as `stl_backbones.models.FAN`.
"""

from __future__ import annotations

import copy
from types import MethodType

import torch
from torch import Tensor, nn

from stl_backbones.models.fan import FAN
from stl_backbones.models.layers import ChannelProcessing, TokenAttention
from stl_backbones.models.stem import UnbiasedLayerNorm2d


def plain(network: FAN) -> FAN:
    """A copy of the network, of the same weights, that computes plainly."""
    network = copy.deepcopy(network)
    for module in network.modules():
        for kind, forward in _FORWARDS.items():
            if type(module) is kind:
                module.forward = MethodType(forward, module)  # type: ignore[method-assign]
    return network


def _token_attention(self: TokenAttention, x: Tensor) -> Tensor:
    batch, tokens, dim = x.shape
    width = dim // self.heads
    query = self.q(x).reshape(batch, tokens, self.heads, width).permute(0, 2, 1, 3)
    pair = self.kv(x).reshape(batch, tokens, 2, self.heads, width).permute(2, 0, 3, 1, 4)
    key, value = pair[0], pair[1]
    matrix = (query @ key.transpose(-2, -1)) * width**-0.5  # (B, h, N, N)
    mixed = matrix.softmax(dim=-1) @ value
    return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, dim))


def _channel_processing(self: ChannelProcessing, x: Tensor, height: int, width: int) -> Tensor:
    batch, tokens, dim = x.shape
    shape = (batch, tokens, self.heads, dim // self.heads)
    value = self.norm_v(self.mlp_v(x, height, width)).reshape(shape).permute(0, 2, 3, 1)
    query = self.q(x).reshape(shape).permute(0, 2, 3, 1).softmax(dim=-1)  # (B, h, d, N)
    key = x.reshape(shape).permute(0, 2, 3, 1).softmax(dim=-1).mean(dim=-2, keepdim=True)
    gate = torch.sigmoid(query @ key.transpose(-2, -1)) * self.temperature  # (B, h, d, 1)
    return (gate * value).permute(0, 3, 1, 2).reshape(batch, tokens, dim)


def _unbiased_norm(self: UnbiasedLayerNorm2d, x: Tensor) -> Tensor:
    mean = x.mean(dim=1, keepdim=True)
    variance = x.var(dim=1, keepdim=True, unbiased=True)
    normed = (x - mean) / torch.sqrt(variance + self.eps)
    return self.weight[:, None, None] * normed + self.bias[:, None, None]


_FORWARDS: dict[type[nn.Module], object] = {
    TokenAttention: _token_attention,
    ChannelProcessing: _channel_processing,
    UnbiasedLayerNorm2d: _unbiased_norm,
}
