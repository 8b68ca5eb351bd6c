"""Segmentation: mIoU, from one confusion matrix per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from stl_backbones.errors import InputError
from stl_backbones.metrics import (
    ClassScores,
    binned_error,
    binned_terms,
    class_iou_of_terms,
    iou_terms,
    mean_iou_of_terms,
    mean_of_terms,
    weighted_sums,
)
from stl_backbones.records import CellResult
from stl_backbones.report.read.metrics import ClassRecord, ClassScorer, SumMetric
from stl_backbones.report.tasks.base import Task, register_task
from stl_backbones.report.tasks.image_properties import share_slices
from stl_backbones.shift_sets import sets_of

_CALIBRATION = "pixel_calibration"
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


def _calibration_terms(result: CellResult) -> npt.NDArray[np.floating]:
    """Gaps of the bins, and pixels, which the confusion matrices count too."""
    binned = result.samples[_CALIBRATION].astype(np.int64)
    images, pixels = len(result.image_ids), _confusions(result).sum(axis=(1, 2))
    terms = binned_terms(binned)
    if len(terms) != images or (terms[:, -1] != pixels).any():
        raise InputError(
            f"sample '{_CALIBRATION}' must count the pixels of sample 'confusion_matrix'"
        )
    return terms


def _class_share(result: CellResult, name: str) -> tuple[Sequence[str], Sequence[str]]:
    """Slices by the share of an image's counted pixels that are of a class."""
    pixels = _confusions(result).sum(axis=2)
    return share_slices(result, name, pixels)


def _image_iou(result: CellResult) -> npt.NDArray[np.floating]:
    return mean_iou_of_terms(iou_terms(_confusions(result)))[:, None]


def _image_accuracy(result: CellResult) -> npt.NDArray[np.floating]:
    confusions = _confusions(result)
    right = np.trace(confusions, axis1=1, axis2=2).astype(np.float64)
    pixels = confusions.sum(axis=(1, 2))
    share = np.full((len(right), 1), np.nan)
    np.divide(right[:, None], pixels[:, None], out=share, where=pixels[:, None] > 0)
    return share


class _Segmentation(Task):
    def image_scores(
        self, result: CellResult, class_index: int | None = None
    ) -> npt.NDArray[np.float64]:
        """The mIoU of each image, or a class's IoU; see `TaskMetrics.image_scores`."""
        if class_index is None:
            return super().image_scores(result)
        confusions = _confusions(result)
        own = confusions[:, class_index, class_index]
        truth = confusions[:, class_index].sum(axis=1)
        union = truth + confusions[:, :, class_index].sum(axis=1) - own
        return np.where(truth > 0, own / np.maximum(union, 1), np.nan)

    def class_scorer(self, drawn: npt.NDArray[np.float32]) -> ClassScorer:
        """IoU of each class, from sums over the drawn images."""
        counts = drawn.T

        def score(result: CellResult) -> ClassRecord:
            confusions = result.samples["confusion_matrix"]  # checked with the cell's other numbers
            total = confusions.sum(axis=0, dtype=np.int64)
            pixels = confusions.sum(axis=2, dtype=np.int64)
            values = class_iou_of_terms(iou_terms(total[None])[0], total.sum(axis=1))
            record = ClassRecord(
                {"iou": ClassScores(values, np.empty((0, len(values))))},
                truth=total.sum(axis=1),
                images=(pixels > 0).sum(axis=0),
                confusion=sparse.csr_array(total),
            )
            if not len(counts):
                return record
            terms = iou_terms(confusions.astype(np.int64, copy=False))
            # float32 holds seven digits of the resampled sums, and intervals need three.
            both = np.concatenate([terms, pixels], axis=1).astype(np.float32)
            sums = weighted_sums(counts, both).astype(np.float32)
            edge = terms.shape[1]
            resampled = class_iou_of_terms(sums[:, :edge], sums[:, edge:])
            return replace(record, scores={"iou": ClassScores(values, resampled)})

        return score


SEGMENTATION = register_task(
    _Segmentation(
        name="segmentation",
        cells=(
            SumMetric(
                "miou", "mIoU",
                "mean IoU over classes, from the confusion matrix summed over all images",
                terms=lambda result: iou_terms(_confusions(result)),
                score_sums=lambda sums, _: mean_iou_of_terms(sums), has_retention=True,
            ),
            SumMetric(
                "ece", "ECE",
                "expected calibration error of pixels, 15 bins of equal width over the data set",
                terms=_calibration_terms, score_sums=lambda sums, _: binned_error(sums),
                lower_is_better=True, centred=True, needs="scores of pixels",
                sample=_CALIBRATION,
            ),
        ),
        class_scores={"iou": "IoU"},
        image_means=(
            SumMetric("image_miou", "Image-wise mIoU", "mean over images of each one's own mIoU",
                      terms=_image_iou, score_sums=mean_of_terms, has_retention=True),
            SumMetric("image_accuracy", "Image-wise pixel accuracy",
                      "mean over images of each one's share of right pixels",
                      terms=_image_accuracy, score_sums=mean_of_terms, has_retention=True),
        ),
        counted="pixels",
        properties={"class-share": _class_share},
        paper_protocols=("stl-cityscapes-c",),
        paper_data="Cityscapes val",
        sets=sets_of("segmentation"),
    )
)  # fmt: skip
