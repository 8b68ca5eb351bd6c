"""Boxes and masks of any model: which detections match which objects, and the detections."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from stl_backbones.engine.to_host import to_host
from stl_backbones.errors import InputError
from stl_backbones.evaluation.coco_results import instances_of
from stl_backbones.evaluation.detection import DetectionMatcher
from stl_backbones.evaluation.detection_records import RecordMaker
from stl_backbones.records import CLEAN
from stl_backbones.robustness.predicted.base import PredictedSet, relative
from stl_backbones.robustness.predictor import Detections, Result, as_array
from stl_backbones.robustness.tasks.base import Block
from stl_backbones.robustness.tasks.kept_detections import DetectionScores

_SHARE = 1.5  # a box that ends before is in shares of the image, not in pixels


class PredictedBoxes(DetectionScores, PredictedSet):
    """A detector, see `PredictedSet`."""

    def prepare(self, first: Sequence[Result]) -> None:
        """Index the truth; masks are scored where model and truth have them."""
        items: Any = self.items
        self.has_masks = items.has_masks and self._gives_masks(first)
        self.kinds = ("bbox", "segm") if self.has_masks else ("bbox",)
        self.category_ids = items.category_ids
        self.matcher = DetectionMatcher(
            items.coco(), category_ids=self.category_ids, kinds=self.kinds
        )
        # Whether any box so far cannot be in shares of the image.
        self._in_pixels = False

    def inference(self) -> Sequence[str]:
        """Boxes or masks."""
        return ("boxes and masks" if self.has_masks else "boxes",)

    def score_block(self, block: Block, versions: Sequence[Any]) -> Any:
        """Predict the images together, and have their records made."""
        return self.records(block, versions)

    def check_result(self, image: int, size: tuple[int, int], result: Result) -> None:
        """Make the record of a result here."""
        make = RecordMaker(self.matcher, category_ids=self.category_ids, kinds=self.kinds)
        instances = instances_of(self._instances(result, size), kinds=self.kinds)
        make((self.keys[image], self.truth(image), to_host(instances)()))

    def record(self, image: int, size: tuple[int, int], result: Result) -> Any:
        """Have a record made; it is waited for in `collect`."""
        instances = instances_of(self._instances(result, size), kinds=self.kinds)
        return self.submit(self.keys[image], self.truth(image), instances)

    def _instances(self, result: Result, size: tuple[int, int]) -> Any:
        """Checked boxes, with the data's labels; those of classes that the data lack go."""
        if not isinstance(result, Detections):
            raise InputError(
                f"expected stl_backbones.Detections(boxes, scores, labels, masks), got "
                f"{type(result).__name__}"
            )
        boxes = as_array(result.boxes).reshape(-1, 4) if len(result.boxes) else np.empty((0, 4))
        scores, labels = as_array(result.scores), as_array(result.labels)
        if not len(boxes) == len(scores) == len(labels) or labels.dtype.kind not in "iu":
            labels_kind = f"{len(labels)} labels of {labels.dtype}"
            if len(labels) or len(boxes):
                raise InputError(
                    "expected as many scores and labels, integers, as boxes, got "
                    f"{len(boxes)} boxes, {len(scores)} scores, {labels_kind}"
                )
        self._check_boxes(boxes, size)
        labels = labels.astype(np.int64)
        masks = None if result.masks is None else as_array(result.masks)
        if self.order is not None:
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.order):
                raise InputError(
                    f"the model predicts labels {labels.min()}..{labels.max()}, and states "
                    f"{len(self.order)} classes, from label 0 on (torchvision's detectors begin "
                    "with '__background__')"
                )
            labels = np.array(self.order, np.int64)[labels]
            known = labels >= 0
            boxes, scores, labels = boxes[known], scores[known], labels[known]
            masks = None if masks is None else masks[known]
        found = _Instances(boxes, scores, labels, self._masks(masks, size, len(boxes)))
        return SimpleNamespace(pred_instances=found)

    def _gives_masks(self, first: Sequence[Result]) -> bool:
        """Whether the first result that has any detection has masks; few images have none."""
        for result in first:
            if len(getattr(result, "boxes", ())):
                return result.masks is not None
        for image in range(len(first), len(self.keys)):
            (result,) = self.model.results([self.versions.make(image, CLEAN)[1]])
            if len(getattr(result, "boxes", ())):
                return result.masks is not None
        return False

    def _masks(self, masks: Any, size: tuple[int, int], count: int) -> Any:
        if not self.has_masks:
            return None
        if masks is None and count:
            raise InputError("the model returns no masks, where others of its results have them")
        if masks is None:
            return np.empty((0, *size), np.uint8)
        masks = masks.reshape(-1, *masks.shape[-2:]) if len(masks) else np.empty((0, *size), bool)
        if masks.shape[1:] != size or masks.dtype.kind not in "biu":
            raise InputError(
                f"expected masks (n, {size[0]}, {size[1]}) of booleans, got {masks.shape} "
                f"{masks.dtype}"
            )
        return masks.astype(np.uint8)

    def _check_boxes(self, boxes: Any, size: tuple[int, int]) -> None:
        """Refuse boxes that are no corners in pixels."""
        if not len(boxes) or not np.isfinite(boxes).all():
            return  # said elsewhere
        if (boxes[:, 2:] < boxes[:, :2]).any():
            raise InputError(
                f"box {boxes[(boxes[:, 2:] < boxes[:, :2]).any(axis=1)][0].tolist()} ends before "
                "it begins: expected left, top, right, bottom; is it x, y, width, height?"
            )
        if boxes.max() > _SHARE:
            self._in_pixels = True
        elif not self._in_pixels and min(size) > _SHARE:
            raise InputError(
                f"all {len(boxes)} boxes lie in 0..{boxes.max():.3g}: expected pixels of the image "
                f"of {size[1]}x{size[0]}; are they shares of it?"
            )

    def difference(self, one: Result, other: Result) -> float:
        """Of the sorted scores."""
        first, second = (np.sort(as_array(d.scores))[::-1] for d in (one, other))
        count = min(len(first), len(second), 10)
        return relative(first[:count], second[:count])


class _Instances:
    """What `instances_of` reads of mmdet's instances."""

    def __init__(self, boxes: Any, scores: Any, labels: Any, masks: Any) -> None:
        self.bboxes, self.scores, self.labels, self.masks = boxes, scores, labels, masks

    def __contains__(self, name: str) -> bool:
        return getattr(self, name, None) is not None


__all__ = ["PredictedBoxes"]
