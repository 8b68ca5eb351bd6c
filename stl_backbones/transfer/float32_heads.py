"""Detection heads for mixed precision: low precision between boxes, float32 where boxes are.

Under autocast mmdet's heads hand out logits and box deltas in half precision, and its RoI
extractor rounds the boxes to it: to a multiple of 8 pixels at x = 1300 in bfloat16. Here
convolutions and linear layers follow autocast; RoIAlign, box coding, NMS and the losses see
float32. Parameter names are mmdet's.

mmcv's RoIAlign reads a map's memory as if it were contiguous. Behind a LayerNorm or a convolution
it often is not (channels last), and then every RoI shows mixed-up pixels, without an error.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor

from stl_backbones.registry import MODELS


@MODELS.register_module()
class Float32RPNHead(RPNHead):
    """mmdet's ``RPNHead`` whose objectness and box deltas are float32."""

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(B, C, H, W)`` to scores ``(B, A, H, W)`` and deltas ``(B, 4 A, H, W)``."""
        scores, deltas = super().forward_single(x)
        return scores.float(), deltas.float()


@MODELS.register_module()
class Float32BBoxHead(ConvFCBBoxHead):
    """mmdet's ``ConvFCBBoxHead`` whose class logits and box deltas are float32."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map RoI features ``(R, C, 7, 7)`` to logits ``(R, K + 1)`` and deltas ``(R, 4 K)``."""
        logits, deltas = super().forward(x)
        return logits.float(), deltas.float()


@MODELS.register_module()
class Float32MaskHead(FCNMaskHead):
    """mmdet's ``FCNMaskHead`` whose mask logits are float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Map RoI features ``(R, C, 14, 14)`` to mask logits ``(R, K, 28, 28)``."""
        return super().forward(x).float()


@MODELS.register_module()
class Float32RoIExtractor(SingleRoIExtractor):
    """mmdet's ``SingleRoIExtractor`` in float32, on maps of any memory format."""

    def forward(
        self, feats: Sequence[Tensor], rois: Tensor, roi_scale_factor: float | None = None
    ) -> Tensor:
        """Cut RoIs ``(R, 5)`` out of maps ``(B, C, H_i, W_i)``: ``(R, C, S, S)``."""
        with torch.autocast(rois.device.type, enabled=False):
            maps = tuple(features.float().contiguous() for features in feats)
            return super().forward(maps, rois.float(), roi_scale_factor)


__all__ = ["Float32BBoxHead", "Float32MaskHead", "Float32RPNHead", "Float32RoIExtractor"]
