"""Pure formulas on numbers and arrays."""

from stl_backbones.metrics.robustness import (
    IncompleteCellsError,
    corruption_means,
    mean_over,
    retention,
    robust_mean,
)
from stl_backbones.metrics.segmentation import (
    IGNORE_INDEX,
    class_iou,
    confusion_matrix,
    mean_iou,
)

__all__ = [
    "IGNORE_INDEX",
    "IncompleteCellsError",
    "class_iou",
    "confusion_matrix",
    "corruption_means",
    "mean_iou",
    "mean_over",
    "retention",
    "robust_mean",
]
