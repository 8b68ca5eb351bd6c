"""Label maps on their way to the model: packed in 64 bits a pixel, sent in 8 where those hold them.

At 2048x1024 a packed label map has 16 MiB, its image 6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from stl_backbones.robustness.feeding import Put, map_tensors

_LABELS = "gt_sem_seg"


@dataclass
class NarrowSample:
    """A packed sample, and which of its label maps are 8 bits wide on the way.

    Attributes:
        sample: ``inputs`` and ``data_samples``.
        narrowed: mmengine's ``PixelData`` inside of it.
    """

    sample: Any
    narrowed: list[Any]

    @classmethod
    def of(cls, sample: Any) -> NarrowSample:
        """Narrow the label maps of a sample, in place."""
        narrowed = [labels for labels in _label_maps(sample) if _fits(labels.data)]
        for labels in narrowed:
            labels.data = labels.data.to(torch.uint8)
        return cls(sample, narrowed)

    def sent(self, put: Put) -> Any:
        """The sample, as it was, with image and label maps put where the model is."""
        for labels in self.narrowed:
            labels.data = put(labels.data).long()
        return {**self.sample, "inputs": map_tensors(self.sample["inputs"], put)}


def _label_maps(sample: Any) -> Iterator[Any]:
    packed = sample.get("data_samples") if isinstance(sample, dict) else None
    for part in packed if isinstance(packed, list | tuple) else [packed]:
        labels = getattr(part, _LABELS, None)
        if isinstance(getattr(labels, "data", None), torch.Tensor):
            yield labels


def _fits(labels: torch.Tensor) -> bool:
    if labels.dtype != torch.int64 or not labels.numel():
        return False
    least, most = labels.aminmax()
    return int(least) >= 0 and int(most) <= torch.iinfo(torch.uint8).max


__all__ = ["NarrowSample"]
