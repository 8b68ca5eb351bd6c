"""Expected calibration error over a whole data set.

Accumulated over the data set, not averaged over batches: the absolute value in each bin is taken
once, of the sums over all images.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError

NUM_BINS = 15  # Guo et al. 2017, section 5
CONFIDENCE_UNIT = 1 << 16  # parts of 1 in which confidences of pixels are summed


def calibration_terms(
    confidence: npt.NDArray[np.floating],
    correct: npt.NDArray[np.bool_],
    *,
    bins: int = NUM_BINS,
) -> npt.NDArray[np.float32]:
    """What each image adds to the gap between accuracy and confidence of its bin.

    Args:
        confidence: ``(N,)`` probabilities of the predicted classes, 0 to 1.
        correct: ``(N,)`` whether the predictions are right.
        bins: Bins of equal width; bin i holds confidences in ``(i / bins, (i + 1) / bins]``.

    Returns:
        ``(N, bins)`` float32: ``correct - confidence`` in the image's bin, else 0.

    Raises:
        ValueError: If a confidence is not in 0..1, or the shapes differ.
    """
    if confidence.shape != correct.shape or confidence.ndim != 1:
        raise InputError(
            "confidence and correct must be of one shape (images,), "
            f"got {confidence.shape} and {correct.shape}"
        )
    if confidence.size and not (confidence.min() >= 0 and confidence.max() <= 1):
        raise InputError(
            f"confidence must be in 0..1, got {confidence.min()}..{confidence.max()}; "
            "expected softmax probabilities"
        )
    edges = np.linspace(0.0, 1.0, bins + 1)
    # The lowest bin takes 0 as well: no softmax probability is 0, but float32 may round one to it.
    index = np.maximum(np.searchsorted(edges, confidence, side="left") - 1, 0)
    terms = np.zeros((len(confidence), bins), dtype=np.float32)
    terms[np.arange(len(confidence)), index] = correct.astype(np.float32) - confidence
    return terms


def calibration_error(
    sums: npt.NDArray[np.float64], weight: npt.NDArray[np.float64] | float
) -> npt.NDArray[np.float64]:
    """Expected calibration error, from sums of `calibration_terms` over images.

    Args:
        sums: ``(..., bins)`` sums over images.
        weight: ``(...)`` number of images that were summed.

    Returns:
        ``(...)`` fractions: mean over images of the gap between accuracy and confidence of the
        image's bin.

    References:
        Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, equation 3.
    """
    error: npt.NDArray[np.float64] = np.abs(sums).sum(axis=-1) / weight
    return error


def binned_terms(counts: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """What each image adds to the bins, from counts of its pixels.

    Args:
        counts: ``(N, 3, bins)``: of each bin its pixels, those of them that are right, and the sum
            of their confidences in parts of `CONFIDENCE_UNIT`.

    Returns:
        ``(N, bins + 1)``: right pixels minus confidences of each bin, then the image's pixels.

    Raises:
        ValueError: If the counts are impossible.
    """
    if not np.issubdtype(counts.dtype, np.integer):
        raise InputError(f"expected counts of integers, got {counts.dtype}")
    if counts.ndim != 3 or counts.shape[1:] != (3, NUM_BINS):
        raise InputError(f"expected counts (images, 3, {NUM_BINS}), got {counts.shape}")
    pixels, right, confidence = np.moveaxis(counts.astype(np.float64), 1, 0)
    confidence /= CONFIDENCE_UNIT
    slack = 1e-3 * pixels  # of rounding each confidence to a part
    edges = np.arange(NUM_BINS + 1) / NUM_BINS
    low, high = edges[:-1], edges[1:]
    if (right > pixels).any() or (right < 0).any():
        raise InputError("expected no more right pixels than there are, and none below 0")
    if (confidence < low * pixels - slack).any() or (confidence > high * pixels + slack).any():
        raise InputError("expected confidences of the bins that they are counted in")
    return np.concatenate([right - confidence, pixels.sum(axis=1, keepdims=True)], axis=1)


def binned_error(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`calibration_error` from sums of bins and, behind them, of what was counted.

    Args:
        sums: ``(..., bins + 1)``, as `binned_terms` gives for an image.

    Returns:
        ``(...)`` fractions; NaN where nothing was counted.
    """
    weight = sums[..., -1]
    known = np.where(weight > 0, weight, np.nan)
    return calibration_error(sums[..., :-1], known)
