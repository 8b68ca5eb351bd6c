"""Readers of corrupted copies, annotations and lists."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

from faults.fuzz import mutators as ways
from faults.fuzz.images import SIDE, as_jpeg, as_png, picture
from faults.fuzz.reader import Reader, each_alone
from stl_backbones.records import Cell


def _manifest_seeds(folder: Path, name: str) -> list[bytes]:
    """A copy of two images in two cells."""
    from stl_backbones.copies.manifest import ManifestHeader, Row, digest

    lines = []
    (folder / "clean").mkdir()
    for severity in (1, 3):
        for number in range(2):
            content, below = (
                as_png(picture(number + severity)),
                f"brightness/{severity}/{number}.png",
            )
            (folder / "copy" / below).parent.mkdir(parents=True, exist_ok=True)
            (folder / "copy" / below).write_bytes(content)
            (folder / "clean" / f"{number}.png").write_bytes(as_png(picture(number)))
            row = Row(f"{number}.png", "brightness", severity, below, len(content), SIDE, SIDE,
                      digest(content))  # fmt: skip
            lines.append(row.to_line())
    rows = "".join(lines).encode()
    header = ManifestHeader(
        layout="folder", split=None, protocol="imagenet-c", mode="exact", compat="imaug-1.1.5",
        engine="imagecorruptions-imaug 1.1.5", channel_order="rgb", seed=0,
        versions={"numpy": "2"}, images=2, cells={"brightness": (1, 3)}, image_format="png",
        files=4, rows_blake2b=digest(rows),
    )  # fmt: skip
    (folder / "copy/manifest.json").write_bytes(header.to_json())
    (folder / "copy/manifest.jsonl").write_bytes(rows)
    return [(folder / "copy" / name).read_bytes()]


def _read_manifest(path: Path) -> None:
    """As a sweep reads the copy, as the check does, and as a run that adds to it does."""
    from stl_backbones.copies.manifest import read_header
    from stl_backbones.copies.verify import verify
    from stl_backbones.robustness.corrupted_copy import find_copy

    root = path.parent
    cells = [Cell("brightness", 1), Cell("brightness", 3)]
    with each_alone() as each:
        each(find_copy, root, cells, ["0.png", "1.png"], image_root=root.parent / "clean")
        each(verify, root)
        header = read_header(root)
        header.differences(dataclasses.replace(header, seed=1))
        header.to_json()


def _read_rows(path: Path) -> None:
    """The same, with the hash that fits in the header."""
    header = json.loads((path.parent / "manifest.json").read_bytes())
    header["rows_blake2b"] = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    (path.parent / "manifest.json").write_text(json.dumps(header))
    _read_manifest(path)


def coco_content(folder: Path, images: str) -> dict[str, Any]:
    """Annotations with boxes, polygons and both kinds of run lengths; writes the images."""
    (folder / images).mkdir(parents=True, exist_ok=True)
    for number in range(2):
        (folder / images / f"{number}.jpg").write_bytes(as_jpeg(picture(number)))
    pixels = SIDE * SIDE
    masks: list[Any] = [
        [[1.0, 1.0, 9.0, 1.0, 9.0, 9.0]],
        {"size": [SIDE, SIDE], "counts": [10, 20, pixels - 30]},
        {"size": [SIDE, SIDE], "counts": "S56R100000000000000000000000000000mh0"},
    ]
    return {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": SIDE, "height": SIDE}
                   for n in range(2)],
        "annotations": [
            {"id": n, "image_id": n % 2, "category_id": 1 + n % 2, "bbox": [1.0, 1.0, 8.0, 8.0],
             "area": 32.0, "iscrowd": n % 2, "segmentation": mask}
            for n, mask in enumerate(masks)
        ],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}],
    }  # fmt: skip


def _coco_seeds(folder: Path, images: str = "images") -> list[bytes]:
    content = coco_content(folder, images)
    boxes = {**content, "annotations": content["annotations"][:1]}
    return [json.dumps(content).encode(), json.dumps(boxes).encode()]


def _read_coco(path: Path) -> None:
    """As data of a detector, whose truth is scored, and as masks of a classification set."""
    from stl_backbones.datasets.object_masks import open_masks
    from stl_backbones.robustness.coco_items import CocoItems

    images = path.parent / "images"

    def score() -> None:
        items = CocoItems(path, images, skip_broken=True)
        coco = items.coco()
        scored = coco.getAnnIds([items.truth(index) for index in range(len(items.keys))])
        for annotation in coco.loadAnns(scored) if items.has_masks else ():
            coco.annToMask(annotation)

    def mask() -> None:
        masks = open_masks(path)
        for number, name in enumerate(("car", "bus")):
            image = images / f"{number}.jpg"
            masks.check(image, class_name=name)
            masks.read(image, size=(SIDE, SIDE), class_name=name)

    with each_alone() as each:
        each(score)
        each(partial(CocoItems, classes=["car"]), path, images)
        each(mask)


def _read_coco_o(path: Path) -> None:
    from stl_backbones.datasets.shift_boxes import find_boxes
    from stl_backbones.shift_sets import SHIFT_SETS

    find_boxes(SHIFT_SETS["coco-o-sketch"], path.parents[2], allow_missing=True)


def _bdd_seeds(folder: Path) -> list[bytes]:
    place = folder / "images/100k/val"
    place.mkdir(parents=True)
    for number in range(2):
        (place / f"{number}.jpg").write_bytes(as_jpeg(picture(number)))
    box = {"x1": 1.0, "y1": 2.0, "x2": 8.0, "y2": 9.0}
    frames = [
        {"name": f"{n}.jpg", "attributes": {"weather": "rainy", "timeofday": "night"},
         "labels": [{"category": name, "box2d": box, "attributes": {"crowd": False}}
                    for name in ("car", "other person")]}
        for n in range(2)
    ]  # fmt: skip
    return [json.dumps(frames).encode(), json.dumps({"frames": frames}).encode()]


def _read_bdd(path: Path) -> None:
    from stl_backbones.datasets.shift_boxes import find_boxes
    from stl_backbones.datasets.shift_scenes import find_scenes
    from stl_backbones.shift_sets import SHIFT_SETS

    root = path.parents[2]
    with each_alone() as each:
        for name, one in SHIFT_SETS.items():
            if name.startswith("bdd100k"):
                each(
                    find_boxes if one.task == "detection" else find_scenes,
                    one,
                    root,
                    allow_missing=True,
                )


def _real_seeds(folder: Path) -> list[bytes]:
    return [json.dumps([[1], [], [2, 3]]).encode(), b"[" + 49_999 * b"[]," + b"[1]]"]


def _read_real(path: Path) -> None:
    from stl_backbones.report.read.real_labels import read_real_labels

    read_real_labels(path)


def _read_lists(path: Path) -> None:
    from stl_backbones.datasets.cifar_files import read_names
    from stl_backbones.datasets.class_folders import read_class_names
    from stl_backbones.datasets.image_list import read_image_list

    with each_alone() as each:
        each(lambda: read_image_list(path).select(["a/b.png", "c.png"], "d"))
        each(read_class_names, path)
        each(read_names, path)


READERS = (
    Reader("manifest.json", "copy/manifest.json", partial(_manifest_seeds, name="manifest.json"),
           _read_manifest, ways.JSON),
    Reader("manifest.jsonl", "copy/manifest.jsonl", partial(_manifest_seeds, name="manifest.jsonl"),
           _read_rows, ways.JSON_LINES),
    Reader("COCO", "a.json", _coco_seeds, _read_coco, ways.JSON, ("pycocotools",)),
    Reader("COCO-O", "sketch/annotations/instances_val2017.json",
           partial(_coco_seeds, images="sketch/val2017"), _read_coco_o, ways.JSON),
    Reader("BDD100K", "labels/det_20/det_val.json", _bdd_seeds, _read_bdd, ways.JSON),
    Reader("ReaL", "real.json", _real_seeds, _read_real, ways.JSON),
    Reader("lists of names", "a.txt", lambda folder: [b"a/b.png\nc.png\n", "\ufeffx\n\n".encode()],
           _read_lists, ways.TEXT),
)  # fmt: skip
