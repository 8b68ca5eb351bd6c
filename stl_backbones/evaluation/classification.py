"""Classified images as top-1 and top-5 accuracy, by the class token alone and with the tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from stl_backbones.errors import InputError
from stl_backbones.evaluation.classified import SCORINGS, scores
from stl_backbones.registry import METRICS


@METRICS.register_module()
class TopKAccuracy(BaseMetric):
    """Top-1 and top-5 accuracy in percent, unrounded, of both scorings.

    Names are ``cls_top1``, ``cls_top5`` and, where the network has a token head,
    ``cls_plus_max_token_top1`` and ``cls_plus_max_token_top5``. One record per image is kept, so
    that images which several processes scored to even out their shares count once.

    Args:
        topk: The k of top-k.
        collect_device: ``'cpu'`` or ``'gpu'``.
        prefix: Put before the metrics' names.
    """

    default_prefix = ""

    def __init__(
        self,
        *,
        topk: Sequence[int] = (1, 5),
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = tuple(topk)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep for each sample of a batch which metrics it is correct by.

        Raises:
            ValueError: If a label is no class, or the logits are not finite; the image is named.
        """
        del data_batch
        labels = torch.as_tensor([int(sample["label"]) for sample in data_samples])
        scorings = [SCORINGS[0]]
        if "max_token_logits" in data_samples[0]:
            scorings.append(SCORINGS[1])
        correct: dict[str, list[bool]] = {}
        for scoring in scorings:
            batch = torch.stack([scores(sample, scoring) for sample in data_samples]).float().cpu()
            _check(batch, labels, data_samples)
            best = batch.topk(min(max(self.topk), batch.shape[1])).indices
            hits = best == labels.unsqueeze(1)
            for k in self.topk:
                correct[f"{scoring}_top{k}"] = hits[:, :k].any(dim=1).tolist()
        names = tuple(correct)
        self.results.extend(
            dict(zip(names, row, strict=True)) for row in zip(*correct.values(), strict=True)
        )

    def compute_metrics(self, results: list[dict[str, bool]]) -> dict[str, float]:
        """Share of correct images, in percent."""
        return {
            name: 100 * sum(record[name] for record in results) / len(results)
            for name in results[0]
        }


def _check(batch: Tensor, labels: Tensor, samples: Sequence[Mapping[str, Any]]) -> None:
    classes = batch.shape[1]
    wrong = ((labels < 0) | (labels >= classes)).nonzero()
    if len(wrong):
        at = int(wrong[0])
        raise InputError(
            f"'{samples[at].get('path', 'image')}': label must be in 0..{classes - 1}, "
            f"got {int(labels[at])}"
        )
    broken = (~batch.isfinite().all(dim=1)).nonzero()
    if len(broken):
        name = samples[int(broken[0])].get("path", "image")
        raise InputError(f"'{name}': the network's logits are not finite; its training diverged")


__all__ = ["TopKAccuracy"]
