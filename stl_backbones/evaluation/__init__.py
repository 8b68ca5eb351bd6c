"""Adapters between mmengine's evaluation loop and `stl_backbones.metrics`."""

from stl_backbones.evaluation.classification import TopKAccuracy
from stl_backbones.evaluation.segmentation import ConfusionMatrixMetric, sample_confusion

__all__ = ["ConfusionMatrixMetric", "TopKAccuracy", "sample_confusion"]
