"""COCO's annotation format, and what in a file of it cannot be trusted."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from stl_backbones.corruptions.seeds import check_key
from stl_backbones.datasets.integrity import check_intact, decoded_size
from stl_backbones.errors import InputError, some_of
from stl_backbones.paths import check_file
from stl_backbones.plain_files import read_json

SLACK = 1.0  # pixels by which a box may leave its image: COCO rounds to hundredths
ROOT_HINT = "give the data set's folder with --data-root DIR"
_PARTS = ("images", "annotations", "categories")
_LONG = 60  # characters of a wrong mask that are shown
_TRIANGLE = 6  # numbers
_RLE_ZERO = 48  # the character that stands for 0


def read_annotations(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Read a COCO annotation file.

    Returns:
        Its ``images``, ``annotations`` and ``categories``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON, a list is missing, or an id is no whole number or occurs
            twice.
    """
    path = check_file(path, "annotation file", hint=ROOT_HINT)
    if not path.stat().st_size:
        raise InputError(f"'{path}' is empty; expected COCO's JSON")
    content = read_json(path)
    for name in _PARTS:
        entries = content.get(name) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise InputError(f"'{path}' is no COCO annotation file: expected a list '{name}'")
        odd = [entry.get("id") for entry in entries if not _is_id(entry.get("id"))]
        if odd:
            raise InputError(
                f"'{path}': ids of {name} must be whole numbers, got {some_of(map(repr, odd))}"
            )
        counts = Counter(entry["id"] for entry in entries)
        twice = [number for number, count in counts.items() if count > 1]
        if twice:
            raise InputError(f"'{path}': ids of {name} must be unique, got again: {some_of(twice)}")
    if not content["images"]:
        raise InputError(f"'{path}' lists no image")
    return {name: content[name] for name in _PARTS}


def match_categories(
    categories: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    *,
    num_classes: int | None = None,
    source: str | Path,
) -> list[int]:
    """Find the category of each class by its name; the file may have others.

    Args:
        categories: The annotation file's.
        classes: The data set's, in the order of the labels.
        num_classes: The model's.
        source: The file, for messages.

    Returns:
        The category id of each class.

    Raises:
        ValueError: If a class has no category, a name occurs twice, or the model has another number
            of classes.
    """
    hint = "give your own with --cfg-options num_classes=K classes=\"('a','b')\""
    if num_classes is not None and len(classes) != num_classes:
        raise InputError(
            f"the model has {num_classes} classes, the data set {len(classes)}; {hint}"
        )
    ids = {str(category.get("name")): category["id"] for category in categories}
    absent = [name for name in classes if name not in ids]
    if absent or len(ids) != len(categories):
        others = [name for name in ids if name not in classes]
        reasons = [
            f"{len(names)} {kind} ({some_of(names)})"
            for kind, names in (("are missing", absent), ("are not the model's", others))
            if names
        ]
        reason = "; ".join(reasons) or "a name occurs twice"
        raise InputError(
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
        if _is_id(annotation.get("image_id")) and annotation["image_id"] in known:
            groups[annotation["image_id"]].append(annotation)
        else:
            orphans.append(annotation["id"])
    if orphans:
        raise InputError(
            f"'{source}': {len(orphans)} annotations have an image_id that the file does not list "
            f"(annotation id {some_of(orphans)})"
        )
    return groups


def check_image(image: Mapping[str, Any], path: Path) -> None:
    """Check an image of the list against its file, by the file's header.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the entry is incomplete, or the file is truncated or of another size.
    """
    if not isinstance(image.get("file_name"), str):
        raise InputError(f"image {image['id']} needs a file_name, got {image.get('file_name')!r}")
    check_key(image["file_name"])
    size = (image.get("width"), image.get("height"))
    if not all(_is_finite(side) and side > 0 for side in size):
        raise InputError(f"'{path}' needs width and height of 1 or more, got {size}")
    check_file(path, "image")
    check_intact(path)
    actual = decoded_size(path)
    if actual != size:
        raise InputError(
            f"'{path}' is {actual[0]}x{actual[1]}, the annotation file says {size[0]}x{size[1]}"
        )


def find_whole(
    images: Iterable[Mapping[str, Any]],
    objects: Mapping[int, Sequence[Mapping[str, Any]]],
    *,
    folder: Path,
    category_ids: set[int],
    source: str | Path,
    masks: bool = True,
    skip_broken: bool = False,
) -> tuple[list[int], dict[str, str]]:
    """Find the images that are whole, with all of their annotations.

    Args:
        images: The file's images.
        objects: Image id -> its annotations.
        folder: What the images' file names are below.
        category_ids: Those of the file.
        source: The file, for errors.
        masks: Whether every annotation needs a mask.
        skip_broken: Leave the others out instead of refusing the file.

    Returns:
        The positions of the whole images, and path of a broken one -> what is wrong with it.

    Raises:
        InputError: If one is broken and ``skip_broken`` is false, or all are.
    """
    whole: list[int] = []
    broken: dict[str, str] = {}
    seen: set[Path] = set()
    total = 0
    for index, image in enumerate(images):
        path, total = folder / str(image.get("file_name")), index + 1
        try:
            if path in seen:
                raise InputError(f"'{path}' is listed twice")
            seen.add(path)
            check_image(image, path)
            for annotation in objects.get(image["id"], ()):
                check_annotation(annotation, image, category_ids=category_ids, masks=masks)
            whole.append(index)
        except (ValueError, OSError) as error:
            reason = str(error)
            is_named = reason.startswith((f"'{path}'", f"image '{path}'"))
            broken[str(path)] = reason if is_named else f"'{source}': {reason}"
    if broken and (not skip_broken or not whole):
        first = next(iter(broken.values()))
        hint = "" if skip_broken else "; --skip-broken goes on without"
        raise InputError(f"{first} ({len(broken)} of {total} images are broken{hint})")
    return whole, broken


def check_annotation(
    annotation: Mapping[str, Any],
    image: Mapping[str, Any],
    *,
    category_ids: set[int],
    masks: bool = True,
) -> None:
    """Check an annotation's category, box and mask.

    Args:
        annotation: The annotation.
        image: Its image's entry.
        category_ids: Those of the file.
        masks: Whether every annotation needs a mask; one that is there is checked anyway.

    Raises:
        ValueError: If one of them cannot be right.
    """
    where = _place(annotation, image)
    category = annotation.get("category_id")
    if not _is_id(category) or category not in category_ids:
        raise InputError(
            f"{where} has category_id {category!r}, which is none of the "
            f"file's {len(category_ids)} categories"
        )
    check_scored(annotation, image, masks=masks)
    left, top, width, height = box = annotation["bbox"]
    if width < 0 or height < 0:
        raise InputError(f"{where}: bbox must have a width and height of 0 or more, got {box}")
    size = (image["width"], image["height"])
    beyond = max(-left, -top, left + width - size[0], top + height - size[1])
    if beyond > SLACK:
        raise InputError(
            f"{where}: bbox [x, y, width, height] = {box} leaves the image of {size[0]}x{size[1]}"
        )


def coco_of_items(items: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """The items of a data set of mmdet in COCO's format, as mmdet's ``CocoMetric`` converts them.

    Args:
        items: With ``img_path``, ``height``, ``width`` and ``instances``: ``bbox`` [left, top,
            right, bottom] in pixels, ``bbox_label``, and ``ignore_flag``, 1 for what is neither
            found nor missed.
        names: The classes, in the order of the labels.

    Returns:
        Images numbered from 1, categories from 0.
    """
    annotations: list[dict[str, Any]] = []
    for number, item in enumerate(items, start=1):
        for instance in item["instances"]:
            left, top, right, bottom = map(float, instance["bbox"])
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": number,
                    "category_id": int(instance["bbox_label"]),
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": int(instance.get("ignore_flag", 0)),
                }
            )  # fmt: skip
    images = [
        {"id": number, "width": item["width"], "height": item["height"],
         "file_name": Path(item["img_path"]).name}
        for number, item in enumerate(items, start=1)
    ]  # fmt: skip
    categories = [{"id": label, "name": name} for label, name in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": categories}


def check_scored(annotation: Mapping[str, Any], image: Mapping[str, Any], *, masks: bool) -> None:
    """Check what pycocotools reads of an annotation: its box, area and, if need be, its mask.

    Args:
        annotation: The annotation.
        image: Its image's entry.
        masks: Whether it needs a mask; one that is there is checked anyway.

    Raises:
        ValueError: If one of them is missing or no such thing.
    """
    where = _place(annotation, image)
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_finite(side) for side in box):
        raise InputError(f"{where}: bbox must be [x, y, width, height], got {str(box)[:_LONG]}")
    area = annotation.get("area")
    if not _is_finite(area) or area < 0:
        raise InputError(f"{where}: area must be a number of 0 or more, got {area!r}")
    if annotation.get("iscrowd", 0) not in (0, 1):
        raise InputError(f"{where}: iscrowd must be 0 or 1, got {annotation['iscrowd']!r}")
    mask = annotation.get("segmentation")
    if masks or mask:
        _check_mask(mask, where, size=(image["width"], image["height"]))


def _place(annotation: Mapping[str, Any], image: Mapping[str, Any]) -> str:
    return f"annotation {annotation['id']} of '{image['file_name']}'"


def is_too_small(annotation: Mapping[str, Any]) -> bool:
    """Whether mmdet leaves an annotation out: a side of its box below a pixel, or no area."""
    box = annotation.get("bbox")
    sides = box[2:] if isinstance(box, list) and len(box) == 4 else ()
    numbers = [number for number in (*sides, annotation.get("area")) if _is_finite(number)]
    if len(numbers) < 3:
        return False  # broken, which is said elsewhere
    width, height, area = numbers
    return 0 <= min(width, height) < 1 or area == 0


def _check_mask(mask: Any, where: str, *, size: tuple[int, int]) -> None:
    if not mask or not isinstance(mask, list | dict):
        raise InputError(f"{where}: segmentation must be polygons or a run-length code, got {mask}")
    if isinstance(mask, dict) and mask.get("size") not in ([size[1], size[0]], (size[1], size[0])):
        raise InputError(
            f"{where}: the run-length code's size [height, width] is {mask.get('size')}, "
            f"the image is {size[0]}x{size[1]}"
        )
    if isinstance(mask, dict):
        _check_runs(mask.get("counts"), where, pixels=size[0] * size[1])
        return
    for number, polygon in enumerate(mask):
        is_list = isinstance(polygon, list) and all(map(_is_finite, polygon))
        # mmdet leaves short parts out; pycocotools takes a first one for a box.
        if not is_list or len(polygon) % 2 or (number == 0 and len(polygon) < _TRIANGLE):
            raise InputError(
                f"{where}: a polygon must be [x1, y1, x2, y2, ...] with three points or more, got "
                f"{str(polygon)[:_LONG]}"
            )
        # pycocotools goes along a side in steps of a fifth of a pixel, and crashes on long ones.
        inside = all(-side <= value <= 2 * side for side, axis in zip(size, (0, 1), strict=True)
                     for value in polygon[axis::2])  # fmt: skip
        if not inside:
            raise InputError(
                f"{where}: a polygon leaves the image of {size[0]}x{size[1]} by more than the "
                f"image's own size: {str(polygon)[:_LONG]}"
            )


def _check_runs(counts: Any, where: str, *, pixels: int) -> None:
    """Check a run-length code, which pycocotools trusts: a wrong one makes it write beyond."""
    runs = _decode_runs(counts) if isinstance(counts, str) else counts
    is_list = isinstance(runs, list) and all(isinstance(run, int) and run >= 0 for run in runs)
    if not is_list or sum(runs) != pixels:
        raise InputError(
            f"{where}: a run-length code must have runs of {pixels} pixels together, got "
            f"{str(counts)[:_LONG]!r}"
        )


def _decode_runs(text: str) -> list[int]:
    """Decode COCO's compressed run lengths.

    A character holds 5 bits; a run, from the fourth on, is the difference to the last but one.

    Returns:
        The runs; empty if the text is no such code.

    References:
        pycocotools, maskApi.c, rleFrString.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - _RLE_ZERO
        if not 0 <= bits < 64:
            return []
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            value -= (1 << shift) if bits & 0x10 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return [] if shift else runs


def _is_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_finite(number: Any) -> TypeGuard[float]:
    return isinstance(number, int | float) and abs(number) <= sys.float_info.max


__all__ = [
    "check_annotation",
    "check_image",
    "check_scored",
    "coco_of_items",
    "find_whole",
    "group_by_image",
    "is_too_small",
    "match_categories",
    "read_annotations",
]
