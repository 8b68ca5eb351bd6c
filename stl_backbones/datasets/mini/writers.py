"""The three on-disk layouts that public tools read: Cityscapes, COCO, ImageNet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stl_backbones.datasets.street_scenes.scene import Crop, Instance, Scene
from stl_backbones.errors import InputError

CITY = "mini"
# COCO's own numbers and names, in COCO's order.
COCO_CATEGORIES = {
    1: ("person", "person"),
    2: ("bicycle", "vehicle"),
    3: ("car", "vehicle"),
    4: ("motorcycle", "vehicle"),
    6: ("bus", "vehicle"),
    7: ("train", "vehicle"),
    8: ("truck", "vehicle"),
    10: ("traffic light", "outdoor"),
}
# Cityscapes trainId -> COCO category; to COCO, who rides is a person. Signs have no category.
TO_COCO = {11: 1, 12: 1, 18: 2, 13: 3, 17: 4, 15: 6, 16: 7, 14: 8, 6: 10}
MIN_VISIBLE = 12  # pixels; a thing of which less is seen is not annotated
JPEG_QUALITY = 95

_ZOOM = 4  # contours are traced on an enlarged mask, so that they run along the pixels' edges
_SMOOTHING = 0.3  # pixels by which a polygon may leave the staircase of the mask


def write_cityscapes(root: Path, split: str, number: int, scene: Scene) -> None:
    """Write a scene's picture and its map of trainIds below ``root``."""
    stem = f"{CITY}_{number:06d}"
    picture = root / "leftImg8bit" / split / CITY / f"{stem}_leftImg8bit.png"
    labels = root / "gtFine" / split / CITY / f"{stem}_gtFine_labelTrainIds.png"
    write_image(picture, scene.image)
    write_image(labels, scene.labels)


class CocoWriter:
    """Writes the scenes of one split and collects their annotations.

    Args:
        root: Folder that gets ``annotations`` and the picture folders.
        split: ``train`` or ``val``.
    """

    def __init__(self, root: Path, split: str) -> None:
        self._root = root
        self._name = f"{split}2017"
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, scene: Scene) -> None:
        """Write a scene's picture and remember what it shows."""
        number = len(self._images) + 1
        file_name = f"{number:012d}.jpg"
        write_image(self._root / self._name / file_name, scene.image)
        height, width = scene.labels.shape
        self._images.append(
            {"id": number, "file_name": file_name, "height": height, "width": width, "license": 1}
        )
        for instance in scene.instances:
            annotation = annotate(instance)
            if annotation is not None:
                annotation.update(id=len(self._annotations) + 1, image_id=number)
                self._annotations.append(annotation)

    def close(self) -> None:
        """Write the annotation file."""
        content = {
            "info": {"description": "stl_backbones mini street scenes, generated", "version": "1"},
            "licenses": [{"id": 1, "name": "the licence of stl_backbones", "url": ""}],
            "images": self._images,
            "annotations": self._annotations,
            "categories": [
                {"id": number, "name": name, "supercategory": group}
                for number, (name, group) in COCO_CATEGORIES.items()
            ],
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        path = self._root / "annotations" / f"instances_{self._name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")


def annotate(instance: Instance) -> dict[str, Any] | None:
    """Return the COCO annotation of what is seen of a thing, without its numbers.

    Returns:
        The annotation, or None if COCO has no such category or too little is seen.
    """
    area = int(np.count_nonzero(instance.mask))
    if instance.category not in TO_COCO or area < MIN_VISIBLE:
        return None
    polygons = trace(instance.mask)
    if not polygons:
        return None
    rows, columns = np.nonzero(instance.mask)
    left, top = int(columns.min()), int(rows.min())
    return {
        "category_id": TO_COCO[instance.category],
        "bbox": [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1],
        "area": area,
        "segmentation": polygons,
        "iscrowd": 0,
    }


def trace(mask: np.ndarray) -> list[list[float]]:
    """Return the outlines of a mask.

    Args:
        mask: ``(H, W)`` bool.

    Returns:
        One ``[x0, y0, x1, y1, ...]`` per part, in pixels, where a pixel covers ``[c, c + 1)``.
    """
    large = cv2.resize(
        mask.astype(np.uint8), None, fx=_ZOOM, fy=_ZOOM, interpolation=cv2.INTER_NEAREST
    )
    contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygons = []
    for contour in contours:
        outline = cv2.approxPolyDP(contour, _SMOOTHING * _ZOOM, closed=True)[:, 0]
        if len(outline) >= 3:
            polygons.append(((outline + 0.5) / _ZOOM).ravel().tolist())
    return polygons


def write_crops(root: Path, split: str, label: str, crops: Sequence[Crop]) -> None:
    """Write crops of one class: pictures to ``imagenet``, masks to ``imagenet_masks``.

    A mask is an 8-bit PNG: 255 where the object is whose class the crop has, 0 elsewhere.
    """
    for number, crop in enumerate(crops):
        stem = f"{split}/{label}/{label}_{number:06d}"
        write_image(root / "imagenet" / f"{stem}.JPEG", crop.image)
        write_image(root / "imagenet_masks" / f"{stem}.png", np.uint8(255) * crop.mask)


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an RGB or a grey picture in the format that the file name says.

    Raises:
        ValueError: If the picture cannot be encoded in this format.
        OSError: If the file cannot be written.
    """
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    options = (
        [cv2.IMWRITE_PNG_COMPRESSION, 1]
        if path.suffix == ".png"
        else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    whole, data = cv2.imencode(path.suffix, image, options)
    if not whole:
        raise InputError(f"expected a picture that {path.suffix} can hold, got {image.shape}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())
