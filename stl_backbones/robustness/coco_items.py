"""COCO's annotations with a folder of images, and boxes of any other origin in their format."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stl_backbones.datasets.coco_annotations import (
    coco_of_items,
    find_whole,
    group_by_image,
    match_categories,
    read_annotations,
)
from stl_backbones.datasets.integrity import image_id
from stl_backbones.errors import InputError, some_of
from stl_backbones.paths import check_folder
from stl_backbones.robustness.items import GivenItems, Items, read_image
from stl_backbones.robustness.predictor import Pixels, as_array
from stl_backbones.robustness.provenance import data_name, fingerprint


class CocoItems(Items):
    """Images with objects in COCO's format.

    Args:
        annotations: The JSON file.
        images: The folder that its file names are below.
        classes: Names of the categories that are scored, in the order of the labels; default: all,
            in the order of their ids.
        limit: Only the first images.
        skip_broken: Leave broken images out.

    Raises:
        MissingFileError: If a file or folder is missing.
        InputError: If the file is no such file, or an image or object is broken.
    """

    task = "detection"

    def __init__(
        self,
        annotations: str | Path,
        images: str | Path,
        *,
        classes: Sequence[str] | None = None,
        limit: int | None = None,
        skip_broken: bool = False,
    ) -> None:
        self.root, self.path = check_folder(images, "image folder"), Path(annotations)
        content = read_annotations(self.path)
        every = sorted(content["categories"], key=lambda category: category["id"])
        unnamed = [category["id"] for category in every if category.get("name") is None]
        if unnamed:
            raise InputError(f"'{self.path}': categories need a name, {some_of(unnamed)} has none")
        names = [str(category["name"]) for category in every] if classes is None else list(classes)
        self.category_ids = tuple(match_categories(every, names, source=self.path))
        self.classes = tuple(names)
        whole, broken = find_whole(
            content["images"],
            group_by_image(content, source=self.path),
            folder=self.root,
            category_ids={category["id"] for category in every},
            source=self.path,
            masks=False,
            skip_broken=skip_broken,
        )
        # What a broken image has is not scored, and need not be whole.
        entries = [content["images"][index] for index in whole]
        ids = {entry["id"] for entry in entries}
        objects = [one for one in content["annotations"] if one["image_id"] in ids]
        self.truth_content = {**content, "images": entries, "annotations": objects}
        scored = [one for one in objects if one["category_id"] in self.category_ids]
        if all(one.get("iscrowd") for one in scored):
            raise InputError(f"'{self.path}' has no object of the {len(names)} classes to score")
        self.has_masks = bool(scored) and all(one.get("segmentation") for one in scored)
        self.total = len(content["images"])
        self.skipped = tuple(image_id(path, self.root) for path in broken)
        self._images = entries[:limit]
        self.keys = tuple(image["file_name"] for image in self._images)
        self.title = data_name(self.root)
        files = [(key, self.root / key) for key in self.keys]
        self.fingerprint = fingerprint([*files, ("annotations", self.path)])

    def image(self, index: int) -> Pixels:
        """The image, as OpenCV decodes it."""
        return read_image(self.root / self.keys[index])

    def truth(self, index: int) -> int:
        """Its id in the annotations."""
        return int(self._images[index]["id"])

    def coco(self) -> Any:
        """Pycocotools' index of the annotations."""
        return _indexed(self.truth_content)


class GivenBoxes(Items):
    """Boxes of a sequence, in COCO's format.

    Args:
        given: The sequence's images and boxes.
    """

    task = "detection"
    root = None
    has_masks = False

    def __init__(self, given: GivenItems) -> None:
        self._given = given
        self.title, self.keys, self.classes = given.title, given.keys, given.classes
        self.total, self.fingerprint = given.total, given.fingerprint
        self.category_ids = tuple(range(len(given.classes)))
        self._content = coco_of_items(
            [self._item(index) for index in range(len(given.keys))], given.classes
        )

    def _item(self, index: int) -> dict[str, Any]:
        key, truth = self.keys[index], self._given.truth(index)
        height, width = self._given.image(index).shape[:2]
        boxes = as_array(truth["boxes"]).astype(float).reshape(-1, 4)
        labels = as_array(truth["labels"]).reshape(-1)
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise InputError(
                f"image '{key}' has labels {labels.min()}..{labels.max()}, there are "
                f"{len(self.classes)} classes"
            )
        if len(boxes) and boxes.max() <= 1.5 and min(height, width) > 2:
            raise InputError(
                f"image '{key}': all boxes lie in 0..{boxes.max():.3g}: expected pixels of the "
                f"image of {width}x{height}; are they shares of it?"
            )
        if len(boxes) != len(labels) or (boxes[:, 2:] < boxes[:, :2]).any():
            raise InputError(
                f"image '{key}': expected one box a label, as left, top, right, bottom in pixels"
            )
        instances = [
            {"bbox": box.tolist(), "bbox_label": int(label)}
            for box, label in zip(boxes, labels, strict=True)
        ]
        return {"img_path": key, "height": height, "width": width, "instances": instances}

    def image(self, index: int) -> Pixels:
        """The image."""
        return self._given.image(index)

    def truth(self, index: int) -> int:
        """Its number in `coco`."""
        return index + 1

    def coco(self) -> Any:
        """Pycocotools' index of the boxes."""
        return _indexed(self._content)


def _indexed(content: dict[str, Any]) -> Any:
    from pycocotools.coco import COCO

    truth = COCO()
    truth.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


__all__ = ["CocoItems", "GivenBoxes"]
