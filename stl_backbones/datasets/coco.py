"""COCO, or any data set in its format, that refuses what it cannot trust.

The unusual is treated as in mmdet: crowd annotations are handed on with ``ignore_flag`` 1, and are
not learned; those marked ``ignore`` are left out, and so are those smaller than a pixel (COCO
itself has some), here with a warning; images without any annotation are left out of training where
``filter_cfg=dict(filter_empty_gt=True)`` says so, and always tested.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from mmdet.datasets import CocoDataset
from mmengine.logging import print_log

from stl_backbones.datasets.integrity import check_whole, image_header
from stl_backbones.registry import DATASETS

SLACK = 1.0  # pixels by which a box may leave its image: COCO rounds to hundredths
_PARTS = ("images", "annotations", "categories")
_SHOWN = 5
_REPORT_EVERY = 10.0  # seconds
_ROOT_HINT = "give the data set's folder with --cfg-options data_root=DIR"


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """mmdet's COCO with the annotation file and every image checked when it is opened.

    Labels follow ``classes`` by name, whatever the order of the file's categories.

    Args:
        num_classes: Classes K of the model; another number of classes is refused.
        classes: Their names; default: COCO's 80.
        skip_broken: Leave out images that are missing, truncated or of another size, and those
            with a broken annotation, with a warning for each, instead of refusing the data set.
        **kwargs: As for mmdet's ``CocoDataset``.

    Attributes:
        skipped: Broken image path -> what is wrong with it.

    Raises:
        FileNotFoundError: If the annotation file or the image folder is missing.
        ValueError: If the annotation file is damaged, its categories are not the model's, an image
            or an annotation is broken, or no image is left.
    """

    def __init__(
        self,
        *,
        num_classes: int | None = None,
        classes: Sequence[str] | None = None,
        skip_broken: bool = False,
        **kwargs: Any,
    ) -> None:
        self.num_classes = num_classes
        self.skip_broken = skip_broken
        self.skipped: dict[str, str] = {}
        if classes is not None:
            kwargs["metainfo"] = {**(kwargs.get("metainfo") or {}), "classes": tuple(classes)}
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images with their annotations, checked."""
        folder = Path(self.data_prefix["img"])
        if not folder.is_dir():
            raise FileNotFoundError(f"image folder '{folder}' does not exist; {_ROOT_HINT}")
        content = read_annotations(self.ann_file)
        self.cat_ids = match_categories(
            content["categories"],
            self.metainfo["classes"],
            num_classes=self.num_classes,
            source=self.ann_file,
        )
        self.cat2label = {number: label for label, number in enumerate(self.cat_ids)}
        by_image = group_by_image(content, source=self.ann_file)
        self._note_what_mmdet_leaves_out(content["annotations"], content["images"])
        images = self._drop_broken(content["images"], by_image)
        self.cat_img_map: dict[int, list[int]] = {number: [] for number in self.cat_ids}
        items = []
        for image in images:
            found = by_image[image["id"]]
            for annotation in found:
                self.cat_img_map[annotation["category_id"]].append(image["id"])
            raw = {**image, "img_id": image["id"]}
            items.append(self.parse_data_info({"raw_img_info": raw, "raw_ann_info": found}))
        return items

    def filter_data(self) -> list[dict[str, Any]]:
        """Leave out what ``filter_cfg`` names, as mmdet does."""
        kept = super().filter_data()
        if not kept:
            raise ValueError(
                f"'{self.ann_file}' leaves no image: none of its {len(self.data_list)} passes "
                f"filter_cfg={self.filter_cfg}"
            )
        return kept

    def _drop_broken(
        self, images: Sequence[dict[str, Any]], by_image: Mapping[int, Sequence[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        whole = []
        folder, category_ids = Path(self.data_prefix["img"]), set(self.cat_ids)
        for image in _with_progress(images, f"checking the images of '{self.ann_file}'"):
            path = folder / str(image.get("file_name"))
            try:
                check_image(image, path)
                for annotation in by_image[image["id"]]:
                    check_annotation(annotation, image, category_ids=category_ids)
                whole.append(image)
            except (ValueError, OSError) as error:
                self.skipped[str(path)] = str(error)
        if self.skipped and (not self.skip_broken or not whole):
            first = next(iter(self.skipped.values()))
            hint = "" if self.skip_broken else "; --skip-broken goes on without"
            raise ValueError(
                f"{first} ({len(self.skipped)} of {len(images)} images are broken{hint})"
            )
        for reason in self.skipped.values():
            print_log(f"left out: {reason}", logger="current", level=logging.WARNING)
        return whole

    def _note_what_mmdet_leaves_out(
        self, annotations: Sequence[dict[str, Any]], images: Sequence[dict[str, Any]]
    ) -> None:
        small = [found.get("id") for found in annotations if is_too_small(found)]
        if small:
            print_log(
                f"'{self.ann_file}': left out, as in mmdet: {len(small)} of {len(annotations)} "
                f"annotations on {len(images)} images, smaller than a pixel (id {_some(small)})",
                logger="current",
                level=logging.WARNING,
            )


def read_annotations(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Read a COCO annotation file.

    Returns:
        Its ``images``, ``annotations`` and ``categories``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON, a list is missing, or an id occurs twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"annotation file '{path}' does not exist; {_ROOT_HINT}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"'{path}' is truncated or no JSON: {error}") from error
    for name in _PARTS:
        entries = content.get(name) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise ValueError(f"'{path}' is no COCO annotation file: expected a list '{name}'")
        counts = Counter(entry.get("id") for entry in entries)
        twice = [number for number, count in counts.items() if count > 1 or number is None]
        if twice:
            raise ValueError(f"'{path}': ids of {name} must be unique, got again: {_some(twice)}")
    if not content["images"]:
        raise ValueError(f"'{path}' lists no image")
    return {name: content[name] for name in _PARTS}


def match_categories(
    categories: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    *,
    num_classes: int | None = None,
    source: str | Path,
) -> list[int]:
    """Find the category of each class by its name.

    Args:
        categories: The annotation file's.
        classes: The data set's, in the order of the labels.
        num_classes: The model's.
        source: The file, for messages.

    Returns:
        The category id of each class.

    Raises:
        ValueError: If the file's categories are not the classes, or their number not the model's.
    """
    hint = "give your own with --cfg-options num_classes=K classes=\"('a','b')\""
    if num_classes is not None and len(classes) != num_classes:
        raise ValueError(
            f"the model has {num_classes} classes, the data set {len(classes)}; {hint}"
        )
    ids = {str(category.get("name")): category["id"] for category in categories}
    absent = [name for name in classes if name not in ids]
    foreign = [name for name in ids if name not in classes]
    if absent or foreign or len(ids) != len(categories):
        told = [
            f"{len(names)} {kind} ({_some(names)})"
            for kind, names in (("are missing", absent), ("are not the model's", foreign))
            if names
        ]
        reason = "; ".join(told) or "a name occurs twice"
        raise ValueError(
            f"'{source}' must have the {len(classes)} categories of the model: {reason}; {hint}"
        )
    return [ids[name] for name in classes]


def group_by_image(
    content: Mapping[str, Sequence[dict[str, Any]]], *, source: str | Path
) -> dict[int, list[dict[str, Any]]]:
    """Collect the annotations of each image.

    Raises:
        ValueError: If an annotation is of an image that the file does not list.
    """
    known = {image["id"] for image in content["images"]}
    groups: dict[int, list[dict[str, Any]]] = defaultdict(list)
    orphans = []
    for annotation in content["annotations"]:
        if annotation.get("image_id") in known:
            groups[annotation["image_id"]].append(annotation)
        else:
            orphans.append(annotation["id"])
    if orphans:
        raise ValueError(
            f"'{source}': {len(orphans)} annotations are of images that the file does not list "
            f"(id {_some(orphans)})"
        )
    return groups


def check_image(image: Mapping[str, Any], path: Path) -> None:
    """Check an image of the list against its file, by the file's header.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the entry is incomplete, or the file is truncated or of another size.
    """
    if not isinstance(image.get("file_name"), str):
        raise ValueError(f"image {image['id']} has no file_name")
    size = (image.get("width"), image.get("height"))
    if not all(_is_finite(side) and side > 0 for side in size):
        raise ValueError(f"'{path}' needs width and height of 1 or more, got {size}")
    if not path.is_file():
        raise FileNotFoundError(f"image '{path}' does not exist")
    check_whole(path)
    actual = image_header(path)[0]
    if actual != size:
        raise ValueError(
            f"'{path}' is {actual[0]}x{actual[1]}, the annotation file says {size[0]}x{size[1]}"
        )


def check_annotation(
    annotation: Mapping[str, Any], image: Mapping[str, Any], *, category_ids: set[int]
) -> None:
    """Check an annotation's category, box and mask.

    Args:
        annotation: The annotation.
        image: Its image's entry.
        category_ids: Those of the file.

    Raises:
        ValueError: If one of them cannot be right.
    """
    where = f"annotation {annotation['id']} of '{image['file_name']}'"
    if annotation.get("category_id") not in category_ids:
        raise ValueError(
            f"{where} has category_id {annotation.get('category_id')!r}, which is none of the "
            f"file's {len(category_ids)} categories"
        )
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_finite(side) for side in box):
        raise ValueError(f"{where}: bbox must be [x, y, width, height], got {box}")
    if not _is_finite(annotation.get("area")):
        raise ValueError(f"{where}: area must be a number, got {annotation.get('area')!r}")
    left, top, width, height = box
    if width < 0 or height < 0:
        raise ValueError(f"{where}: bbox must have a width and height of 0 or more, got {box}")
    size = (image["width"], image["height"])
    beyond = max(-left, -top, left + width - size[0], top + height - size[1])
    if beyond > SLACK:
        raise ValueError(
            f"{where}: bbox [x, y, width, height] = {box} leaves the image of {size[0]}x{size[1]}"
        )
    if not is_too_small(annotation):
        _check_mask(annotation.get("segmentation"), where, size=size)


def is_too_small(annotation: Mapping[str, Any]) -> bool:
    """Whether mmdet leaves an annotation out: a side of its box below a pixel, or no area."""
    box = annotation.get("bbox")
    sides = box[2:] if isinstance(box, list) and len(box) == 4 else ()
    numbers = [number for number in (*sides, annotation.get("area")) if _is_finite(number)]
    if len(numbers) < 3:
        return False  # broken, which is said elsewhere
    width, height, area = numbers
    return 0 <= min(width, height) < 1 or area <= 0


def _check_mask(mask: Any, where: str, *, size: tuple[int, int]) -> None:
    if not mask or not isinstance(mask, list | dict):
        raise ValueError(f"{where}: segmentation must be polygons or a run-length code, got {mask}")
    if isinstance(mask, dict) and list(mask.get("size", ())) != [size[1], size[0]]:
        raise ValueError(
            f"{where}: the run-length code's size [height, width] is {mask.get('size')}, "
            f"the image is {size[0]}x{size[1]}"
        )


def _is_finite(number: Any) -> TypeGuard[float]:
    return isinstance(number, int | float) and math.isfinite(number)


def _with_progress(images: Sequence[dict[str, Any]], what: str) -> Iterator[dict[str, Any]]:
    """Hand the images out, and say how far it is while that takes long."""
    start = said = time.monotonic()
    for done, image in enumerate(images):
        now = time.monotonic()
        if now - said > _REPORT_EVERY:
            said = now
            left = (now - start) * (len(images) - done) / done
            print_log(f"{what}: {done}/{len(images)}, {left:.0f} s left", logger="current")
        yield image


def _some(names: Iterable[Any]) -> str:
    shown = [str(name) for name in names]
    more = f", ... ({len(shown) - _SHOWN} more)" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
