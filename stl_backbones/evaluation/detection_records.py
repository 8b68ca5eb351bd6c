"""All that is kept of a predicted image: which detections match which objects, and themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.evaluation.coco_results import encode_image, to_coco_results
from stl_backbones.evaluation.detection import DetectionMatcher

PACKED = "packed_detections"

_Record = dict[str, npt.NDArray[Any]]


class RecordMaker:
    """Makes the record of an image; uses no torch, so a forked process may.

    Args:
        matcher: Knows the objects.
        category_ids: The category of each class.
        kinds: ``'bbox'``, ``'segm'`` or both.
    """

    def __init__(
        self, matcher: DetectionMatcher, *, category_ids: Sequence[int], kinds: Sequence[str]
    ) -> None:
        self._matcher, self._category_ids, self._kinds = matcher, category_ids, kinds

    def __call__(self, item: tuple[str, int, _Record]) -> _Record:
        """Match and pack the instances of an image.

        Args:
            item: The image's name for messages, its id in the annotations, and its instances as
                `stl_backbones.evaluation.coco_results.to_coco_results` takes them.

        Returns:
            What `DetectionMatcher.match` gives, ``packed_detections`` ``(bytes,)`` uint8, and
            ``packed_detections_size`` ``(1,)``.

        Raises:
            InputError: If the model's labels are no classes, or a number is not finite.
        """
        name, number, instances = item
        try:
            found = to_coco_results(
                instances,
                category_ids=self._category_ids,
                kinds=self._kinds,
                image_number=number,
            )
        except ValueError as error:
            raise InputError(f"'{name}': {error}") from error
        packed = np.frombuffer(encode_image(found), np.uint8)
        return {
            **self._matcher.match(number, found),
            PACKED: packed,
            f"{PACKED}_size": np.array([len(packed)], np.int64),
        }


__all__ = ["PACKED", "RecordMaker"]
