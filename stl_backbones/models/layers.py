"""The layers that make FAN: token attention, channel attention, and their block.

Shapes: B images, N = H * W tokens on an H x W grid, C channels, h heads of d = C / h channels.

References:
    Zhou et al. 2022, "Understanding The Robustness in Vision Transformers", arXiv:2204.12451.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers import DropPath
from timm.models.xcit import LPI
from torch import Tensor, nn

NORM_EPS = 1e-6
_FEW_TOKENS = 256
NORM_V_EPS = 1e-5  # `norm_v` alone keeps torch's default in the released networks


class TokenAttention(nn.Module):
    """Multi-head self-attention over the tokens.

    Args:
        dim: Channels C.
        heads: Attention heads h; divides ``dim``.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``."""
        batch, tokens, dim = x.shape
        per_head = (batch, tokens, self.heads, dim // self.heads)
        key, value = self.kv(x).chunk(2, dim=-1)
        mixed = _attend(
            self.q(x).view(per_head).transpose(1, 2),
            key.reshape(per_head).transpose(1, 2),
            value.reshape(per_head).transpose(1, 2),
        )
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, dim))


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of ``(B, h, N, d)``, by products of matrices where torch's kernel is slower.

    That is in training on the CPU with few tokens: a step of 64 tokens takes 1.5 times as long by
    the kernel, one of 196 tokens 1.15 times, of 1,024 as long (`benchmarks/attention.py`).
    """
    trains = torch.is_grad_enabled() and query.requires_grad
    if query.device.type == "cpu" and trains and query.shape[-2] <= _FEW_TOKENS:
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        return scores.softmax(dim=-1).to(value.dtype) @ value
    return F.scaled_dot_product_attention(query, key, value)


class ConvMlp(nn.Module):
    """Two linear layers around a depthwise convolution on the token grid.

    Args:
        dim: Channels C of input and output.
        hidden_dim: Channels between the two.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.dwconv = LPI(hidden_dim)
        self.gamma = nn.Parameter(torch.ones(hidden_dim))
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``, N = height * width."""
        hidden = self.fc1(x)
        mixed = self._mix_neighbours(hidden, height, width)
        # The only activation is the one inside the depthwise branch.
        return self.fc2(torch.addcmul(hidden, self.gamma.to(hidden.dtype), mixed))

    def _mix_neighbours(self, hidden: Tensor, height: int, width: int) -> Tensor:
        """What `LPI.forward` computes, on the tokens as they lie in memory: channels last.

        Its own reshaping leads torch to another layout where there is one image, and to copies.
        """
        grid = hidden.reshape(len(hidden), height, width, -1).permute(0, 3, 1, 2)
        conv = self.dwconv
        mixed = conv.conv2(conv.bn(conv.act(conv.conv1(grid))))
        return mixed.permute(0, 2, 3, 1).reshape(hidden.shape).to(hidden.dtype)


class ChannelProcessing(nn.Module):
    """FAN's channel attention: one gate per channel, from statistics over all tokens.

    Args:
        dim: Channels C.
        heads: Heads h; divides ``dim``.
        hidden_dim: Hidden channels of the value branch.
    """

    def __init__(self, dim: int, heads: int, hidden_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.q = nn.Linear(dim, dim)
        self.mlp_v = ConvMlp(dim, hidden_dim)
        self.norm_v = nn.LayerNorm(dim, eps=NORM_V_EPS)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``, N = height * width."""
        value = self.norm_v(self.mlp_v(x, height, width))
        return self.gate(x).to(value.dtype) * value

    def gate(self, x: Tensor) -> Tensor:
        """Return the channel gates ``(B, 1, C)`` of tokens ``(B, N, C)``."""
        batch, tokens, dim = x.shape
        per_head = (batch, tokens, self.heads, dim // self.heads)
        query = self.q(x).softmax(dim=1).view(per_head)
        key = x.softmax(dim=1).view(per_head).mean(dim=-1)  # (B, N, h): a weight per token
        summed = torch.einsum("bnhd,bnh->bhd", query, key)
        gate = torch.sigmoid(summed) * self.temperature.view(1, self.heads, 1)
        return gate.reshape(batch, 1, dim)


class FANBlock(nn.Module):
    """Token attention, then channel processing, each residual with LayerScale.

    Args:
        dim: Channels C.
        heads: Attention heads; divides ``dim``.
        mlp_ratio: Hidden channels of the value branch, as a multiple of ``dim``.
        drop_path: Chance to drop a residual branch in training.
    """

    def __init__(
        self, dim: int, heads: int, *, mlp_ratio: float = 4.0, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = TokenAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = ChannelProcessing(dim, heads, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()
        self.gamma1 = nn.Parameter(torch.ones(dim))
        self.gamma2 = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``, N = height * width."""
        x = x + self.drop_path(self.gamma1 * self.attn(self.norm1(x)))
        return x + self.drop_path(self.gamma2 * self.mlp(self.norm2(x), height, width))
