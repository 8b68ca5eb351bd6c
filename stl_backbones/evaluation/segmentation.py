"""Segmentation samples as confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from stl_backbones.errors import InputError
from stl_backbones.metrics import IGNORE_INDEX, mean_iou
from stl_backbones.metrics.segmentation import check_classes
from stl_backbones.registry import METRICS

_MOST = 2**62  # above any class


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
    try:
        counts = count_pixels(sample, num_classes=num_classes, ignore_index=ignore_index)
        return confusion_of(counts.cpu().numpy(), num_classes)
    except ValueError as error:
        name = _fields(sample).get("img_path", "image")
        raise InputError(f"'{name}': {error}") from error


def count_pixels(sample: Any, *, num_classes: int, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """Count a sample's pixels on the device of its prediction, without waiting for that.

    Args:
        sample: As `sample_confusion` takes it.
        num_classes: Number of classes K.
        ignore_index: The label of pixels that do not count.

    Returns:
        ``(K * K + 4,)`` int64, for `confusion_of`: counts by label and prediction, then the least
        and the greatest label, and the least and the greatest prediction, of what counts.

    Raises:
        ValueError: If prediction and label differ in size.
    """
    fields = _fields(sample)
    guess, label = _plane(fields["pred_sem_seg"]), _plane(fields["gt_sem_seg"])
    if guess.shape != label.shape:
        raise InputError(
            f"prediction and label must have one shape, got {tuple(guess.shape)} and "
            f"{tuple(label.shape)}"
        )
    guess, label = guess.long(), label.to(guess.device, non_blocking=True).long()
    counted = label != ignore_index
    bins = num_classes**2
    where = torch.where(counted, label * num_classes + guess, bins).clamp(0, bins).flatten()
    extremes = [
        extreme
        for values in (label, guess)
        for extreme in (
            torch.where(counted, values, _MOST).amin(),
            torch.where(counted, values, -_MOST).amax(),
        )
    ]
    count = torch.bincount if where.device.type == "cpu" else added_up
    return torch.cat([count(where, minlength=bins + 1)[:bins], torch.stack(extremes)])


def confusion_of(counts: npt.NDArray[np.int64], num_classes: int) -> npt.NDArray[np.int64]:
    """The confusion matrix ``(K, K)``, rows = ground truth, of what `count_pixels` counted.

    Raises:
        ValueError: If a label or a prediction is no class.
    """
    bins = num_classes**2
    for name, (least, most) in zip(("label", "prediction"), counts[bins:].reshape(2, 2).tolist(),
                                   strict=True):  # fmt: skip
        if least <= most:  # else no pixel counts
            check_classes(name, least, most, num_classes)
    return counts[:bins].reshape(num_classes, num_classes)


def added_up(values: Tensor, minlength: int) -> Tensor:
    """How often each of 0..minlength - 1 occurs among ``(n,)`` int64, without waiting for a GPU.

    As ``bincount``, which waits for the greatest value; in any order whole numbers add up the same.
    """
    ones = torch.ones((), dtype=torch.int64, device=values.device).expand_as(values)
    return values.new_zeros(minlength).scatter_add_(0, values, ones)


def planes_of(sample: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Prediction and label ``(H, W)`` of a sample as `sample_confusion` takes it."""
    fields = _fields(sample)
    guess, label = (_plane(fields[name]) for name in ("pred_sem_seg", "gt_sem_seg"))
    return guess.cpu().numpy(), label.cpu().numpy()


def _fields(sample: Any) -> Mapping[str, Any]:
    return sample if isinstance(sample, Mapping) else sample.to_dict()


def _plane(pixels: Any) -> Tensor:
    data = pixels["data"] if isinstance(pixels, Mapping) else pixels.data
    return data.squeeze(0)


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
