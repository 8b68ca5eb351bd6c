"""The labels of every sample that is trained on: what is no class is the user's, not a crash."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from stl_backbones.config.data_check import find_heads, innermost
from stl_backbones.datasets.label_ids import advise_labels
from stl_backbones.errors import InputError


def check_every_sample(model: Any, dataset: Any) -> None:
    """Have a data set refuse labels that its model's heads do not have, in every sample.

    A loss fails on them, images later, with an obscure message (``Target 7 is out of bounds``), or
    on a GPU takes the process with it. The check runs in the data set's pipeline, so in the
    workers.

    Args:
        model: The built model, out of any wrapper.
        dataset: The built data set, wrapped or not; changed in place. What has no pipeline of steps
            is left as it is.
    """
    heads = dict(find_heads(model))
    head = heads.get("decode_head") or next(iter(heads.values()), None)
    if head is None:
        return
    count = 2 if getattr(head, "out_channels", None) == 1 else head.num_classes  # binary
    is_dense = hasattr(model, "decode_head")
    check = CheckPackedLabels(
        count, ignored={255, getattr(head, "ignore_index", 255)} if is_dense else ()
    )
    for inner in innermost(dataset):
        steps = getattr(getattr(inner, "pipeline", None), "transforms", None)
        if isinstance(steps, list):
            steps.append(check)


class CheckPackedLabels:
    """The last step of a pipeline: refuses a packed sample with labels that are no class.

    Args:
        num_classes: Labels of pixels, or of objects, must be in 0..num_classes - 1.
        ignored: Or one of these, for pixels; of objects where this is empty.
    """

    def __init__(self, num_classes: int, *, ignored: Collection[int]) -> None:
        self.num_classes, self.ignored = num_classes, frozenset(ignored)

    def __call__(self, results: Any) -> Any:
        """Check ``results['data_samples']``; change nothing.

        Raises:
            ValueError: If there is such a label; the file is named.
        """
        sample = results.get("data_samples") if isinstance(results, dict) else None
        part = getattr(sample, "gt_sem_seg" if self.ignored else "gt_instances", None)
        labels = getattr(part, "data" if self.ignored else "labels", None)
        if not isinstance(labels, torch.Tensor) or labels.is_floating_point() or not labels.numel():
            return results
        if int(labels.min()) >= 0 and int(labels.max()) < self.num_classes:
            return results
        present = torch.unique(labels).tolist()
        unknown = [v for v in present if not 0 <= v < self.num_classes and v not in self.ignored]
        if unknown:
            path = getattr(sample, "seg_map_path", None) or getattr(sample, "img_path", "sample")
            or_ignored = f" or {sorted(self.ignored)} (ignored)" if self.ignored else ""
            advice = advise_labels(unknown, self.num_classes) if self.ignored else ""
            raise InputError(
                f"'{path}' holds labels that are no class: expected 0..{self.num_classes - 1}"
                f"{or_ignored}, got {unknown}{advice}"
            )
        return results


__all__ = ["CheckPackedLabels", "check_every_sample"]
