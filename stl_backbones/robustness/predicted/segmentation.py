"""Label maps of any model: one confusion matrix per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from stl_backbones.errors import InputError, some_of
from stl_backbones.evaluation.pixel_calibration import count_confidences, kind_of_scores
from stl_backbones.metrics import IGNORE_INDEX, confusion_matrix, ignored_text
from stl_backbones.robustness.examined import LabelMaps
from stl_backbones.robustness.predicted.base import PredictedSet, relative
from stl_backbones.robustness.predictor import Result, as_array
from stl_backbones.robustness.tasks.base import Samples
from stl_backbones.robustness.tasks.kept_confusions import CALIBRATION, ConfusionScores


class PredictedMaps(ConfusionScores, PredictedSet):
    """A segmentation model, see `PredictedSet`."""

    def prepare(self, first: Sequence[Result]) -> None:
        """Find the label that is ignored, and what the scores of classes are."""
        kinds = {
            kind_of_scores(torch.from_numpy(np.array(as_array(one)))) if _is_scores(one) else None
            for one in first
        }
        self.scores_kind = kinds.pop() if len(kinds) == 1 else None
        self.ignore_index = int(getattr(self.items, "ignore_index", IGNORE_INDEX))
        if self.order is not None and -1 in self.order:
            unknown = [
                n for n, o in zip(self.model.classes or (), self.order, strict=True) if o < 0
            ]
            raise InputError(
                f"model '{self.model.name}' has classes that the data set lacks "
                f"({some_of(unknown)}), and pixels of them would count nowhere; give the data set "
                "all classes of the model with --classes FILE"
            )
        self.table = None if self.order is None else np.array(self.order)

    def inference(self) -> Sequence[str]:
        """An unusual ignored label."""
        return ignored_text(self.ignore_index)

    def record(self, image: int, size: tuple[int, int], result: Result) -> Samples:
        """``confusion_matrix`` ``(1, K, K)``; ``pixel_calibration`` of scores, ``(1, 3, bins)``."""
        label, classes = as_array(self.truth(image)), len(self.items.classes)
        scores, found = self._read(result, size)
        if label.shape != size:
            raise InputError(f"the label map is {label.shape}, the image {size} (height, width)")
        counts = confusion_matrix(found, label, num_classes=classes, ignore_index=self.ignore_index)
        samples: Samples = {"confusion_matrix": counts[None]}
        if self.scores_kind is not None:
            samples[CALIBRATION] = self._binned(scores, found, label)[None]
        return samples

    def look(self, image: int, versions: Any) -> tuple[LabelMaps, Samples]:
        """The label map of an image."""
        ((size, prepared),) = versions
        (result,) = self.model.results([prepared])
        samples = self._recorded(image, size, result)
        truth = as_array(self.truth(image))
        return LabelMaps(self._read(result, size)[1], truth, self.ignore_index), samples

    def _read(
        self, result: Result, size: tuple[int, int]
    ) -> tuple[Tensor | None, npt.NDArray[np.integer]]:
        """Class scores of the image's size, where the model gives any, and the label map."""
        scores = self._resized(self._scores(result), size) if _is_scores(result) else None
        guess = None if scores is None else scores.max(0).indices.to(torch.int16)
        return scores, self._labels(as_array(result if guess is None else guess), size)

    def _binned(
        self,
        scores: Tensor | None,
        found: npt.NDArray[np.integer],
        label: npt.NDArray[np.integer],
    ) -> npt.NDArray[np.int64]:
        """Pixels by confidence."""
        if scores is None or self.scores_kind is None:
            raise InputError("the model returns a label map, and class scores of other images")
        guess, truth = (
            torch.from_numpy(one.astype(np.int64)).to(scores.device) for one in (found, label)
        )
        binned = count_confidences(
            scores, guess, truth, kind=self.scores_kind, ignore_index=self.ignore_index
        )
        return binned.cpu().numpy()

    def _labels(
        self, found: npt.NDArray[np.integer], size: tuple[int, int]
    ) -> npt.NDArray[np.integer]:
        """A label map in the data's labels."""
        states = len(self.items.classes)
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

    def _scores(self, result: Result) -> Tensor:
        """Class scores ``(K, h, w)``, where they are."""
        if not isinstance(result, torch.Tensor):
            result = torch.from_numpy(np.require(as_array(result), requirements="W"))
        scores = result.detach().float()
        states = len(self.items.classes)
        if len(scores) != states:
            raise InputError(
                f"expected scores of {states} classes, the data's, got {len(scores)}: give the "
                "model's class names with --model-classes FILE"
            )
        # Far quicker than `isfinite` of each; NaN is kept by both.
        if not torch.stack(scores.aminmax()).isfinite().all():
            raise InputError("the model's class scores are not finite; are its weights whole?")
        return scores

    def _resized(self, scores: Tensor, size: tuple[int, int]) -> Tensor:
        """Scores ``(K, H, W)`` of an image's pixels, after bilinear resizing as mmseg's."""
        if tuple(scores.shape[1:]) == size:
            return scores
        return F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]

    def difference(self, one: Result, other: Result) -> float:
        """Of scores by their numbers, of label maps by the share of other pixels."""
        first, second = as_array(one), as_array(other)
        if first.dtype.kind in "iub" and first.shape == second.shape:
            return float((first != second).mean())
        return relative(first, second)


def _is_scores(result: Result) -> bool:
    return np.ndim(result) == 3 and len(result) > 1


__all__ = ["PredictedMaps"]
