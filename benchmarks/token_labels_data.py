"""The crops of `token_labels.py` with the masks of their objects: generated ones, or COCO's."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from token_labels_study import Settings

from stl_backbones.datasets.class_folders import read_rgb
from stl_backbones.datasets.coco_annotations import find_whole, group_by_image, read_annotations
from stl_backbones.datasets.mini import CROP_CLASSES, VAL_OFFSET, Crop, render_object
from stl_backbones.datasets.mini.writers import write_crops
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.paths import check_file, check_folder

SPLITS = ("train", "val")
CROPS, MASKS = "imagenet", "imagenet_masks"  # as `stl mini-data` names them
MARGIN = 0.25  # of the longer side of an object's box, on each side
LEAST_SIDE = 24  # pixels; a smaller object is left out
VAL_SHARE = 3  # every third of COCO's images is for scoring

Annotation = Mapping[str, Any]


@dataclass(frozen=True)
class CocoFile:
    """One ``instances_*.json`` and where its images are.

    Attributes:
        path: The file.
        images: The folder of the images.
    """

    path: Path
    images: Path


def write_generated(folder: Path, settings: Settings) -> dict[str, int]:
    """Write crops of the mini data's generator at the size of the study.

    Args:
        folder: Made whole or not at all; gets ``imagenet`` and ``imagenet_masks``.
        settings: How many, how large, and the seed.

    Returns:
        Split -> number of crops.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    counts = {"train": settings.train_per_class, "val": settings.test_per_class}
    for split, first in (("train", 0), ("val", VAL_OFFSET)):
        for label, kinds in list(CROP_CLASSES.items())[: settings.classes]:
            crops = [
                render_object(
                    kinds[number % len(kinds)], first + number, seed=settings.data_seed,
                    size=settings.size,
                )
                for number in range(counts[split])
            ]  # fmt: skip
            write_crops(partial, split, label, crops)
    partial.rename(folder)
    return {split: settings.classes * count for split, count in counts.items()}


def find_coco(folder: Path) -> list[CocoFile]:
    """The annotation files of a COCO folder, ``annotations/instances_<name>.json``.

    Raises:
        FileNotFoundError: If the folder, its annotations or the images of one are missing.
    """
    check_folder(folder, "--coco")
    paths = sorted((folder / "annotations").glob("instances_*.json"))
    if not paths:
        raise MissingFileError(
            f"--coco '{folder}' holds no annotations; expected annotations/instances_<name>.json "
            "and the images in <name>/"
        )
    files = [CocoFile(path, folder / path.stem.removeprefix("instances_")) for path in paths]
    for file in files:
        check_folder(file.images, f"images of '{file.path.name}'")
    return files


def write_coco(folder: Path, files: Sequence[CocoFile], settings: Settings) -> dict[str, int]:
    """Write square crops around the objects of the commonest categories.

    Crops of one image are all for training or all for scoring.

    Args:
        folder: Made whole or not at all; gets ``imagenet`` and ``imagenet_masks``.
        files: Of `find_coco`.
        settings: How many categories and crops, how large, and the seed of the split.

    Returns:
        Split -> number of crops.

    Raises:
        ValueError: If a file cannot be right, or too few categories have objects in both parts of
            the images.
    """
    found: dict[str, dict[str, list[Annotation]]] = {split: defaultdict(list) for split in SPLITS}
    for file in files:
        for split, name, annotation in _objects(file, settings.data_seed):
            found[split][name].append(annotation)
    chosen = _choose_categories(found, settings.classes)
    partial = folder.with_name(f"{folder.name}.partial")
    limits = {"train": settings.train_per_class, "val": settings.test_per_class}
    counts: Counter[str] = Counter()
    for split, limit in limits.items():
        for name in chosen:
            crops = [crop_object(one, settings.size) for one in found[split][name][:limit]]
            write_crops(partial, split, name, crops)
            counts[split] += len(crops)
    partial.rename(folder)
    return dict(counts)


def _objects(file: CocoFile, seed: int) -> Iterator[tuple[str, str, Annotation]]:
    """Split, category and annotation of each object; the annotation gets its image's file."""
    content = read_annotations(file.path)
    objects = group_by_image(content, source=file.path)
    if not objects:
        raise InputError(f"'{file.path}' holds no objects: its list 'annotations' is empty")
    images = content["images"]
    names = {one["id"]: str(one.get("name")).replace(" ", "_") for one in content["categories"]}
    find_whole(
        images, objects, folder=file.images, category_ids=set(names), source=file.path
    )  # fmt: skip
    order = np.random.default_rng(seed).permutation(len(images))
    for place, index in enumerate(order):
        path = file.images / images[index]["file_name"]
        for annotation in objects.get(images[index]["id"], ()):
            if not annotation.get("iscrowd") and min(annotation["bbox"][2:]) >= LEAST_SIDE:
                split = "train" if place % VAL_SHARE else "val"
                yield split, names[annotation["category_id"]], {**annotation, "path": path}


def _choose_categories(
    found: Mapping[str, Mapping[str, Sequence[Annotation]]], count: int
) -> list[str]:
    """The categories with most objects for training, of those that can be scored too."""
    both = [name for name in found["train"] if name in found["val"]]
    if len(both) < count:
        raise InputError(
            f"{len(both)} categories have objects of at least {LEAST_SIDE} px in both parts of the "
            f"images, expected at least {count} (--classes)"
        )
    return sorted(both, key=lambda name: (-len(found["train"][name]), name))[:count]


def crop_object(annotation: Annotation, size: int) -> Crop:
    """Cut an object out of its image, with a margin, as a square.

    Args:
        annotation: COCO's, with ``path``, the image's file.
        size: Side of the crop in pixels; what lies outside of the image is its mean colour.
    """
    image = np.asarray(read_rgb(annotation["path"]))
    mask = _decode(annotation, image.shape[0], image.shape[1])
    left, top, width, height = annotation["bbox"]
    side = max(1, round(max(width, height) * (1 + 2 * MARGIN)))
    corner = round(left + width / 2 - side / 2), round(top + height / 2 - side / 2)
    colors = np.empty((side, side, 3), np.uint8)
    colors[:] = image.mean(axis=(0, 1)).round().astype(np.uint8)
    covered = np.zeros((side, side), np.uint8)
    rows, columns = (
        slice(max(0, start), min(length, start + side))
        for start, length in zip(corner[::-1], image.shape[:2], strict=True)
    )
    inside = (
        slice(rows.start - corner[1], rows.stop - corner[1]),
        slice(columns.start - corner[0], columns.stop - corner[0]),
    )
    colors[inside], covered[inside] = image[rows, columns], mask[rows, columns]
    target = (size, size)
    return Crop(
        cv2.resize(
            colors, target, interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
        ),
        cv2.resize(covered, target, interpolation=cv2.INTER_NEAREST) > 0,
    )


def _decode(annotation: Annotation, height: int, width: int) -> np.ndarray:
    """The mask of an annotation, ``(H, W)`` uint8."""
    codes = annotation["segmentation"]
    if isinstance(codes, list):
        codes = coco_mask.merge(coco_mask.frPyObjects(codes, height, width))
    elif isinstance(codes["counts"], list):
        codes = coco_mask.frPyObjects(codes, height, width)
    return np.asarray(coco_mask.decode(codes))


def read_mask(crop: str | Path) -> np.ndarray:
    """The mask of a crop's file, ``(H, W)`` bool.

    Raises:
        FileNotFoundError: If it has none.
        ValueError: If it cannot be read.
    """
    crop = Path(crop)
    split, name = crop.parts[-3:-1]
    path = crop.parents[3] / MASKS / split / name / f"{crop.stem}.png"
    check_file(path, "mask", hint=f"every crop in '{CROPS}' needs one in '{MASKS}'")
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if mask is None or mask.ndim != 2:
        raise InputError(f"mask '{path}' cannot be read as an 8-bit PNG")
    return np.asarray(mask > 0)
