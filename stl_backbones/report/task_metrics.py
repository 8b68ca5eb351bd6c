"""Which numbers a cell's samples make, by task.

Every number is a function of sums over images, so that one definition serves the data set and its
resamples alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

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

ClassScores = npt.NDArray[np.float64]
Unit = Literal["fraction", "nats"]


@dataclass(frozen=True)
class CellMetric:
    """One number of a cell.

    Attributes:
        key: Name in headers of CSV files and in requirements.
        name: Name in tables.
        definition: One sentence: how it is computed.
        terms: Cell -> ``(images, S)``: what each image adds to S sums.
        score: Sums ``(..., S)`` and number of images -> ``(...)`` scores; NaN if nothing counted.
        unit: ``'fraction'``, printed as percent, or ``'nats'``.
        lower_is_better: As for errors.
        centred: Whether resamples are shifted to have the data's own score as their mean. Needed
            where resampling itself raises a score, as it does the absolute values of ECE.
    """

    key: str
    name: str
    definition: str
    terms: Callable[[CellResult], npt.NDArray[np.floating]]
    score: Callable[[npt.NDArray[np.float64], int], npt.NDArray[np.float64]]
    unit: Unit = "fraction"
    lower_is_better: bool = False
    centred: bool = False


@dataclass(frozen=True)
class TaskMetric:
    """The numbers of a task.

    Attributes:
        cells: The numbers of a cell; the first is the one that tables and charts show.
        class_scores: Cell -> ``(classes,)`` fractions, NaN for classes that do not occur in the
            ground truth; ``None`` where the task has no scores by class.
        companions: Protocols whose means are told beside the report's own, where their cells
            were measured.
        sets: Sub-folders with sets of other images, see `stl_backbones.report.sets`.
    """

    cells: tuple[CellMetric, ...]
    class_scores: Callable[[CellResult], ClassScores] | None = None
    companions: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the number that tables show."""
        return self.cells[0].name

    @property
    def key(self) -> str:
        """Its name in headers of CSV files."""
        return self.cells[0].key

    @property
    def definition(self) -> str:
        """How it is computed."""
        return self.cells[0].definition

    def score(self, result: CellResult) -> float:
        """The number that tables show; NaN if nothing was counted."""
        sums = self.cells[0].terms(result).sum(axis=0, dtype=np.float64)
        return float(self.cells[0].score(sums, len(result.image_ids)))


def _confusions(result: CellResult) -> npt.NDArray[np.integer]:
    """The ``(N, K, K)`` per-image matrices of a cell."""
    classes = len(result.provenance.classes)
    expected = (len(result.image_ids), classes, classes)
    samples = result.samples.get("confusion_matrix")
    found = None if samples is None else samples.shape
    if samples is None or found != expected or not np.issubdtype(samples.dtype, np.integer):
        raise ValueError(
            f"expected a sample 'confusion_matrix' of integers and shape (images, classes, "
            f"classes) = {expected}, got {found}"
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
        raise ValueError(
            f"expected a sample '{name}' of {kind.__name__} and shape (images,) = {expected}, "
            f"got {found}"
        )
    if kind is np.floating and not np.isfinite(values.astype(np.float64)).all():
        raise ValueError(f"sample '{name}' must be finite; its network's outputs are not")
    return values


def _label(result: CellResult) -> npt.NDArray[np.int64]:
    label, classes = _sample(result, "label").astype(np.int64), len(result.provenance.classes)
    if label.size and not 0 <= label.min() <= label.max() < classes:
        raise ValueError(
            f"sample 'label' must hold classes 0..{classes - 1}, got {label.min()}..{label.max()}"
        )
    return label


def _top1_terms(result: CellResult) -> npt.NDArray[np.floating]:
    return hits(_label(result), _sample(result, "prediction").astype(np.int64))


def _top5_terms(result: CellResult) -> npt.NDArray[np.floating]:
    return _sample(result, "in_top5").astype(np.float32)[:, None]


def _nll_terms(result: CellResult) -> npt.NDArray[np.floating]:
    return _sample(result, "nll").astype(np.float32)[:, None]


def _calibration_terms(result: CellResult) -> npt.NDArray[np.floating]:
    confidence = _sample(result, "confidence").astype(np.float64)
    return calibration_terms(confidence, _top1_terms(result)[:, 0] == 1)


_CLASSIFICATION = (
    CellMetric("top1", "Top-1", "share of images whose best class is right", _top1_terms,
               mean_of_terms),
    CellMetric("top5", "Top-5", "share of images whose class is among the best five", _top5_terms,
               mean_of_terms),
    CellMetric("ece", "ECE", "expected calibration error, 15 bins of equal width over the data set",
               _calibration_terms, calibration_error, lower_is_better=True, centred=True),
    CellMetric("nll", "NLL", "mean negative log-likelihood of the label, in nats", _nll_terms,
               mean_of_terms, unit="nats", lower_is_better=True),
)  # fmt: skip

TASK_METRICS: Mapping[str, TaskMetric] = MappingProxyType(
    {
        "segmentation": TaskMetric(
            cells=(
                CellMetric(
                    "miou",
                    "mIoU",
                    "mean IoU over classes, from the confusion matrix summed over all images",
                    lambda result: iou_terms(_confusions(result)),
                    lambda sums, _: mean_iou_of_terms(sums),
                ),
            ),
            class_scores=_segmentation_class_scores,
        ),
        "classification": TaskMetric(
            cells=_CLASSIFICATION,
            companions=("imagenet-c", "stl-imagenet-c", "stl-imagenet-c-17", "all"),
            sets=("imagenet-a", "imagenet-r"),
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
