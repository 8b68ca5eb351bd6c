"""Confusion matrices and what is computed from them."""

from __future__ import annotations

import re
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError

_Float = TypeVar("_Float", bound=np.floating)
IGNORE_INDEX = 255  # Cityscapes' void label
_IGNORED = re.compile(r"(?:^|, )label (-?\d+) ignored(?=,|$)")


def ignored_text(ignore_index: int) -> tuple[str, ...]:
    """An unusual label of pixels that do not count, as the inference of a record names it."""
    return () if ignore_index == IGNORE_INDEX else (f"label {ignore_index} ignored",)


def find_ignored(inference: str) -> int:
    """The label that the inference of a record names in `ignored_text`'s words, or the usual."""
    found = _IGNORED.search(inference)
    return int(found[1]) if found else IGNORE_INDEX


def confusion_matrix(
    prediction: npt.NDArray[np.integer],
    label: npt.NDArray[np.integer],
    *,
    num_classes: int,
    ignore_index: int = IGNORE_INDEX,
) -> npt.NDArray[np.int64]:
    """Count the pixels of one image by true and predicted class.

    Args:
        prediction: ``(H, W)`` class indices, 0 to ``num_classes - 1``.
        label: ``(H, W)`` true class indices; pixels of ``ignore_index`` are left out.
        num_classes: Number of classes K.
        ignore_index: The label of pixels that do not count.

    Returns:
        ``(K, K)`` int64 counts, rows = ground truth, columns = prediction.

    Raises:
        ValueError: If the shapes differ, or a value is no class.
    """
    if prediction.shape != label.shape:
        raise InputError(
            f"prediction and label must have one shape, got {prediction.shape} and {label.shape}"
        )
    counted = label != ignore_index
    truth = label[counted].astype(np.int64)
    guess = prediction[counted].astype(np.int64)
    for name, values in (("label", truth), ("prediction", guess)):
        if values.size:
            check_classes(name, int(values.min()), int(values.max()), num_classes)
    counts = np.bincount(truth * num_classes + guess, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def check_classes(name: str, least: int, most: int, num_classes: int) -> None:
    """Refuse pixels that are no class.

    Args:
        name: What they are.
        least: The least of them.
        most: The greatest.
        num_classes: Number of classes.

    Raises:
        ValueError: If one is out of range.
    """
    if not 0 <= least <= most < num_classes:
        raise InputError(f"{name} must hold classes 0..{num_classes - 1}, got {least}..{most}")


def class_iou(confusion: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Intersection over union of each class.

    Args:
        confusion: ``(..., K, K)`` pixel counts, rows = ground truth.

    Returns:
        ``(..., K)`` float64 fractions; NaN for a class neither present nor predicted.

    References:
        Everingham et al. 2015, "The Pascal Visual Object Classes Challenge: A Retrospective".
    """
    hit = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    union = confusion.sum(axis=-1) + confusion.sum(axis=-2) - hit
    iou = np.full_like(hit, np.nan)
    np.divide(hit, union, out=iou, where=union > 0)
    return iou


def mean_iou(confusion: npt.NDArray[np.integer]) -> float:
    """Mean of `class_iou` over the classes that occur in truth or prediction.

    Args:
        confusion: ``(K, K)`` pixel counts summed over all images.

    Returns:
        The mIoU as a fraction; NaN if no pixel was counted.
    """
    iou = class_iou(confusion)
    return float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan")


def iou_terms(confusions: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """What each image adds to the pixels that IoU is made of.

    Args:
        confusions: ``(N, K, K)`` pixel counts of each image, rows = ground truth.

    Returns:
        ``(N, 3 K)`` float64: pixels of intersection of each class, of union, of ground truth.
        Exact up to 2^53 pixels.
    """
    pixels = confusions.astype(np.float64)
    ones = np.ones(pixels.shape[-1])
    hit = np.diagonal(pixels, axis1=-2, axis2=-1)
    truth = pixels @ ones  # products with ones take a third of the time of sums over short axes
    return np.concatenate([hit, truth + ones @ pixels - hit, truth], axis=-1)


def mean_iou_of_terms(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`mean_iou` from sums of `iou_terms` over images.

    Args:
        sums: ``(..., 3 K)`` sums over images.

    Returns:
        ``(...)`` fractions; NaN where no pixel was counted.
    """
    hit, union, _ = np.split(sums, 3, axis=-1)
    occurs = union > 0
    iou = np.divide(hit, union, out=np.zeros_like(hit), where=occurs)
    count = occurs.sum(axis=-1)
    mean = np.full(count.shape, np.nan)
    np.divide(iou.sum(axis=-1), count, out=mean, where=count > 0)
    return mean


def class_iou_of_terms(sums: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    """IoU of each class from sums of `iou_terms` over images.

    Args:
        sums: ``(..., 3 K)`` sums over images.

    Returns:
        ``(..., K)`` fractions; NaN for classes that do not occur in the ground truth.
    """
    hit, union, truth = np.split(sums, 3, axis=-1)
    out = np.full(hit.shape, np.nan, dtype=hit.dtype)
    np.divide(hit, union, out=out, where=truth > 0)
    return out
