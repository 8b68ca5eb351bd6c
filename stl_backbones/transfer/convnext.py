"""ConvNeXt as a pyramid, for mmseg's and mmdet's configs of it where mmpretrain is not installed.

Parameters have mmpretrain's names, so the weights that mmseg and mmdet released load key for key;
those of the authors' segmentation models and detectors are renamed.

References:
    Liu et al. 2022, arXiv:2201.03545.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from mmengine.model import BaseModule
from timm.layers import DropPath, LayerNorm2d
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stl_backbones.errors import InputError, unknown_name
from stl_backbones.registry import MODELS

# arXiv:2201.03545, section 3 and appendix A: blocks and channels of the four stages.
ARCHS = {
    "tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
    "xlarge": ((3, 3, 27, 3), (256, 512, 1024, 2048)),
}
# The authors' names -> mmpretrain's, of what differs.
_RENAMED = {
    ".dwconv.": ".depthwise_conv.",
    ".pwconv1.": ".pointwise_conv1.",
    ".pwconv2.": ".pointwise_conv2.",
}
_EPS = 1e-6
_EXPANSION = 4


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7 convolution, LayerNorm, and two linear layers over the channels.

    Args:
        dim: Channels.
        drop_path: Probability of leaving the branch out in training.
        layer_scale: Start value of the factor of each channel; 0 for no factors.
        with_cp: Recompute the block in the backward pass, to save memory.
    """

    def __init__(
        self, dim: int, *, drop_path: float, layer_scale: float, with_cp: bool = False
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.depthwise_conv = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=_EPS)
        self.pointwise_conv1 = nn.Linear(dim, _EXPANSION * dim)
        self.act = nn.GELU()
        self.pointwise_conv2 = nn.Linear(_EXPANSION * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), layer_scale)) if layer_scale > 0 else None
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` in and out."""
        if self.with_cp and x.requires_grad:
            return cast("Tensor", checkpoint(self._forward, x, use_reentrant=False))
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        out = self.depthwise_conv(x).permute(0, 2, 3, 1)
        out = self.pointwise_conv2(self.act(self.pointwise_conv1(self.norm(out))))
        if self.gamma is not None:
            out = out * self.gamma
        return x + self.drop_path(out.permute(0, 3, 1, 2))


@MODELS.register_module()
class ConvNeXt(BaseModule):
    """ConvNeXt: ``dict(type='stl_backbones.ConvNeXt', arch='tiny')``.

    Maps at strides 4, 8, 16 and 32, each through a LayerNorm over its channels.

    Args:
        arch: ``'tiny'``, ``'small'``, ``'base'``, ``'large'`` or ``'xlarge'``.
        out_indices: Which of the four maps to return.
        drop_path_rate: Of the last block; it grows linearly from 0.
        layer_scale_init_value: Start value of the channels' factors.
        with_cp: Recompute blocks in the backward pass, to save memory.
        gap_before_final_norm: Must be false: a pyramid needs maps.
        init_cfg: As in mmengine.

    Raises:
        KeyError: If ``arch`` is unknown.
        ValueError: If ``gap_before_final_norm`` is true.
    """

    def __init__(
        self,
        arch: str = "tiny",
        *,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float = 1e-6,
        with_cp: bool = False,
        gap_before_final_norm: bool = False,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if arch not in ARCHS:
            raise unknown_name("ConvNeXt arch", arch, ARCHS)
        if gap_before_final_norm:
            raise InputError("gap_before_final_norm must be False: a pyramid needs maps")
        depths, dims = ARCHS[arch]
        self.out_indices = tuple(out_indices)
        rates = iter(np.linspace(0, drop_path_rate, sum(depths)).tolist())
        stem = nn.Sequential(
            nn.Conv2d(3, dims[0], kernel_size=4, stride=4), LayerNorm2d(dims[0], eps=_EPS)
        )
        self.downsample_layers = nn.ModuleList([stem])
        for before, dim in pairwise(dims):
            norm = LayerNorm2d(before, eps=_EPS)
            conv = nn.Conv2d(before, dim, kernel_size=2, stride=2)
            self.downsample_layers.append(nn.Sequential(norm, conv))
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    ConvNeXtBlock(
                        dim,
                        drop_path=next(rates),
                        layer_scale=layer_scale_init_value,
                        with_cp=with_cp,
                    )
                    for _ in range(depth)
                )
            )
            for dim, depth in zip(dims, depths, strict=True)
        )
        for index in self.out_indices:
            self.add_module(f"norm{index}", LayerNorm2d(dims[index], eps=_EPS))

    def rename_released(self, weights: MutableMapping[str, Tensor], *, prefix: str) -> None:
        """Give this backbone's part of an authors' model mmpretrain's names, in place.

        Args:
            weights: The whole model's parameter name -> tensor.
            prefix: What the names of the backbone's parameters begin with, ``'backbone.'``.
        """
        for name in [name for name in weights if name.startswith(prefix)]:
            for theirs, ours in _RENAMED.items():
                if theirs in name:
                    weights[name.replace(theirs, ours)] = weights.pop(name)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """``(B, 3, H, W)`` -> contiguous maps ``(B, C, H / stride, W / stride)``."""
        maps = []
        for index, (downsample, stage) in enumerate(
            zip(self.downsample_layers, self.stages, strict=True)
        ):
            x = stage(downsample(x))
            if index in self.out_indices:
                maps.append(self.get_submodule(f"norm{index}")(x).contiguous())
        return tuple(maps)


__all__ = ["ARCHS", "ConvNeXt", "ConvNeXtBlock"]
