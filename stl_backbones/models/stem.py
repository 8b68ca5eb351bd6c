"""From pixels to tokens: the ConvNeXt stem and the convolutional one.

Tokens are ``patch_stride`` pixels apart: 16 in all published FANs, less for small images.

References:
    Liu et al. 2022, "A ConvNet for the 2020s" (ConvNeXt), arXiv:2201.03545.
    Xiao et al. 2021, "Early Convolutions Help Transformers See Better", arXiv:2106.14881.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch.nn.functional as F
from timm.layers import LayerNorm2d
from timm.models.convnext import ConvNeXtStage
from timm.models.xcit import conv3x3
from torch import Tensor, nn

from stl_backbones.models.layers import NORM_EPS

PATCH_STRIDES = (4, 8, 16)


class UnbiasedLayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of a map that divides by the unbiased variance, over C - 1.

    The released weights were trained with it in every stem norm but the first.

    Args:
        channels: Channels C.
        eps: Added to the variance.
    """

    def __init__(self, channels: int, eps: float = NORM_EPS, **kwargs: Any) -> None:
        super().__init__(channels, eps=eps, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C, H, W)``, in any memory format."""
        channels = x.shape[1]
        # (x - mean) / sqrt(var * ratio + eps) is the ordinary norm with eps / ratio, over
        # sqrt(ratio): torch's fused kernel does it.
        ratio = channels / (channels - 1)
        scaled = self.weight * ratio**-0.5
        last = x.permute(0, 2, 3, 1)
        normed = F.layer_norm(last, (channels,), scaled, self.bias, self.eps / ratio)
        return normed.permute(0, 3, 1, 2)


class ConvNeXtTrunk(nn.Module):
    """The first two stages of a ConvNeXt.

    Args:
        channels: Channels C1, C2 of the stages.
        depths: Blocks per stage.
        in_chans: Channels of the image.
        released_norm: Use the released weights' norm, see `UnbiasedLayerNorm2d`.
        patch_stride: Pixels between tokens: four times the side of the patches that the first
            convolution takes.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        depths: tuple[int, int],
        in_chans: int,
        *,
        released_norm: bool,
        patch_stride: int,
    ) -> None:
        super().__init__()
        first, second = channels
        side = patch_stride // 4
        norm = partial(UnbiasedLayerNorm2d if released_norm else LayerNorm2d, eps=NORM_EPS)
        self.stem = nn.Sequential(
            nn.Conv2d(in_chans, first, kernel_size=side, stride=side),
            LayerNorm2d(first, eps=NORM_EPS),
        )
        stage = partial(ConvNeXtStage, conv_mlp=True, ls_init_value=1e-6, norm_layer=norm)
        self.stages = nn.ModuleList(
            [
                stage(first, first, stride=1, depth=depths[0]),
                stage(first, second, stride=2, depth=depths[1]),
            ]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map an image to ``(B, C1, 4h, 4w)`` and ``(B, C2, 2h, 2w)``, h x w the token grid."""
        first = self.stages[0](self.stem(x))
        return [first, self.stages[1](first)]


class HybridStem(nn.Module):
    """ConvNeXt stem of the hybrid variants.

    Args:
        dim: Channels of a token.
        channels: Channels of the two stages.
        depths: ConvNeXt blocks per stage.
        in_chans: Channels of the image.
        released_norm: Use the released weights' norm.
        patch_stride: Pixels between tokens, one of `PATCH_STRIDES`.
    """

    def __init__(
        self,
        dim: int,
        channels: tuple[int, int],
        depths: tuple[int, int],
        *,
        in_chans: int = 3,
        released_norm: bool = True,
        patch_stride: int = 16,
    ) -> None:
        super().__init__()
        self.backbone = ConvNeXtTrunk(
            channels, depths, in_chans, released_norm=released_norm, patch_stride=patch_stride
        )
        self.proj = nn.Conv2d(channels[1], dim, kernel_size=2, stride=2)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map ``(B, 3, H, W)`` to the token grid ``(B, C, h, w)`` and the two stem maps."""
        maps = self.backbone(x)
        return self.proj(maps[-1]), maps

    def set_grad_checkpointing(self, enable: bool) -> None:
        """Recompute the stages' activations in the backward pass."""
        for stage in self.backbone.stages:
            stage.grad_checkpointing = enable  # type: ignore[assignment]


class ConvStem(nn.Module):
    """Stride-2 convolutions of the ViT variants, four for tokens 16 pixels apart; XCiT's.

    Args:
        dim: Channels of a token.
        in_chans: Channels of the image.
        patch_stride: Pixels between tokens, one of `PATCH_STRIDES`.
    """

    def __init__(self, dim: int, *, in_chans: int = 3, patch_stride: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before, share = in_chans, patch_stride // 2
        while share:
            layers += [conv3x3(before, dim // share, stride=2), nn.GELU()]
            before, share = dim // share, share // 2
        self.proj = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map ``(B, 3, H, W)`` to the token grid ``(B, C, h, w)``; no maps."""
        return self.proj(x), []

    def set_grad_checkpointing(self, enable: bool) -> None:
        """Do nothing: the convolutions hold too little to recompute."""
