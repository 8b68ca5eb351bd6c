"""The class scores of an image, and what is kept of them: enough for every metric and bootstrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stl_backbones.errors import InputError
from stl_backbones.shift_sets import Rule

TOP = 5
TOKEN_WEIGHT = 0.5  # of the tokens' largest logit, as token labeling (LV-ViT, 2104.10858) scores
SCORINGS = ("cls", "cls_plus_max_token")


def scores(sample: Mapping[str, Any], scoring: str) -> Tensor:
    """The class scores ``(K,)`` of a sample that a model of `stl_backbones.pretraining` predicted.

    Args:
        sample: ``class_logits`` ``(K,)``, and ``max_token_logits`` ``(K,)`` for the second scoring.
        scoring: ``'cls'``: class logits; ``'cls_plus_max_token'``: plus half of each class's
            largest token logit.
    """
    logits = sample["class_logits"]
    return logits if scoring == "cls" else logits + TOKEN_WEIGHT * sample["max_token_logits"]


def classify(scores: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Turn class scores into the records of a cell.

    Args:
        scores: ``(B, K)`` class scores before the softmax.
        labels: ``(B,)`` integers in 0..K - 1, on the same device.

    Returns:
        ``label``, ``prediction``: ``(B,)`` int32; ``in_top5``: bool, whether the label is among the
        five best; ``confidence``: float32, the softmax of the prediction; ``nll``: float32, minus
        the log softmax of the label. NaN where scores are not finite, see `check_finite`.
    """
    log_probabilities = scores.double().log_softmax(dim=1)  # a float32 sum of 1000 is off by 1e-6
    best = log_probabilities.topk(min(TOP, scores.shape[1]), dim=1)
    labels = labels.long()
    own = log_probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
    return {
        "label": labels.int(),
        "prediction": best.indices[:, 0].int(),
        "in_top5": (best.indices == labels.unsqueeze(1)).any(dim=1),
        "confidence": best.values[:, 0].exp().float(),
        "nll": -own.float(),
    }


@dataclass(frozen=True)
class Readout:
    """How a model's class scores become those of a data set with classes of its own.

    Attributes:
        groups: Of each class of the data set, its places among the model's scores.
        rule: ``'max'``: the largest score of each class; ``'mean'``: the mean probability of each
            class; ``'argmax'``: the class of the best of all scores, which may have none.
        scores: How many the model has.
    """

    groups: tuple[tuple[int, ...], ...]
    rule: Rule
    scores: int

    @cached_property
    def _class_of(self) -> Tensor:
        """``(scores,)`` the class of each score, or one more than there are."""
        table = torch.full((self.scores,), len(self.groups))
        for label, places in enumerate(self.groups):
            table[list(places)] = label
        return table

    def class_scores(self, scores: Tensor) -> Tensor:
        """Class scores ``(B, K)`` of a model's ``(B, S)``; ``(B, K + 1)`` for ``'argmax'``."""
        table, classes = self._class_of.to(scores.device), len(self.groups)
        index = table.expand(len(scores), -1)
        if self.rule == "mean":
            # Their softmax is the classes' mean probabilities, made to sum to 1.
            found = scores.new_zeros((len(scores), classes + 1), dtype=torch.float64)
            found.scatter_add_(1, index, scores.double().softmax(dim=1))
            counts = torch.bincount(table, minlength=classes + 1)
            return (found / counts.clamp(min=1))[:, :classes].log()
        found = scores.new_full((len(scores), classes + 1), -torch.inf)
        found.scatter_reduce_(1, index, scores, "amax")
        return found if self.rule == "argmax" else found[:, :classes]

    def classify(self, scores: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """As `classify`; of ``'argmax'`` the five best are those of all scores."""
        if self.rule != "argmax":
            return classify(self.class_scores(scores), labels)
        table, labels = self._class_of.to(scores.device), labels.long()
        log_probabilities = scores.double().log_softmax(dim=1)
        best = log_probabilities.topk(min(TOP, scores.shape[1]), dim=1)
        is_own = table == labels.unsqueeze(1)
        own = log_probabilities.masked_fill(~is_own, -torch.inf).logsumexp(dim=1)
        return {
            "label": labels.int(),
            "prediction": table[best.indices[:, 0]].int(),
            "in_top5": (table[best.indices] == labels.unsqueeze(1)).any(dim=1),
            "confidence": best.values[:, 0].exp().float(),
            "nll": -own.float(),
        }


def check_finite(confidence: npt.NDArray[np.float32], names: Sequence[str]) -> None:
    """Refuse records of scores that were not finite.

    Raises:
        ValueError: If one is; the image is named.
    """
    broken = np.flatnonzero(~np.isfinite(confidence))
    if len(broken):
        raise InputError(
            f"'{names[int(broken[0])]}': the network's logits are not finite, as those of "
            f"{len(broken)} of {len(names)} images of its batch"
        )


__all__ = [
    "SCORINGS",
    "TOKEN_WEIGHT",
    "TOP",
    "Readout",
    "check_finite",
    "classify",
    "scores",
]
