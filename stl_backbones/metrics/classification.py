"""Accuracy and likelihood as sums over images, so that they can be resampled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError


def hits(
    label: npt.NDArray[np.integer], prediction: npt.NDArray[np.integer]
) -> npt.NDArray[np.float32]:
    """What each image adds to top-1 accuracy.

    Args:
        label: ``(N,)`` true classes.
        prediction: ``(N,)`` predicted classes.

    Returns:
        ``(N, 1)`` float32, 1 where the prediction is right.

    Raises:
        ValueError: If the shapes differ.
    """
    if label.shape != prediction.shape or label.ndim != 1:
        raise InputError(
            "label and prediction must be of one shape (images,), "
            f"got {label.shape} and {prediction.shape}"
        )
    right: npt.NDArray[np.float32] = (label == prediction).astype(np.float32)[:, None]
    return right


def mean_of_terms(
    sums: npt.NDArray[np.float64], weight: npt.NDArray[np.float64] | float
) -> npt.NDArray[np.float64]:
    """Mean per image, from sums over images.

    Args:
        sums: ``(..., 1)`` sums of a term of each image.
        weight: ``(...)`` number of images that were summed.

    Returns:
        ``(...)`` means.
    """
    mean: npt.NDArray[np.float64] = sums[..., 0] / weight
    return mean
