"""COCO detections matched with objects, image by image; what is kept decides every AP.

Images are separable: which detection matches which object depends on its image alone, and
precision on the order of all detections by score. So the records of the images, joined, are all
that `stl_backbones.metrics.detection` needs, for the data set and for any resample of its images.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stl_backbones.errors import InputError, UnknownNameError

KINDS = ("bbox", "segm")
_KEPT = 256  # images; a sweep works on fewer at a time
MAX_DETECTIONS = 100  # per image and category, COCOeval's own largest

_Record = dict[str, npt.NDArray[Any]]


class DetectionMatcher:
    """pycocotools' own matching of single images.

    Thresholds of IoU are .5, .55, ..., .95; areas all, small, medium and large. A crowd is neither
    found nor missed; what is said of ``ignore`` is not read, as in pycocotools; an annotation
    without ``iscrowd`` is no crowd. The area of a mask's detection is the mask's, not its box's.

    Args:
        truth: The annotations; they are not changed.
        category_ids: The category of each class; other categories are not scored.
        kinds: ``'bbox'``, ``'segm'`` or both.
        max_detections: How many of an image and category are matched, the highest scores first.

    Raises:
        ValueError: If the kinds are others, or two classes have one category.
    """

    def __init__(
        self,
        truth: COCO,
        *,
        category_ids: Sequence[int],
        kinds: Sequence[str] = KINDS,
        max_detections: int = MAX_DETECTIONS,
    ) -> None:
        if not kinds or not set(kinds) <= set(KINDS):
            raise InputError(f"kinds must be taken from {', '.join(KINDS)}, got {list(kinds)}")
        if len(set(category_ids)) != len(category_ids):
            raise InputError(f"every class needs its own category, got {list(category_ids)}")
        self._truth, self._max_detections = truth, max_detections
        self._classes = {int(number): index for index, number in enumerate(category_ids)}
        self._evaluations = {kind: COCOeval(iouType=kind) for kind in kinds}
        for evaluation in self._evaluations.values():
            evaluation.params.maxDets = [max_detections]
        self._objects: OrderedDict[int, list[dict[str, Any]]] = OrderedDict()

    def match(self, image_number: int, detections: Sequence[Mapping[str, Any]]) -> _Record:
        """Match the detections of one image.

        Args:
            image_number: Its id in the annotations.
            detections: In COCO's result format: ``image_id``, ``category_id``, ``score``,
                ``bbox`` ``[x, y, width, height]`` and, where masks are scored, ``segmentation``
                as run-length code and, where masks have scores of their own, ``mask_score``.

        Returns:
            The image's record, for `join_images`: ``image_number`` ``(1,)``; per kind
            ``{kind}_detections`` ``(1,)`` how many there are and, for these D,
            ``{kind}_score`` ``(D,)`` float32, ``{kind}_category`` ``(D,)`` class indices,
            ``{kind}_matched`` and ``{kind}_ignored`` ``(D, 4)`` uint16, of which bit t says whether
            the detection has an object, or does not count, at threshold t, with one column per
            area; ``objects`` ``(1,)`` how many there are and, for these G, ``object_category``
            ``(G,)`` and ``object_counted`` ``(G, 4)``, whether it counts in each area.

        Raises:
            KeyError: If the annotations have no such image.
            ValueError: If a detection is of another image or category, or is incomplete.
        """
        if image_number not in self._truth.imgs:
            raise UnknownNameError(
                f"expected an image of the annotations, got id {image_number}, which they lack"
            )
        objects = self._prepared(image_number)
        self._check(image_number, detections)
        record = {"image_number": np.array([image_number], np.int64), **self._counted(objects)}
        for kind in self._evaluations:
            record |= self._matched(kind, image_number, objects, detections)
        return record

    def objects(self, image_number: int) -> list[dict[str, Any]]:
        """The annotations of an image, of every category."""
        return list(self._truth.imgToAnns.get(image_number, ()))

    def _prepared(self, image_number: int) -> list[dict[str, Any]]:
        """The image's objects as COCOeval wants them; kept for a while, as a sweep asks again."""
        if image_number not in self._objects:
            found = self._truth.imgToAnns.get(image_number, [])
            known = [entry for entry in found if entry["category_id"] in self._classes]
            self._objects[image_number] = [
                self._prepare(entry, number) for number, entry in enumerate(known, start=1)
            ]
        self._objects.move_to_end(image_number)
        if len(self._objects) > _KEPT:
            self._objects.popitem(last=False)
        return self._objects[image_number]

    def _prepare(self, annotation: Mapping[str, Any], number: int) -> dict[str, Any]:
        if "area" not in annotation:
            raise InputError(
                f"annotation {annotation.get('id')} has no 'area', which COCO's scores of small, "
                "medium and large objects need; add it: the pixels of its mask or box"
            )
        crowd = int(annotation.get("iscrowd", 0))
        prepared = {
            "id": number,  # COCOeval takes an object of id 0 for none
            "category_id": annotation["category_id"],
            "area": annotation["area"],
            "bbox": annotation["bbox"],
            "iscrowd": crowd,
            "ignore": crowd,
        }
        if "segm" in self._evaluations:
            prepared["segmentation"] = self._truth.annToRLE(annotation)
        return prepared

    def _check(self, image_number: int, detections: Sequence[Mapping[str, Any]]) -> None:
        needed = {"bbox": "bbox", "segm": "segmentation"}
        for found in detections:
            absent = [needed[kind] for kind in self._evaluations if needed[kind] not in found]
            if found["image_id"] != image_number:
                raise InputError(
                    f"expected detections of image {image_number}, got one of {found['image_id']}"
                )
            if found["category_id"] not in self._classes:
                raise InputError(
                    f"a detection on image {image_number} has category {found['category_id']}, "
                    f"which is none of the {len(self._classes)} that are scored"
                )
            if absent or not math.isfinite(found["score"]):
                wrong = f"no '{absent[0]}'" if absent else f"score {found['score']}"
                raise InputError(f"a detection on image {image_number} has {wrong}")

    def _counted(self, objects: Sequence[Mapping[str, Any]]) -> _Record:
        areas = next(iter(self._evaluations.values())).params.areaRng
        counted = [
            [not entry["ignore"] and low <= entry["area"] <= high for low, high in areas]
            for entry in objects
        ]
        classes = [self._classes[entry["category_id"]] for entry in objects]
        return {
            "objects": np.array([len(objects)], np.int32),
            "object_category": np.array(classes, np.int32),
            "object_counted": np.array(counted, np.bool_).reshape(-1, len(areas)),
        }

    def _matched(
        self,
        kind: str,
        image_number: int,
        objects: Sequence[dict[str, Any]],
        detections: Sequence[Mapping[str, Any]],
    ) -> _Record:
        evaluation = self._evaluations[kind]
        evaluation._gts = _by_category(image_number, objects)
        evaluation._dts = _by_category(image_number, _as_results(kind, detections))
        parts = [
            self._matched_class(evaluation, (image_number, category), index)
            for category, index in self._classes.items()
            if (image_number, category) in evaluation._dts
        ]
        areas = len(evaluation.params.areaRng)
        bits = np.empty((0, areas), np.uint16)
        empty = (np.empty(0, np.float32), np.empty(0, np.int32), bits, bits)
        columns = [np.concatenate(arrays) for arrays in zip(empty, *parts, strict=True)]
        names = ("score", "category", "matched", "ignored")
        return {
            f"{kind}_detections": np.array([len(columns[0])], np.int32),
            **{f"{kind}_{name}": values for name, values in zip(names, columns, strict=True)},
        }

    def _matched_class(
        self, evaluation: COCOeval, key: tuple[int, int], index: int
    ) -> tuple[npt.NDArray[Any], ...]:
        """Scores in falling order, class, and the two kinds of bits of one category."""
        if key not in evaluation._gts:
            return self._unmatched_class(evaluation, evaluation._dts[key], index)
        evaluation.ious = {key: evaluation.computeIoU(*key)}
        found = [
            evaluation.evaluateImg(*key, area, self._max_detections)
            for area in evaluation.params.areaRng
        ]
        scores = np.array(found[0]["dtScores"], np.float32)
        matched = _bits(np.stack([one["dtMatches"] > 0 for one in found]))
        ignored = _bits(np.stack([one["dtIgnore"] for one in found]))
        return scores, np.full(len(scores), index, np.int32), matched, ignored

    def _unmatched_class(
        self, evaluation: COCOeval, detections: Sequence[Mapping[str, Any]], index: int
    ) -> tuple[npt.NDArray[Any], ...]:
        """The same of a category without objects, of which most are, as COCOeval has it."""
        scores = np.array([found["score"] for found in detections])
        order = np.argsort(-scores, kind="mergesort")[: self._max_detections]
        area = np.array([found["area"] for found in detections])[order, None]
        low, high = np.array(evaluation.params.areaRng).T
        all_thresholds = (1 << len(evaluation.params.iouThrs)) - 1
        ignored = ((area < low) | (area > high)).astype(np.uint16) * np.uint16(all_thresholds)
        classes = np.full(len(order), index, np.int32)
        return scores[order].astype(np.float32), classes, np.zeros_like(ignored), ignored


def join_images(records: Sequence[Mapping[str, npt.NDArray[Any]]]) -> _Record:
    """Join the records of `DetectionMatcher.match` to the samples of a cell.

    Args:
        records: One per image, at least one, in the order of the cell's images.

    Returns:
        Name -> the images' arrays one after another.

    Raises:
        ValueError: If there is no image, or some were scored with masks and some without.
    """
    if not records:
        raise InputError("expected the records of at least one image, got none")
    names = list(records[0])
    for record in records:
        if list(record) != names:
            raise InputError(
                f"expected records with {', '.join(names)}, got one with {', '.join(record)}"
            )
    return {name: np.concatenate([record[name] for record in records]) for name in names}


def _as_results(kind: str, detections: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Detections with the fields that ``COCO.loadRes`` adds."""
    shape = "bbox" if kind == "bbox" else "segmentation"
    shapes = [found[shape] for found in detections]
    if kind == "bbox":
        areas = [width * height for _, _, width, height in shapes]
    else:
        areas = coco_mask.area(shapes).tolist() if shapes else []
    return [
        {
            "id": number,
            "category_id": found["category_id"],
            "score": found.get("mask_score", found["score"]) if kind == "segm" else found["score"],
            shape: found[shape],
            "area": area,
        }
        for number, (found, area) in enumerate(zip(detections, areas, strict=True), start=1)
    ]


def _by_category(
    image_number: int, entries: Sequence[dict[str, Any]]
) -> dict[tuple[int, int], list[dict[str, Any]]]:
    found: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for entry in entries:
        found.setdefault((image_number, entry["category_id"]), []).append(entry)
    return found


def _bits(flags: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """``(areas, T, D)`` flags -> ``(D, areas)``, threshold t as bit t."""
    places = (1 << np.arange(flags.shape[1])).astype(np.uint16)
    return (places[:, None] * flags.astype(np.bool_)).sum(axis=1, dtype=np.uint16).T


__all__ = ["KINDS", "MAX_DETECTIONS", "DetectionMatcher", "join_images"]
