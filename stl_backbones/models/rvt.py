"""RVT*: a ViT of the components that its authors found robust, with learned attention scales.

After the paper: a convolutional stem, a depthwise convolution inside the feed-forward layer, the
mean of all tokens instead of a class token, and attention that weighs each pair of positions before
the softmax. It was written without the paper's text at hand: the stem's width, and which blocks
weigh positions, were chosen so that parameters come within 1 % of the published 23.3 M and 91.8 M.
So the authors' files do not fit. Their patch-wise augmentation, which is training alone, is not
here.

References:
    Mao et al. 2022, "Towards Robust Vision Transformer", arXiv:2105.07926.
    Yuan et al. 2021, "Incorporating Convolution Designs into Visual Transformers" (CeiT),
    arXiv:2103.11816: the stem.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import DropPath, to_2tuple, trunc_normal_
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__: list[str] = ["RVT"]  # register_model adds the names

STEM_CHANNELS = 32
STRIDE = 16
MLP_RATIO = 4


@dataclass(frozen=True)
class Size:
    """What differs between the RVTs: depth, channels, heads, and how many blocks weigh pairs."""

    depth: int
    dim: int
    heads: int
    weighing: int


SIZES = {"s": Size(12, 384, 6, weighing=5), "b": Size(12, 768, 12, weighing=12)}


class Stem(nn.Module):
    """A convolution, a maximum, and one token per 4x4 patch of the result.

    Args:
        dim: Channels of a token.
        in_chans: Channels of the image.
    """

    def __init__(self, dim: int, in_chans: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_chans, STEM_CHANNELS, 7, stride=2, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(STEM_CHANNELS)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.proj = nn.Conv2d(STEM_CHANNELS, dim, STRIDE // 4, stride=STRIDE // 4)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to ``(B, C, H / 16, W / 16)``."""
        return self.proj(self.pool(self.norm(self.conv(x))))


class Attention(nn.Module):
    """Self-attention whose scores are weighed by learned factors of each pair of positions.

    Args:
        dim: Channels C.
        heads: Attention heads; divides ``dim``.
        positions: Tokens N, whose pairs have factors; 0: no factors.
    """

    def __init__(self, dim: int, heads: int, positions: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.weights = nn.Parameter(torch.ones(heads, positions, positions)) if positions else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``."""
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if self.weights is None:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
            mixed = (scores * self.weights).softmax(dim=-1) @ value
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, dim))


class ConvFeedForward(nn.Module):
    """Two linear layers around a depthwise convolution on the token grid.

    Args:
        dim: Channels C.
        hidden: Channels between the two.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.conv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.act = nn.GELU()

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``; N = rows * columns of the grid."""
        hidden = self.act(self.fc1(x)).transpose(1, 2).unflatten(2, grid)
        return self.fc2(self.act(self.conv(hidden)).flatten(2).transpose(1, 2))


class Block(nn.Module):
    """Attention and convolutional feed-forward layer, both residual.

    Args:
        dim: Channels C.
        heads: Attention heads; divides ``dim``.
        positions: As for `Attention`.
        drop_path: Chance to drop a branch in training.
    """

    def __init__(self, dim: int, heads: int, *, positions: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads, positions)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = ConvFeedForward(dim, MLP_RATIO * dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``; N = rows * columns of the grid."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x), grid))


class RVT(nn.Module):
    """RVT* on images of one size.

    Args:
        size: Depth, channels, heads, blocks that weigh positions.
        num_classes: Classes K; 0 leaves the classifier out.
        in_chans: Channels of the image.
        img_size: Side of the images, or height and width: multiples of 16.
        drop_path_rate: Of the last block; it grows linearly from 0.
    """

    def __init__(
        self,
        size: Size,
        *,
        num_classes: int = 1000,
        in_chans: int = 3,
        img_size: int | tuple[int, int] = 224,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        dim = self.num_features = self.head_hidden_size = size.dim
        self.num_classes = num_classes
        self.grad_checkpointing = False
        height, width = to_2tuple(img_size)
        self.grid = (height // STRIDE, width // STRIDE)
        positions = self.grid[0] * self.grid[1]
        self.stem = Stem(dim, in_chans)
        self.pos_embed = nn.Parameter(torch.zeros(1, positions, dim))
        rates = torch.linspace(0, drop_path_rate, size.depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(
            Block(
                dim,
                size.heads,
                positions=positions if index < size.weighing else 0,
                drop_path=rate,
            )
            for index, rate in enumerate(rates)
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, num_classes) if num_classes else nn.Identity()
        trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to tokens ``(B, N, C)``."""
        tokens = self.stem(x).flatten(2).transpose(1, 2) + self.pos_embed
        for block in self.blocks:
            if self.grad_checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, self.grid, use_reentrant=False)
            else:
                tokens = block(tokens, self.grid)
        return self.norm(tokens)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Map tokens ``(B, N, C)`` to logits ``(B, K)``; ``pre_logits``: their mean ``(B, C)``."""
        pooled = x.mean(dim=1)
        return pooled if pre_logits else self.head(pooled)

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` to logits ``(B, K)``."""
        return self.forward_head(self.forward_features(x))

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Parameters beyond biases and norms that get no weight decay."""
        weights = {f"blocks.{i}.attn.weights" for i in range(len(self.blocks))}
        return {"pos_embed", *(weights & {name for name, _ in self.named_parameters()})}

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute activations in the backward pass: less memory, more time."""
        self.grad_checkpointing = enable

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        """The class head."""
        return self.head


_CONFIG: dict[str, object] = {
    "url": "",
    "num_classes": 1000,
    "input_size": (3, 224, 224),
    "pool_size": None,
    "fixed_input_size": True,
    "crop_pct": 0.875,
    "interpolation": "bicubic",
    "mean": IMAGENET_DEFAULT_MEAN,
    "std": IMAGENET_DEFAULT_STD,
    "first_conv": "stem.conv",
    "classifier": "head",
}
default_cfgs = generate_default_cfgs({f"rvt_{letter}": _CONFIG for letter in SIZES})


def _entry_point(name: str, size: Size) -> Callable[..., RVT]:
    def create(pretrained: bool = False, **kwargs: Any) -> RVT:
        return build_model_with_cfg(RVT, name, pretrained, size=size, **kwargs)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"RVT* with {size.depth} blocks of {size.dim} channels."
    return create


for _letter, _size in SIZES.items():
    globals()[f"rvt_{_letter}"] = register_model(_entry_point(f"rvt_{_letter}", _size))
