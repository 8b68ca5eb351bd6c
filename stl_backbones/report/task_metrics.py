"""Which number a cell's samples make, by task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from stl_backbones.metrics import class_iou, mean_iou
from stl_backbones.records import CellResult

ClassScores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TaskMetric:
    """The number of a task.

    Attributes:
        name: Name in tables.
        key: Name in headers of CSV files.
        definition: One sentence: how it is computed.
        score: Cell -> fraction; NaN if nothing was counted.
        class_scores: Cell -> ``(classes,)`` fractions, NaN for classes that do not occur in the
            ground truth; ``None`` where the task has no scores by class.
    """

    name: str
    key: str
    definition: str
    score: Callable[[CellResult], float]
    class_scores: Callable[[CellResult], ClassScores] | None = None


def _confusion(result: CellResult) -> npt.NDArray[np.int64]:
    """Sum the ``(N, K, K)`` per-image matrices of a cell to ``(K, K)``."""
    classes = len(result.provenance.classes)
    expected = (len(result.image_ids), classes, classes)
    samples = result.samples.get("confusion_matrix")
    found = None if samples is None else samples.shape
    if samples is None or found != expected or not np.issubdtype(samples.dtype, np.integer):
        raise ValueError(
            f"expected a sample 'confusion_matrix' of integers and shape (images, classes, "
            f"classes) = {expected}, got {found}"
        )
    total: npt.NDArray[np.int64] = samples.sum(axis=0, dtype=np.int64)
    return total


def _segmentation_score(result: CellResult) -> float:
    return mean_iou(_confusion(result))


def _segmentation_class_scores(result: CellResult) -> ClassScores:
    confusion = _confusion(result)
    return np.where(confusion.sum(axis=1) > 0, class_iou(confusion), np.nan)


TASK_METRICS: Mapping[str, TaskMetric] = MappingProxyType(
    {
        "segmentation": TaskMetric(
            name="mIoU",
            key="miou",
            definition="mean IoU over classes, from the confusion matrix summed over all images",
            score=_segmentation_score,
            class_scores=_segmentation_class_scores,
        ),
    }
)


def get_task_metric(task: str) -> TaskMetric:
    """Look the metric of a task up.

    Raises:
        ValueError: If the task has none.
    """
    if task not in TASK_METRICS:
        raise ValueError(f"no report for task '{task}'; expected one of {', '.join(TASK_METRICS)}")
    return TASK_METRICS[task]
