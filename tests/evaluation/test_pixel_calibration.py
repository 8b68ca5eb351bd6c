"""Pixels counted by confidence come to the ECE of all pixels one by one."""

import numpy as np
import pytest
import torch

from stl_backbones.evaluation import pixel_calibration
from stl_backbones.evaluation.pixel_calibration import count_confidences, kind_of_scores
from stl_backbones.metrics import binned_error, binned_terms, calibration_error, calibration_terms

IGNORED = 255


def counted(scores, label, kind, guess=None):
    scores, label = torch.as_tensor(scores), torch.as_tensor(label)
    guess = scores.argmax(dim=0) if guess is None else torch.as_tensor(guess)
    return count_confidences(scores, guess, label, kind=kind, ignore_index=IGNORED).numpy()


def test_by_hand():
    # Four pixels: 0.9 right, 0.9 wrong, 0.6 right, 0.7 ignored.
    one = np.array([[0.9, 0.9, 0.6, 0.7]])
    pixels, right, sums = counted(np.stack([one, 1 - one]), [[0, 1, 0, IGNORED]], "probabilities")
    assert np.flatnonzero(pixels).tolist() == [8, 13]  # (8/15, 9/15] holds 0.6
    assert pixels[[8, 13]].tolist() == [1, 2]
    assert right[[8, 13]].tolist() == [1, 1]
    assert sums[[8, 13]] / 65536 == pytest.approx([0.6, 1.8], abs=2e-5)
    terms = binned_terms(np.stack([[pixels, right, sums]]))
    assert terms[0, -1] == 3
    assert binned_error(terms.sum(axis=0)) == pytest.approx((0.4 + 0.8) / 3, abs=2e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("strip", [40, 1 << 20])
def test_logits_as_every_pixel_by_itself(dtype, strip, monkeypatch):
    monkeypatch.setattr(pixel_calibration, "_STRIP", strip)
    rng = np.random.default_rng(0)
    scores = torch.as_tensor(2 * rng.normal(size=(2, 5, 9, 8))).to(dtype)
    label = rng.integers(0, 6, (2, 9, 8))
    label[label == 5] = IGNORED
    found = np.stack([counted(*pair, "logits") for pair in zip(scores, label, strict=True)])
    confidence = scores.double().softmax(dim=1).amax(dim=1).numpy()
    kept = label != IGNORED
    right = (scores.argmax(dim=1).numpy() == label)[kept]
    expected = calibration_error(
        calibration_terms(confidence[kept], right).sum(axis=0, dtype=np.float64), kept.sum()
    )
    assert binned_error(binned_terms(found).sum(axis=0)) == pytest.approx(expected, abs=2e-5)


def test_of_a_single_class_the_score_is_that_of_label_1():
    pixels, right, sums = counted([[[0.9, 0.2]]], [[1, 1]], "probabilities", guess=[[1, 0]])
    assert np.flatnonzero(pixels).tolist() == [11, 13]  # 0.8 that it is 0, and 0.9
    assert right[[11, 13]].tolist() == [0, 1]
    assert sums.sum() / 65536 == pytest.approx(1.7, abs=4e-5)


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_on_a_device_pixels_are_counted_without_waiting(kind):
    """A tensor without values cannot be waited for."""
    scores = torch.empty((3, 4, 6), device="meta")
    guess = label = torch.zeros((4, 6), dtype=torch.int64, device="meta")
    counts = count_confidences(scores, guess, label, kind=kind, ignore_index=IGNORED)
    assert (counts.device.type, counts.shape) == ("meta", (3, 15))


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        ([[-1.0, 3.0], [2.0, 0.0]], "logits"),
        ([[0.25, 1.0], [0.75, 0.0]], "probabilities"),
        ([[0.25, 1.0], [0.25, 0.9]], None),  # of a head that classifies masks
        ([[0.25, float("nan")], [0.75, -1.0]], None),
        ([[0.25, 1.0]], "probabilities"),
        ([[0.25, 4.0]], None),
    ],
)
def test_what_scores_are(scores, kind):
    assert kind_of_scores(torch.tensor(scores)[:, None]) == kind


def test_impossible_counts_are_refused():
    counts = np.zeros((1, 3, 15), np.int64)
    counts[0, :, 14] = 2, 1, 2 * 65536
    assert binned_terms(counts)[0, 14] == -1
    for place, value in ((1, 3), (2, 65536), (2, 3 * 65536)):
        wrong = counts.copy()
        wrong[0, place, 14] = value
        with pytest.raises(ValueError, match="expected"):
            binned_terms(wrong)
