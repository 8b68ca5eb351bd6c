"""Which numbers a cell's samples make, by task."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.metrics import (
    calibration_error,
    calibration_terms,
    class_iou,
    hits,
    iou_terms,
    mean_iou_of_terms,
    mean_of_terms,
)
from stl_backbones.records import CellResult
from stl_backbones.report.cell_metrics import ClassScores, TaskMetric
from stl_backbones.report.detection_metrics import DETECTION
from stl_backbones.report.sums import SumMetric, scores_of_sums

_MOST_PIXELS = 2**53  # beyond it float64, in which resamples are summed, skips integers


def _confusions(result: CellResult) -> npt.NDArray[np.integer]:
    """The ``(N, K, K)`` per-image matrices of a cell."""
    classes = len(result.provenance.classes)
    expected = (len(result.image_ids), classes, classes)
    samples = result.samples.get("confusion_matrix")
    found = None if samples is None else samples.shape
    if samples is None or found != expected or not np.issubdtype(samples.dtype, np.integer):
        raise InputError(
            f"expected a sample 'confusion_matrix' of integers and shape (images, classes, "
            f"classes) = {expected}, got {found}"
        )
    if samples.size and samples.min() < 0:
        raise InputError(f"sample 'confusion_matrix' must hold no negative, got {samples.min()}")
    pixels = samples.sum(dtype=np.float64)
    if pixels > _MOST_PIXELS:
        raise InputError(
            f"sample 'confusion_matrix' must count at most {_MOST_PIXELS} pixels, got {pixels:.0f}"
        )
    return samples.astype(np.int64, copy=False)


def _segmentation_class_scores(result: CellResult) -> ClassScores:
    confusion = _confusions(result).sum(axis=0)
    return np.where(confusion.sum(axis=1) > 0, class_iou(confusion), np.nan)


# Sample of a classified image -> the kind of numbers that it holds.
_CLASSIFICATION_KINDS = {
    "label": np.integer,
    "prediction": np.integer,
    "in_top5": np.bool_,
    "confidence": np.floating,
    "nll": np.floating,
}


def _sample(result: CellResult, name: str) -> npt.NDArray[np.generic]:
    """One record per image of a classification cell, ``(N,)``."""
    kind, expected = _CLASSIFICATION_KINDS[name], (len(result.image_ids),)
    values = result.samples.get(name)
    found = None if values is None else f"{values.dtype} of shape {values.shape}"
    if values is None or values.shape != expected or not np.issubdtype(values.dtype, kind):
        raise InputError(
            f"expected a sample '{name}' of {kind.__name__} and shape (images,) = {expected}, "
            f"got {found}"
        )
    if kind is np.floating and not np.isfinite(values.astype(np.float64)).all():
        raise InputError(f"sample '{name}' must be finite; its network's outputs are not")
    return values


def _class_indices(result: CellResult, name: str) -> npt.NDArray[np.int64]:
    values, classes = _sample(result, name), len(result.provenance.classes)
    if values.size and not 0 <= values.min() <= values.max() < classes:
        raise InputError(
            f"sample '{name}' must hold classes 0..{classes - 1}, got "
            f"{values.min()}..{values.max()}"
        )
    return values.astype(np.int64)


def _top1_terms(result: CellResult) -> npt.NDArray[np.floating]:
    return hits(_class_indices(result, "label"), _class_indices(result, "prediction"))


def _top5_terms(result: CellResult) -> npt.NDArray[np.floating]:
    among_five = _sample(result, "in_top5").astype(np.float32)[:, None]
    if (among_five < _top1_terms(result)).any():
        raise InputError("sample 'in_top5' must hold what is best, got a right answer without it")
    return among_five


def _nll_terms(result: CellResult) -> npt.NDArray[np.floating]:
    nll = _sample(result, "nll")
    if nll.size and not 0 <= nll.min() <= nll.max() <= np.finfo(np.float32).max:
        raise InputError(
            f"sample 'nll' must hold float32 numbers of 0 or more, got {nll.min()}..{nll.max()}"
        )
    return nll.astype(np.float32)[:, None]


def _calibration_terms(result: CellResult) -> npt.NDArray[np.floating]:
    confidence = _sample(result, "confidence").astype(np.float64)
    return calibration_terms(confidence, _top1_terms(result)[:, 0] == 1)


_SEGMENTATION = (
    SumMetric(
        "miou", "mIoU", "mean IoU over classes, from the confusion matrix summed over all images",
        terms=lambda result: iou_terms(_confusions(result)),
        score_sums=lambda sums, _: mean_iou_of_terms(sums), has_retention=True,
    ),
)  # fmt: skip
_CLASSIFICATION = (
    SumMetric(
        "top1", "Top-1", "share of images whose best class is right",
        terms=_top1_terms, score_sums=mean_of_terms, has_retention=True,
    ),
    SumMetric(
        "top5", "Top-5", "share of images whose class is among the best five",
        terms=_top5_terms, score_sums=mean_of_terms,
    ),
    SumMetric(
        "ece", "ECE", "expected calibration error, 15 bins of equal width over the data set",
        terms=_calibration_terms, score_sums=calibration_error, lower_is_better=True, centred=True,
    ),
    SumMetric(
        "nll", "NLL", "mean negative log-likelihood of the label, in nats",
        terms=_nll_terms, score_sums=mean_of_terms, unit="nats", lower_is_better=True,
    ),
)  # fmt: skip

TASK_METRICS: Mapping[str, TaskMetric] = MappingProxyType(
    {
        "segmentation": TaskMetric(
            cells=_SEGMENTATION,
            score_cell=scores_of_sums(_SEGMENTATION, _segmentation_class_scores),
            class_score="IoU",
        ),
        "classification": TaskMetric(
            cells=_CLASSIFICATION,
            score_cell=scores_of_sums(_CLASSIFICATION),
            truth=("label",),
            companions=("imagenet-c", "stl-imagenet-c", "stl-imagenet-c-17", "all"),
            sets=("imagenet-a", "imagenet-r"),
            has_corruption_error=True,
        ),
        "detection": DETECTION,
    }
)


def get_task_metric(task: str) -> TaskMetric:
    """Look the metric of a task up.

    Raises:
        ValueError: If the task has none.
    """
    if task not in TASK_METRICS:
        raise InputError(f"no report for task '{task}'; expected one of {', '.join(TASK_METRICS)}")
    return TASK_METRICS[task]
