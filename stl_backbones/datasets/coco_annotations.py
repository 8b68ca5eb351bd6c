"""COCO's annotation format, and what in a file of it cannot be trusted."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from stl_backbones.datasets.integrity import check_whole, image_header

SLACK = 1.0  # pixels by which a box may leave its image: COCO rounds to hundredths
ROOT_HINT = "give the data set's folder with --cfg-options data_root=DIR"
_PARTS = ("images", "annotations", "categories")
_SHOWN = 5


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
        raise FileNotFoundError(f"annotation file '{path}' does not exist; {ROOT_HINT}")
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
            raise ValueError(f"'{path}': ids of {name} must be unique, got again: {some_of(twice)}")
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
            f"{len(names)} {kind} ({some_of(names)})"
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
            f"(id {some_of(orphans)})"
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


def some_of(names: Iterable[Any]) -> str:
    """The first few names, and how many more there are."""
    shown = [str(name) for name in names]
    more = f", ... ({len(shown) - _SHOWN} more)" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


__all__ = [
    "check_annotation",
    "check_image",
    "group_by_image",
    "is_too_small",
    "match_categories",
    "read_annotations",
]
