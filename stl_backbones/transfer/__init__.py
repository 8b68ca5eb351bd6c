"""What the task toolboxes build from: backbones, heads, float32 RoI heads."""

from stl_backbones.transfer.backbone import FANBackbone
from stl_backbones.transfer.convnext import ConvNeXt
from stl_backbones.transfer.detection_backbone import FANDetectionBackbone
from stl_backbones.transfer.float32_heads import (
    Float32BBoxHead,
    Float32MaskHead,
    Float32RoIExtractor,
    Float32RPNHead,
)
from stl_backbones.transfer.pretrained import (
    DilatedNetVGG16,
    FCN8sVGG16,
    TimmFeatures,
    WideResNet38Backbone,
)
from stl_backbones.transfer.segformer_head import LinearSegformerHead
from stl_backbones.transfer.swin import SwinTransformer
from stl_backbones.transfer.vgg_heads import DilatedContextHead, FCN8sHead

__all__ = [
    "ConvNeXt",
    "DilatedContextHead",
    "DilatedNetVGG16",
    "FANBackbone",
    "FANDetectionBackbone",
    "FCN8sHead",
    "FCN8sVGG16",
    "Float32BBoxHead",
    "Float32MaskHead",
    "Float32RPNHead",
    "Float32RoIExtractor",
    "LinearSegformerHead",
    "SwinTransformer",
    "TimmFeatures",
    "WideResNet38Backbone",
]
