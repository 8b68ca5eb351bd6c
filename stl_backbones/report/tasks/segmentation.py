"""Segmentation: mIoU, from one confusion matrix per image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from stl_backbones.errors import InputError
from stl_backbones.metrics import (
    ClassScores,
    class_iou_of_terms,
    iou_terms,
    mean_iou_of_terms,
    weighted_sums,
)
from stl_backbones.records import CellResult
from stl_backbones.report.read.metrics import ClassRecord, ClassScorer, SumMetric
from stl_backbones.report.tasks.base import Task, register_task

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
            confusions = _confusions(result)
            pixels = confusions.sum(axis=2)
            terms = iou_terms(confusions)
            # float32 holds seven digits of the resampled sums, and intervals need three.
            both = np.concatenate([terms, pixels], axis=1).astype(np.float32)
            sums = weighted_sums(counts, both).astype(np.float32)
            edge = terms.shape[1]
            scores = ClassScores(
                class_iou_of_terms(terms.sum(axis=0), pixels.sum(axis=0)),
                class_iou_of_terms(sums[:, :edge], sums[:, edge:]),
            )
            return ClassRecord(
                {"iou": scores},
                truth=pixels.sum(axis=0),
                images=(pixels > 0).sum(axis=0),
                confusion=sparse.csr_array(confusions.sum(axis=0)),
            )

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
        ),
        class_scores={"iou": "IoU"},
        counted="pixels",
        paper_protocols=("stl-cityscapes-c",),
        paper_data="Cityscapes val",
    )
)  # fmt: skip
