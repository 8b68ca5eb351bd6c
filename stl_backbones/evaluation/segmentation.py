"""Segmentation samples as confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from mmengine.evaluator import BaseMetric

from stl_backbones.errors import InputError
from stl_backbones.metrics import IGNORE_INDEX, confusion_matrix, mean_iou
from stl_backbones.registry import METRICS


def sample_confusion(
    sample: Any, *, num_classes: int, ignore_index: int = IGNORE_INDEX
) -> npt.NDArray[np.int64]:
    """Compare a predicted mmseg sample with its ground truth.

    Args:
        sample: A ``SegDataSample`` or its dict, with ``pred_sem_seg`` and ``gt_sem_seg``.
        num_classes: Number of classes K.
        ignore_index: The label of pixels that do not count.

    Returns:
        ``(K, K)`` int64 counts, rows = ground truth.

    Raises:
        ValueError: If prediction and label differ in size, or a label is no class; the image is
            named.
    """
    fields = sample if isinstance(sample, Mapping) else sample.to_dict()
    prediction = _plane(fields["pred_sem_seg"])
    label = _plane(fields["gt_sem_seg"])
    try:
        return confusion_matrix(
            prediction, label, num_classes=num_classes, ignore_index=ignore_index
        )
    except ValueError as error:
        raise InputError(f"'{fields.get('img_path', 'image')}': {error}") from error


def _plane(pixels: Any) -> npt.NDArray[np.integer]:
    data = pixels["data"] if isinstance(pixels, Mapping) else pixels.data
    return data.squeeze(0).cpu().numpy()


@METRICS.register_module()
class ConfusionMatrixMetric(BaseMetric):
    """mIoU, mAcc and aAcc in percent, unrounded, from one confusion matrix per image.

    Args:
        ignore_index: The label of pixels that do not count.
        collect_device: ``'cpu'`` or ``'gpu'``.
        prefix: Put before the metrics' names.
    """

    default_prefix = ""

    def __init__(
        self,
        *,
        ignore_index: int = IGNORE_INDEX,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ignore_index = ignore_index

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        """Keep one confusion matrix per sample of a batch."""
        del data_batch
        classes = len(self.dataset_meta["classes"])
        self.results.extend(
            sample_confusion(sample, num_classes=classes, ignore_index=self.ignore_index)
            for sample in data_samples
        )

    def compute_metrics(self, results: list[npt.NDArray[np.int64]]) -> dict[str, float]:
        """Sum the matrices and compute the metrics, in percent.

        Raises:
            ValueError: If every pixel is ignored.
        """
        total = np.sum(results, axis=0)
        if not total.any():
            raise InputError(
                f"no pixel of the {len(results)} images counts: all labels are {self.ignore_index} "
                "(ignored); are these the label maps?"
            )
        truth = total.sum(axis=1)
        recall = np.divide(np.diag(total), truth, out=np.full(len(truth), np.nan), where=truth > 0)
        return {
            "mIoU": 100 * mean_iou(total),
            "mAcc": 100 * float(np.nanmean(recall)),
            "aAcc": 100 * float(np.diag(total).sum() / total.sum()),
        }
