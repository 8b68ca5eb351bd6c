"""What the task toolboxes build from: backbones, the paper's head, float32 RoI heads."""

from stl_backbones.transfer.backbone import FANBackbone
from stl_backbones.transfer.convnext import ConvNeXt
from stl_backbones.transfer.detection_backbone import FANDetectionBackbone
from stl_backbones.transfer.float32_heads import (
    Float32BBoxHead,
    Float32MaskHead,
    Float32RoIExtractor,
    Float32RPNHead,
)
from stl_backbones.transfer.segformer_head import LinearSegformerHead
from stl_backbones.transfer.swin import SwinTransformer

__all__ = [
    "ConvNeXt",
    "FANBackbone",
    "FANDetectionBackbone",
    "Float32BBoxHead",
    "Float32MaskHead",
    "Float32RPNHead",
    "Float32RoIExtractor",
    "LinearSegformerHead",
    "SwinTransformer",
]
