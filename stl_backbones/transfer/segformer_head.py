"""The SegFormer head as the paper trains it: plain linear projections.

References:
    Xie et al. 2021, "SegFormer", arXiv:2105.15203, section 3.2.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from stl_backbones.registry import MODELS


@MODELS.register_module()
class LinearSegformerHead(BaseDecodeHead):
    """All-MLP head: project each map linearly, upsample to the first, fuse, classify.

    mmseg's ``SegformerHead`` puts BatchNorm and ReLU on the projections as well; this one does not.

    The fusing 1x1 convolution of the concatenated maps is computed map by map, before upsampling
    and multiplied into the projection: the same function (bilinear weights sum to one, and neither
    layer has anything between them), at a fraction of the cost.

    Args:
        channels: The embedding size, 768 in the paper.
        **kwargs: As for mmseg's ``BaseDecodeHead``: in_channels, in_index, num_classes, norm_cfg,
            dropout_ratio, loss_decode and so on.
    """

    def __init__(self, *, channels: int = 768, **kwargs: Any) -> None:
        super().__init__(input_transform="multiple_select", channels=channels, **kwargs)
        self.projections = nn.ModuleList(nn.Linear(width, channels) for width in self.in_channels)
        self.fuse = ConvModule(
            channels * len(self.in_channels),
            channels,
            kernel_size=1,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Map backbone maps ``(B, C_i, H_i, W_i)`` to logits ``(B, K, H_0, W_0)``."""
        maps = self._transform_inputs(inputs)
        size = maps[0].shape[-2:]
        weights = self.fuse.conv.weight.flatten(1).chunk(len(maps), dim=1)
        fused: Tensor | None = None
        for x, projection, weight in zip(maps, self.projections, weights, strict=True):
            kernel = (weight @ projection.weight)[..., None, None]
            partial = F.conv2d(x, kernel, weight @ projection.bias)
            if partial.shape[-2:] != size:
                partial = F.interpolate(
                    partial, size=size, mode="bilinear", align_corners=self.align_corners
                )
            fused = partial if fused is None else fused + partial
        if self.fuse.conv.bias is not None:
            fused = fused + self.fuse.conv.bias[:, None, None]
        if self.fuse.with_norm:
            fused = self.fuse.norm(fused)
        return self.cls_seg(self.fuse.activate(fused) if self.fuse.with_activation else fused)
