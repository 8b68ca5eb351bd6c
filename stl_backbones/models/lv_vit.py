"""LV-ViT: a ViT with a convolutional patch embedding and a classifier for each patch token.

The paper leaves some choices open; they are the usual ones here: no bias in q, k and v, torch's eps
in the norms, a dropped branch's rate that grows with the depth. The parameters are those of the
published counts, 26.15 M (S) and 55.83 M (M) to the last digit.

References:
    Jiang et al. 2021, "All Tokens Matter: Token Labeling for Training Better Vision Transformers",
    arXiv:2104.10858.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import DropPath, Mlp, to_2tuple, trunc_normal_
from timm.layers.attention import Attention
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__: list[str] = ["LVViT"]  # register_model adds the names

STEM_CHANNELS = 64
PATCH = 16
MLP_RATIO = 3


@dataclass(frozen=True)
class Size:
    """What differs between the LV-ViTs: depth, channels, heads, and the divisor of branches."""

    depth: int
    dim: int
    heads: int
    divisor: float
    crop_pct: float


# arXiv:2104.10858, section 4.1. Each branch is divided by 2; in the tiny one, which came later, by
# 1 (from memory of its release: no paper says it).
SIZES = {
    "t": Size(12, 240, 4, 1.0, 0.9),
    "s": Size(16, 384, 6, 2.0, 0.9),
    "m": Size(20, 512, 8, 2.0, 1.0),
}


class ConvPatchEmbed(nn.Module):
    """Four convolutions from the image to one token per 16x16 patch.

    Args:
        dim: Channels of a token.
        in_chans: Channels of the image.
    """

    def __init__(self, dim: int, in_chans: int = 3) -> None:
        super().__init__()
        width = STEM_CHANNELS
        self.conv1 = nn.Conv2d(in_chans, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.proj = nn.Conv2d(width, dim, PATCH // 2, stride=PATCH // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to ``(B, N, C)``, N = H W / 256."""
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        x = self.bn3(self.conv3(x)).relu()
        return self.proj(x).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Attention and MLP, each branch divided by a constant before it is added.

    Args:
        dim: Channels C.
        heads: Attention heads; divides ``dim``.
        divisor: What branches are divided by.
        drop_path: Chance to drop a branch in training.
    """

    def __init__(self, dim: int, heads: int, *, divisor: float, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, MLP_RATIO * dim)
        self.divisor = divisor

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``."""
        x = x + self.drop_path(self.attn(self.norm1(x))) / self.divisor
        return x + self.drop_path(self.mlp(self.norm2(x))) / self.divisor


class LVViT(nn.Module):
    """LV-ViT on images of one size.

    Args:
        size: Depth, channels, heads.
        num_classes: Classes K; 0 leaves the classifiers out.
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
        self.patch_embed = ConvPatchEmbed(dim, in_chans)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        height, width = to_2tuple(img_size)
        patches = (height // PATCH) * (width // PATCH)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + patches, dim))
        rates = torch.linspace(0, drop_path_rate, size.depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(
            Block(dim, size.heads, divisor=size.divisor, drop_path=rate) for rate in rates
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes) if num_classes else nn.Identity()
        self.aux_head = nn.Linear(dim, num_classes) if num_classes else None
        for tokens in (self.cls_token, self.pos_embed):
            trunc_normal_(tokens, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to tokens ``(B, 1 + N, C)``, the class token first."""
        tokens = self.patch_embed(x)
        tokens = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), dim=1)
        tokens = tokens + self.pos_embed
        for block in self.blocks:
            if self.grad_checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
        return self.norm(tokens)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Any:
        """Map tokens ``(B, 1 + N, C)`` to class logits ``(B, K)`` and token logits ``(B, N, K)``.

        Without classifiers, or with ``pre_logits``: the class token ``(B, C)``.
        """
        if pre_logits or self.aux_head is None:
            return x[:, 0]
        return self.head(x[:, 0]), self.aux_head(x[:, 1:])

    def forward(self, x: Tensor) -> Any:
        """Map images ``(B, 3, H, W)`` to what `forward_head` gives."""
        return self.forward_head(self.forward_features(x))

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Parameters beyond biases and norms that get no weight decay."""
        return {"cls_token", "pos_embed"}

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute activations in the backward pass: less memory, more time."""
        self.grad_checkpointing = enable

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        """The class head."""
        return self.head


def _config(size: Size) -> dict[str, object]:
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": None,
        "fixed_input_size": True,
        "crop_pct": size.crop_pct,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "patch_embed.conv1",
        "classifier": ("head", "aux_head"),
    }


default_cfgs = generate_default_cfgs({f"lv_vit_{s}": _config(size) for s, size in SIZES.items()})


def _entry_point(name: str, size: Size) -> Callable[..., LVViT]:
    def create(pretrained: bool = False, **kwargs: Any) -> LVViT:
        return build_model_with_cfg(LVViT, name, pretrained, size=size, **kwargs)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"LV-ViT with {size.depth} blocks of {size.dim} channels."
    return create


for _letter, _size in SIZES.items():
    globals()[f"lv_vit_{_letter}"] = register_model(_entry_point(f"lv_vit_{_letter}", _size))
