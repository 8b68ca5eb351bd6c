"""Label maps of any model: one confusion matrix per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from stl_backbones.errors import InputError, some_of
from stl_backbones.metrics import IGNORE_INDEX, confusion_matrix
from stl_backbones.robustness.examined import LabelMaps
from stl_backbones.robustness.predicted.base import PredictedSet, relative
from stl_backbones.robustness.predictor import Result, as_array
from stl_backbones.robustness.tasks.base import Samples
from stl_backbones.robustness.tasks.kept_confusions import ConfusionScores


class PredictedMaps(ConfusionScores, PredictedSet):
    """A segmentation model, see `PredictedSet`."""

    def prepare(self, first: Sequence[Result]) -> None:
        """Find the label that is ignored."""
        del first
        self.ignore_index = int(getattr(self.items, "ignore_index", IGNORE_INDEX))
        if self.order is not None and -1 in self.order:
            foreign = [
                n for n, o in zip(self.model.classes or (), self.order, strict=True) if o < 0
            ]
            raise InputError(
                f"model '{self.model.name}' has classes that the data set lacks "
                f"({some_of(foreign)}), and pixels of them would count nowhere; give the data set "
                "all classes of the model with --classes FILE"
            )
        self.table = None if self.order is None else np.array(self.order)

    def inference(self) -> Sequence[str]:
        """An unusual ignored label."""
        if self.ignore_index == IGNORE_INDEX:
            return ()
        return (f"label {self.ignore_index} ignored",)

    def record(self, image: int, size: tuple[int, int], result: Result) -> Samples:
        """``confusion_matrix`` ``(1, K, K)``."""
        label, classes = as_array(self.truth(image)), len(self.items.classes)
        found = self._labels(result, size)
        if label.shape != size:
            raise InputError(f"the label map is {label.shape}, the image {size} (height, width)")
        counts = confusion_matrix(found, label, num_classes=classes, ignore_index=self.ignore_index)
        return {"confusion_matrix": counts[None]}

    def look(self, image: int, versions: Any) -> tuple[LabelMaps, Samples]:
        """The label map of an image."""
        ((size, prepared),) = versions
        (result,) = self.model.results([prepared])
        samples = self._recorded(image, size, result)
        truth = as_array(self.truth(image))
        return LabelMaps(self._labels(result, size), truth, self.ignore_index), samples

    def _labels(self, result: Result, size: tuple[int, int]) -> npt.NDArray[np.integer]:
        """The label map of a result, in the data's labels."""
        states = len(self.items.classes)
        is_scores = np.ndim(result) == 3 and len(result) > 1
        found = self._from_scores(result, states, size) if is_scores else as_array(result)
        if found.ndim == 3 and found.shape[0] == 1 and found.dtype.kind in "iu":
            found = found[0]
        if found.ndim != 2 or found.dtype.kind not in "iub":
            raise InputError(
                f"expected a label map {size} of integers or class scores ({states}, h, w), got "
                f"{found.shape} {found.dtype}"
            )
        if found.shape != size:
            raise InputError(
                f"the label map is {found.shape}, the image {size} (height, width); return class "
                "scores (K, h, w), which are resized here, or resize it"
            )
        if found.size and not 0 <= found.min() <= found.max() < states:
            raise InputError(
                f"the label map holds {found.min()}..{found.max()}, the model has {states} classes"
            )
        return found if self.table is None else self.table[found]

    def _from_scores(
        self, result: Result, states: int, size: tuple[int, int]
    ) -> npt.NDArray[np.integer]:
        """The best class of each pixel, after bilinear resizing as mmseg's."""
        if not isinstance(result, torch.Tensor):
            result = torch.from_numpy(np.require(as_array(result), requirements="W"))
        scores = result.detach().float()  # where it is
        if len(scores) != states:
            raise InputError(
                f"expected scores of {states} classes, the data's, got {len(scores)}: give the "
                "model's class names with --model-classes FILE"
            )
        if not scores.isfinite().all():
            raise InputError("the model's class scores are not finite; are its weights whole?")
        if tuple(scores.shape[1:]) != size:
            scores = F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]
        return scores.argmax(0).to(torch.int16).cpu().numpy()

    def difference(self, one: Result, other: Result) -> float:
        """Of scores by their numbers, of label maps by the share of other pixels."""
        first, second = as_array(one), as_array(other)
        if first.dtype.kind in "iub" and first.shape == second.shape:
            return float((first != second).mean())
        return relative(first, second)


__all__ = ["PredictedMaps"]
