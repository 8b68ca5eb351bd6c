"""Detection sets of other images, in the layouts of their archives: COCO-O and BDD100K."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stl_backbones.datasets.coco_annotations import read_annotations
from stl_backbones.datasets.integrity import image_header
from stl_backbones.datasets.shift_scenes import NO_ATTRIBUTE, read_frames
from stl_backbones.errors import InputError, MissingFileError, some_of
from stl_backbones.paths import check_folder
from stl_backbones.shift_sets import ShiftSet, notes_of_count

# Yu et al. 2020, in the order of the authors' ids, from 1.
BDD_CLASSES = (
    "pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle", "traffic light",
    "traffic sign",
)  # fmt: skip
_RENAMED = {"person": "pedestrian", "bike": "bicycle", "motor": "motorcycle", "van": "car",
            "caravan": "car"}  # fmt: skip
_FARTHEST = 1e6  # pixels of an end of a box
# As the authors' converter: regions where detections of that class do not count.
_IGNORED = {"other person": "pedestrian", "other vehicle": "car", "trailer": "truck"}


@dataclass(frozen=True)
class Boxes:
    """Images with objects in COCO's format.

    Attributes:
        images: The images' folder.
        content: The annotations.
        conditions: Column -> image id -> value.
        total: Images that a whole set has.
        notes: Sentences that every table must print.
        path: Their file, if they come from one in COCO's format.
    """

    images: Path
    content: Mapping[str, Any]
    conditions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    total: int = 0
    notes: tuple[str, ...] = ()
    path: Path | None = None


def find_boxes(one: ShiftSet, root: Path, *, allow_missing: bool = False) -> Boxes:
    """Read a set's layout.

    Raises:
        MissingFileError: If something of the layout is missing.
        InputError: If images are missing.
    """
    check_folder(root, f"--sets {one.name}")
    found = (_domain if one.below else _bdd100k)(one, root)
    count = len(found.content["images"])
    notes = notes_of_count(one, root, count, allow_missing=allow_missing)
    return replace(found, total=max(count, one.counts[-1]), notes=notes)


def _domain(one: ShiftSet, root: Path) -> Boxes:
    """A domain of COCO-O."""
    if (root / "ood_coco").is_dir():
        root = root / "ood_coco"
    folder = root / one.below
    images = folder / "val2017"
    path = folder / "annotations/instances_val2017.json"
    if not images.is_dir():
        raise MissingFileError(
            f"--sets {one.name} '{root}' is not laid out as COCO-O's archive: expected "
            f"'{one.below}/val2017' in it"
        )
    return Boxes(images, read_annotations(path), path=path)


def _bdd100k(one: ShiftSet, root: Path) -> Boxes:
    """The label file of 2020, ``det_20``, as COCO's converter of the authors makes of it."""
    images = root / "images/100k/val"
    if not images.is_dir():
        raise MissingFileError(
            f"--sets {one.name} '{root}' is not laid out as BDD100K: expected 'images/100k/val' "
            "and 'labels/det_20/det_val.json' in it"
        )
    frames = read_frames(root / "labels/det_20/det_val.json")
    absent = [frame["name"] for frame in frames if not (images / frame["name"]).is_file()]
    if absent:
        raise MissingFileError(f"'{images}' lacks {len(absent)} images ({some_of(absent)})")
    content: dict[str, Any] = {
        "images": [], "annotations": [],
        "categories": [{"id": n, "name": name} for n, name in enumerate(BDD_CLASSES, start=1)],
    }  # fmt: skip
    conditions: dict[str, dict[str, str]] = {"weather": {}, "timeofday": {}}
    for number, frame in enumerate(frames, start=1):
        name, attributes = str(frame["name"]), frame.get("attributes") or {}
        (width, height), _ = image_header(images / name)
        content["images"].append(
            {"id": number, "file_name": name, "width": width, "height": height}
        )
        for column, values in conditions.items():
            values[name] = str(attributes.get(column) or NO_ATTRIBUTE)
        for label in frame.get("labels") or ():
            _add(content["annotations"], label, number)
    return Boxes(images, content, conditions)


def _add(annotations: list[dict[str, Any]], label: Mapping[str, Any], image: int) -> None:
    """An object, or a region of another class, which is ignored for the nearest one."""
    given, box = str(label.get("category")), label.get("box2d")
    name = _IGNORED.get(given, _RENAMED.get(given, given))
    if box is None:
        return
    if name not in BDD_CLASSES:
        raise InputError(f"BDD100K's label file has category '{given}', expected det_20's")
    ends: list[Any] = (
        [box.get(end) for end in ("x1", "y1", "x2", "y2")] if isinstance(box, dict) else []
    )
    if not ends or not all(isinstance(e, int | float) and abs(e) < _FARTHEST for e in ends):
        raise InputError(f"BDD100K's label file has box2d {box!r:.80}; expected x1, y1, x2 and y2")
    left, top, right, bottom = ends
    # The authors' boxes have both ends in them.
    width, height = right - left + 1, bottom - top + 1
    annotations.append(
        {"id": len(annotations) + 1, "image_id": image, "category_id": BDD_CLASSES.index(name) + 1,
         "bbox": [left, top, width, height], "area": width * height,
         "iscrowd": int(given in _IGNORED or bool((label.get("attributes") or {}).get("crowd")))}
    )  # fmt: skip


__all__ = ["BDD_CLASSES", "Boxes", "find_boxes"]
