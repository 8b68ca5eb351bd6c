"""How well the scores of detections say how many of them have an object."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stl_backbones.metrics.calibration import NUM_BINS, calibration_terms
from stl_backbones.metrics.detection_ranking import Samples

LEAST_SCORE = 0.3  # below it a detector's many spare boxes would decide the number
_LOOSEST = 1  # bit of IoU .50; the column of objects of any size comes first


def detection_calibration_terms(samples: Samples, kind: str) -> npt.NDArray[np.float64]:
    """What each image adds to the bins of D-ECE.

    A detection counts if its score is at least `LEAST_SCORE` and it is on no crowd; it is right if
    it has an object at IoU .50. Both are as COCO's evaluation matched them: one detection an
    object.

    Args:
        samples: Of a cell, see `stl_backbones.records.CellResult`; scores in 0..1.
        kind: ``'bbox'`` or ``'segm'``.

    Returns:
        ``(N, bins + 1)``: right detections minus scores of each bin, then detections that count;
        for `stl_backbones.metrics.calibration.binned_error`.

    Raises:
        ValueError: If a score is not in 0..1.

    References:
        Kueppers et al. 2020, "Multivariate Confidence Calibration for Object Detection",
        arXiv:2004.13546, equation 5, by score alone.
    """
    score = samples[f"{kind}_score"].astype(np.float64)
    right = (samples[f"{kind}_matched"][:, 0] & _LOOSEST) != 0
    counts = (samples[f"{kind}_ignored"][:, 0] & _LOOSEST) == 0
    chosen = counts & (score >= LEAST_SCORE)
    per_image = samples[f"{kind}_detections"]
    image = np.repeat(np.arange(len(per_image)), per_image)[chosen]
    terms = np.zeros((len(per_image), NUM_BINS + 1))
    np.add.at(terms[:, :NUM_BINS], image, calibration_terms(score[chosen], right[chosen]))
    terms[:, NUM_BINS] = np.bincount(image, minlength=len(per_image))
    return terms


def has_confidences(samples: Samples, kind: str) -> bool:
    """Whether scores may be read as probabilities: none is out of 0..1."""
    score = samples[f"{kind}_score"]
    return not score.size or bool(score.min() >= 0 and score.max() <= 1)


__all__ = ["LEAST_SCORE", "detection_calibration_terms", "has_confidences"]
