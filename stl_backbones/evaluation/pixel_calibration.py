"""How sure a segmentation model is of its pixels, counted in bins: nothing is kept but sums.

All sums are of whole numbers, so that they are the same in any order, on a GPU too.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from stl_backbones.metrics.calibration import CONFIDENCE_UNIT, NUM_BINS

Kind = Literal["logits", "probabilities"]
_SUM = 1e-2  # by which the probabilities of a pixel may miss 1, in float16 too
_STRIP = 1 << 20  # scores that are worked on at a time: they stay in a CPU's cache


def kind_of_scores(scores: Tensor) -> Kind | None:
    """Find what a model's class scores are; waits for the model's device.

    Args:
        scores: ``(K, H, W)``, of one image.

    Returns:
        ``None`` for scores of which no confidence follows: none below 0, and their sums are not 1,
        as of heads that classify masks; of a single class those out of 0..1.
    """
    scores = scores.float()
    if not bool(scores.isfinite().all()):
        return None
    low, high = float(scores.min()), float(scores.max())
    if len(scores) == 1:
        return "probabilities" if 0 <= low <= high <= 1 else None
    if low < 0:
        return "logits"
    is_distribution = float((scores.sum(dim=0) - 1).abs().max()) < _SUM
    return "probabilities" if is_distribution else None


def count_confidences(
    scores: Tensor, guess: Tensor, label: Tensor, *, kind: Kind, ignore_index: int
) -> Tensor:
    """Count an image's pixels by confidence, without waiting for the model's device.

    Args:
        scores: ``(K, H, W)``; of a single class the probability of label 1.
        guess: ``(H, W)`` the labels that were predicted from them.
        label: ``(H, W)`` true labels, on the same device.
        kind: What the scores are.
        ignore_index: The label of pixels that do not count.

    Returns:
        ``(3, bins)`` int64: of each bin its pixels, those of them that are right, and the sum of
        their confidences in `CONFIDENCE_UNIT`; bins as of
        `stl_backbones.metrics.calibration.calibration_terms`.
    """
    confidence = _confidences(scores, guess, kind).nan_to_num(0.0).clamp(0.0, 1.0)
    place = (confidence * NUM_BINS).ceil().sub_(1).clamp_(min=0).to(torch.int32)
    place = place.mul_(2).add_(guess == label)
    place = place.masked_fill_(label == ignore_index, 2 * NUM_BINS).flatten()
    units = (confidence * CONFIDENCE_UNIT).round_().flatten()
    if place.device.type == "cpu":
        pixels = torch.bincount(place, minlength=2 * NUM_BINS + 1)
        sums = torch.bincount(place, units.double(), minlength=2 * NUM_BINS + 1).long()
    else:  # without `bincount`, which waits for the greatest value
        place = place.long()
        empty = place.new_zeros(2 * NUM_BINS + 1)
        pixels = empty.scatter_add(0, place, torch.ones_like(place))
        sums = empty.scatter_add(0, place, units.long())
    wrong, right = pixels[:-1].reshape(NUM_BINS, 2).T
    return torch.stack([wrong + right, right, sums[:-1].reshape(NUM_BINS, 2).sum(dim=1)])


def _confidences(scores: Tensor, guess: Tensor, kind: Kind) -> Tensor:
    """``(H, W)`` float32 probability of the predicted label."""
    if len(scores) == 1:
        one = scores[0].float()
        return torch.where(guess > 0, one, 1 - one)
    if kind == "probabilities":
        return scores.amax(dim=0).float()
    if scores.device.type != "cpu":
        return _softmax_of_best(scores)
    rows = max(_STRIP // (scores.shape[0] * scores.shape[2]), 1)
    return torch.cat([_softmax_of_best(strip) for strip in scores.split(rows, dim=1)])


def _softmax_of_best(scores: Tensor) -> Tensor:
    scores = scores.float()
    return (scores - scores.amax(dim=0)).exp_().sum(dim=0).reciprocal_()


__all__ = ["Kind", "count_confidences", "kind_of_scores"]
