"""Pure formulas on numbers and arrays."""

from stl_backbones.metrics.bootstrap import (
    LEVEL,
    Replicates,
    paired_p_value,
    percentile_interval,
    percentile_intervals,
    resample_counts,
    weighted_sums,
)
from stl_backbones.metrics.breaking_point import breaking_intervals, breaking_point
from stl_backbones.metrics.calibration import (
    NUM_BINS,
    binned_error,
    binned_terms,
    calibration_error,
    calibration_terms,
)
from stl_backbones.metrics.class_accuracy import ClassAccuracy, ClassScores
from stl_backbones.metrics.classification import hits, mean_of_terms
from stl_backbones.metrics.corruption_error import (
    ALEXNET_CLEAN_ERROR,
    ALEXNET_ERRORS,
    corruption_error_cells,
    mean_corruption_error,
    relative_corruption_error,
)
from stl_backbones.metrics.detection import AP_NUMBERS, AveragePrecision, average_precision
from stl_backbones.metrics.robustness import (
    IncompleteCellsError,
    Score,
    corruption_means,
    mean_of,
    mean_over,
    retention,
    robust_mean,
    share,
)
from stl_backbones.metrics.segmentation import (
    IGNORE_INDEX,
    class_iou,
    class_iou_of_terms,
    confusion_matrix,
    find_ignored,
    ignored_text,
    iou_terms,
    mean_iou,
    mean_iou_of_terms,
)

__all__ = [
    "ALEXNET_CLEAN_ERROR",
    "ALEXNET_ERRORS",
    "AP_NUMBERS",
    "IGNORE_INDEX",
    "LEVEL",
    "NUM_BINS",
    "AveragePrecision",
    "ClassAccuracy",
    "ClassScores",
    "IncompleteCellsError",
    "Replicates",
    "Score",
    "average_precision",
    "binned_error",
    "binned_terms",
    "breaking_intervals",
    "breaking_point",
    "calibration_error",
    "calibration_terms",
    "class_iou",
    "class_iou_of_terms",
    "confusion_matrix",
    "corruption_error_cells",
    "corruption_means",
    "find_ignored",
    "hits",
    "ignored_text",
    "iou_terms",
    "mean_corruption_error",
    "mean_iou",
    "mean_iou_of_terms",
    "mean_of",
    "mean_of_terms",
    "mean_over",
    "paired_p_value",
    "percentile_interval",
    "percentile_intervals",
    "relative_corruption_error",
    "resample_counts",
    "retention",
    "robust_mean",
    "share",
    "weighted_sums",
]
