"""D-ECE of a few detections by hand."""

import numpy as np
import pytest

from stl_backbones.metrics import binned_error
from stl_backbones.metrics.detection_calibration import (
    detection_calibration_terms,
    has_confidences,
)


def samples(score, found, ignored, per_image):
    """Bit 0 is IoU .50; the other bits and areas must not matter."""
    bits = np.full((len(score), 4), 0b1111111110, np.uint16)
    matched, left_out = bits.copy(), bits.copy()
    matched[:, 0] |= np.array(found, np.uint16)
    left_out[:, 0] |= np.array(ignored, np.uint16)
    matched[:, 1:] ^= 1
    return {
        "bbox_score": np.array(score, np.float32),
        "bbox_matched": matched,
        "bbox_ignored": left_out,
        "bbox_detections": np.array(per_image),
    }


def test_by_hand():
    # Counted: 0.9 right, 0.9 wrong; 0.5 right. On a crowd: 0.9. Below 0.3: 0.2.
    made = samples([0.9, 0.9, 0.2, 0.9, 0.5], [1, 0, 0, 0, 1], [0, 0, 0, 1, 0], [3, 0, 2])
    terms = detection_calibration_terms(made, "bbox")
    assert terms[:, -1].tolist() == [2, 0, 1]
    assert binned_error(terms.sum(axis=0)) == pytest.approx((0.8 + 0.5) / 3, abs=1e-6)
    assert binned_error(terms) == pytest.approx([0.4, np.nan, 0.5], abs=1e-6, nan_ok=True)


def test_other_scores_are_no_confidences():
    assert has_confidences(samples([0.0, 1.0], [1, 1], [0, 0], [2]), "bbox")
    assert not has_confidences(samples([0.5, 1.2], [1, 1], [0, 0], [2]), "bbox")
    assert has_confidences(samples([], [], [], [0]), "bbox")
