"""Segmentation: mIoU, from one confusion matrix per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.metrics import (
    ClassScores,
    binned_error,
    binned_terms,
    class_iou_of_terms,
    iou_terms,
    mean_iou_of_terms,
    mean_of_terms,
)
from stl_backbones.records import CellResult
from stl_backbones.report.read.metrics import (
    CellScores,
    ClassRecord,
    SumMetric,
    class_resamples,
    score_resamples,
    sums_of_resamples,
)
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
    if samples.dtype.kind == "i" and samples.min(initial=0) < 0:
        raise InputError(f"sample 'confusion_matrix' must hold no negative, got {samples.min()}")
    if samples.size * 2 ** (8 * samples.dtype.itemsize) > _MOST_PIXELS:
        pixels = samples.sum(dtype=np.float64)
        if pixels > _MOST_PIXELS:
            raise InputError(
                f"sample 'confusion_matrix' must count at most {_MOST_PIXELS} pixels, got "
                f"{pixels:.0f}"
            )
    return cast("npt.NDArray[np.integer]", samples)


def _calibration_terms(result: CellResult) -> npt.NDArray[np.floating]:
    """Gaps of the bins, and pixels, which the confusion matrices count too."""
    binned = result.samples[_CALIBRATION]
    images, pixels = len(result.image_ids), _confusions(result).sum(axis=(1, 2), dtype=np.int64)
    terms = binned_terms(binned)
    if len(terms) != images or (terms[:, -1] != pixels).any():
        raise InputError(
            f"sample '{_CALIBRATION}' must count the pixels of sample 'confusion_matrix'"
        )
    return terms


def _class_share(result: CellResult, name: str) -> tuple[Sequence[str], Sequence[str]]:
    """Slices by the share of an image's counted pixels that are of a class."""
    pixels = _confusions(result).sum(axis=2, dtype=np.int64)
    return share_slices(result, name, pixels)


def _image_iou(result: CellResult) -> npt.NDArray[np.floating]:
    return mean_iou_of_terms(iou_terms(_confusions(result)))[:, None]


def _image_accuracy(result: CellResult) -> npt.NDArray[np.floating]:
    confusions = _confusions(result).astype(np.int64)
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
        confusions = _confusions(result).astype(np.int64)
        own = confusions[:, class_index, class_index]
        truth = confusions[:, class_index].sum(axis=1)
        union = truth + confusions[:, :, class_index].sum(axis=1) - own
        return np.where(truth > 0, own / np.maximum(union, 1), np.nan)

    def score_cell(self, result: CellResult, counts: npt.NDArray[np.float32]) -> CellScores:
        """The numbers and, from the sums of mIoU, the IoU of each class."""
        metrics = self.sums(result)
        terms = [one.terms(result) for one in metrics]
        sums = sums_of_resamples(terms, counts)
        return CellScores(
            score_resamples(metrics, sums, len(result.image_ids)),
            _class_record(result, terms[0], sums[0]),
        )


def _class_record(
    result: CellResult, terms: npt.NDArray[np.floating], sums: npt.NDArray[np.float64]
) -> ClassRecord:
    """From `iou_terms` of the images, and their sums over all images and over each resample."""
    classes = len(result.provenance.classes)
    few = class_resamples(len(sums) - 1, classes)
    iou = class_iou_of_terms(sums[: 1 + few])
    total = _confusions(result).sum(axis=0, dtype=np.int64)
    return ClassRecord(
        {"iou": ClassScores(iou[0], iou[1:].astype(np.float32))},
        truth=sums[0, 2 * classes :].astype(np.int64),
        images=(terms[:, 2 * classes :] > 0).sum(axis=0),
        confusion=total,
    )


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
