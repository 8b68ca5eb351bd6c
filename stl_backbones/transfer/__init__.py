"""What the task toolboxes build from: the FAN backbone and the paper's heads."""

from stl_backbones.transfer.backbone import FANBackbone
from stl_backbones.transfer.segformer_head import LinearSegformerHead

__all__ = ["FANBackbone", "LinearSegformerHead"]
