"""Wrong truth, and corrupted copies not of the data: label maps, COCO's JSON, manifests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from faults.bad_data import (
    Desk,
    Desks,
    documented,
    generate,
    refused,
    same_samples,
    sweep,
    test,
    train,
)
from faults.bad_images import encoded, flipped
from faults.bad_input import BadInput
from faults.material import Material

_HUGE = 2**70
Content = dict[str, Any]


def cases(material: Material, folder: Path) -> Iterator[BadInput]:
    """Yield the cases; files are written below a folder."""
    desks = Desks(material, folder)
    yield from _label_maps(desks)
    yield from _unusual_label_maps(desks)
    yield from _json_files(desks)
    yield from _json_content(desks)
    yield from _unusual_json(desks)
    yield from _json_elsewhere(desks)
    yield from _copies(desks, "segmenter", "cityscapes", "cityscapes")
    yield from _copies(desks, "detector", "coco", "coco")
    yield from _copies(desks, "classifier", "classes", "imagenet")
    yield from _verified(desks)


# -- label maps


def _indices(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def _png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    image = Image.fromarray(pixels)
    return encoded(image if mode is None else image.convert(mode), "PNG")


def _tiff(pixels: np.ndarray) -> bytes:
    return encoded(Image.fromarray(pixels.astype(np.float32)), "TIFF")


def _with_value(pixels: np.ndarray, value: int) -> np.ndarray:
    changed = pixels.copy()
    changed[3:9, 4:20] = value
    return changed


# Name -> (a label map's file, made of its indices, and what the tool must say).
_LABELS: dict[str, tuple[Callable[[np.ndarray], bytes], str]] = {
    "with value 19, one above the classes": (lambda map_: _png(_with_value(map_, 19)), "19"),
    "with value 200": (lambda map_: _png(_with_value(map_, 200)), "200"),
    "of colours": (lambda map_: _png(map_, "RGB"), "'RGB'"),
    "of 16 bits": (lambda map_: _png(map_.astype(np.uint16)), "8 bit"),
    "of float TIFF": (_tiff, "8 bit"),
    "of another size": (lambda map_: _png(map_[:, ::2].copy()), "64x64"),
    "cut at half": (lambda map_: _png(map_)[: len(_png(map_)) // 2], "truncated"),
    "with a bit turned in its pixels": (lambda map_: flipped(_png(map_)), "damaged"),
    "that is text": (lambda _: b"label\n" * 30, "is no image"),
    "that is a JPEG": (lambda map_: encoded(Image.fromarray(map_), "JPEG"), "JPEG"),
}


def _label_maps(desks: Desks) -> Iterator[BadInput]:
    for name, (make, says) in _LABELS.items():
        desk = desks.lay("cityscapes")
        label = desk.labels[1]
        label.write_bytes(make(_indices(label)))
        yield refused("label maps", f"segmenter's sweep: a label map {name}",
                      sweep(desk, "segmenter"), label.name, says, desk=desk)  # fmt: skip
    for name, kinds in (
        ("with value 200", ("training", "test")), ("of colours", ("training",)),
        ("with a bit turned in its pixels", ("test",)),
    ):  # fmt: skip
        for kind in kinds:
            desk = desks.lay("cityscapes")
            make, says = _LABELS[name]
            label = desk.labels[1]
            if kind == "training":
                label = Path(str(label).replace("val", "train"))
            label.write_bytes(make(_indices(label)))
            words = (train if kind == "training" else test)(desk, "segmenter")
            yield refused("label maps", f"segmenter's {kind}: a label map {name}", words,
                          label.name, says, desk=desk)  # fmt: skip
    for name, change in (("missing", Path.unlink), ("a folder", _make_folder)):
        desk = desks.lay("cityscapes")
        change(desk.labels[1])
        parts = (desk.labels[1].name, "has no label map")
        what = f"segmenter's sweep: a label map is {name}"
        yield refused("label maps", what, sweep(desk, "segmenter"), *parts, desk=desk)
    desk = desks.lay("cityscapes")
    shutil.rmtree(desk.own.data / "cityscapes/gtFine")
    yield refused("label maps", "segmenter's sweep: no label maps at all",
                  sweep(desk, "segmenter"), "has no label map", "2 of 2", desk=desk)  # fmt: skip
    for kind in ("sweep", "test"):
        desk = desks.lay("cityscapes")
        for label in desk.labels:
            label.write_bytes(_png(np.full((64, 128), 255, np.uint8)))
        words = (sweep if kind == "sweep" else test)(desk, "segmenter")
        yield refused("label maps", f"segmenter's {kind}: all pixels of all images are ignored",
                      words, "ignore", desk=desk)  # fmt: skip


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _unusual_label_maps(desks: Desks) -> Iterator[BadInput]:
    def palette(map_: np.ndarray) -> bytes:
        image = Image.fromarray(map_, "P")
        image.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
        return encoded(image, "PNG")

    forms: dict[str, Callable[[np.ndarray], bytes]] = {
        "a palette that holds the indices": palette,
        "trailing bytes": lambda map_: _png(map_) + b"\0" * 3000,
        "an uncompressed TIFF": lambda map_: encoded(Image.fromarray(map_), "TIFF"),
    }
    for name, make in forms.items():
        desk = desks.lay("cityscapes")
        first, second = desk.labels
        desk.images[1].write_bytes(desk.images[0].read_bytes())
        second.write_bytes(make(_indices(first)))
        yield documented("unusual truth", f"segmenter's sweep: a label map with {name}",
                         sweep(desk, "segmenter"), same_samples(desk.out))  # fmt: skip
    desk = desks.lay("cityscapes")
    desk.labels[1].write_bytes(_png(np.full((64, 128), 255, np.uint8)))
    what, check = "all pixels of one image are ignored", partial(_check_counts, desk, [64 * 128, 0])
    words = sweep(desk, "segmenter")
    yield documented("unusual truth", f"segmenter's sweep: {what}", words, check)


def _check_counts(desk: Desk, expected: list[int]) -> None:
    ignored = (_indices(desk.labels[0]) == 255).sum()
    with np.load(desk.out / "cells/clean.npz", allow_pickle=False) as arrays:
        counts = arrays["confusion_matrix"].sum(axis=(1, 2)).tolist()
    assert counts == [expected[0] - ignored, expected[1]], f"pixels counted: {counts}"


# -- COCO's JSON


def _json_files(desks: Desks) -> Iterator[BadInput]:
    forms: dict[str, tuple[Callable[[str], bytes], str]] = {
        "that is no JSON": (lambda _: b"image,label\n1,2\n", "no JSON"),
        "of no bytes": (lambda _: b"", "empty"),
        "that is an HTML error page": (lambda _: b"<html>404</html>", "no JSON"),
        "cut at half": (lambda text: text.encode()[: len(text) // 2], "truncated"),
        "without its last character": (lambda text: text.rstrip().encode()[:-1], "truncated"),
        "that is a list": (lambda text: f"[{text}]".encode(), "images"),
        "with a byte order mark": (lambda text: b"\xef\xbb\xbf" + text.encode(), "UTF-8"),
        "in UTF-16": (lambda text: text.encode("utf-16"), "UTF-8"),
        "nested 200000 deep": (lambda _: b"[" * 200_000 + b"]" * 200_000, "nested"),
        "in gzip": (lambda text: __import__("gzip").compress(text.encode(), mtime=0), "UTF-8"),
    }
    for name, (make, says) in forms.items():
        desk = desks.lay("coco")
        desk.annotations.write_bytes(make(desk.annotations.read_text()))
        yield refused("COCO JSON", f"detector's sweep: a file {name}", sweep(desk, "detector"),
                      desk.annotations.name, says, desk=desk)  # fmt: skip
    for name, change, says in (
        ("missing", Path.unlink, "does not exist"), ("a folder", _make_folder, "is a folder"),
    ):  # fmt: skip
        desk = desks.lay("coco")
        change(desk.annotations)
        parts = (desk.annotations.name, says)
        what = f"detector's sweep: the file is {name}"
        yield refused("COCO JSON", what, sweep(desk, "detector"), *parts, desk=desk)


def _first(part: str, **changes: object) -> Callable[[Content], None]:
    """A change of the first entry of a part; ``None`` for a key takes it away."""

    def change(content: Content) -> None:
        for name, value in changes.items():
            if value is None:
                content[part][0].pop(name, None)
            else:
                content[part][0][name] = value

    return change


def _annotation(says: str, **changes: object) -> tuple[Callable[[Content], None], str]:
    return _first("annotations", **changes), says


def _without(name: str) -> Callable[[Content], None]:
    return lambda content: content.pop(name)


def _twice(part: str, name: str) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        content[part][1][name] = content[part][0][name]

    return change


def _keep_categories(count: int) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        content["categories"] = content["categories"][:count]

    return change


def _outside(content: Content) -> None:
    content["annotations"][0]["bbox"] = [500, 500, 20, 20]


def _small_without_mask(content: Content) -> None:
    content["annotations"][0] |= {"bbox": [5, 5, 0.5, 0.5], "area": 0, "segmentation": []}


_RLE = {"size": [32, 64], "counts": [10, 5, 2033]}
# Name -> (what is changed in the file, what the tool must say).
_CONTENT: dict[str, tuple[Callable[[Content], object], str]] = {
    "without images": (_without("images"), "'images'"),
    "without annotations": (_without("annotations"), "'annotations'"),
    "without categories": (_without("categories"), "'categories'"),
    "with no image": (lambda c: c.update(images=[], annotations=[]), "no image"),
    "with an image id twice": (_twice("images", "id"), "unique"),
    "with an annotation id twice": (_twice("annotations", "id"), "unique"),
    "with a string as image id": (
        lambda c: [f.update(image_id=str(f["image_id"])) for f in c["annotations"]]
        + [i.update(id=str(i["id"])) for i in c["images"]], "id"),
    "with an image id of 2**70": (
        lambda c: [f.update(image_id=_HUGE) for f in c["annotations"]
                   if f["image_id"] == c["images"][0]["id"]]
        + [c["images"][0].update(id=_HUGE)], "id"),
    "with an unknown image_id": _annotation("does not list", image_id=999),
    "with a list as image_id": _annotation("image_id", image_id=[1]),
    "with an unknown category_id": _annotation("category_id 999", category_id=999),
    "with 3 of 8 categories": (_keep_categories(3), "missing"),
    "with a category of another name": (_first("categories", name="tram"), "tram"),
    "with an annotation without bbox": _annotation("bbox", bbox=None),
    "with a box of strings": _annotation("bbox", bbox=["1", "2", "3", "4"]),
    "with NaN in a box": _annotation("bbox", bbox=[1, 2, float("nan"), 4]),
    "with a box of 2**2000": _annotation("bbox", bbox=[1, 2, 2**2000, 4]),
    "with a negative width": _annotation("width", bbox=[20, 20, -5, 9]),
    "with a box outside the image": (_outside, "leaves the image"),
    "with a negative area": _annotation("area", area=-7),
    "with a polygon of 2 points": _annotation("polygon", segmentation=[[1, 2, 3, 4]]),
    "with a polygon of odd length": _annotation("polygon", segmentation=[[1, 2, 3, 4, 5, 6, 7]]),
    "with NaN in a polygon": _annotation("polygon", segmentation=[[1, 2, float("nan"), 4, 5, 6]]),
    "with an annotation below a pixel, without mask": (_small_without_mask, "segmentation"),
    "with no segmentation": _annotation("segmentation", segmentation=None),
    "with a run-length code of another size": _annotation("32, 64", segmentation=_RLE, iscrowd=1),
    "with runs of another length": _annotation(
        "run-length", segmentation={"size": [64, 128], "counts": [10, 5]}, iscrowd=1),
    "with a garbled run-length string": _annotation(
        "run-length", segmentation={"size": [64, 128], "counts": "\u00e9~~"}, iscrowd=1),
    "with a run-length string too long": _annotation(
        "run-length", segmentation={"size": [64, 128], "counts": "ZZZZZZZZ9" * 9}, iscrowd=1),
    "with iscrowd 'yes'": _annotation("iscrowd", iscrowd="yes"),
    "with an image without file_name": (_first("images", file_name=None), "file_name"),
    "with a file_name in upper case": (_first("images", file_name="000000000001.JPG"), "not exist"),
    "with an absolute file_name": (_first("images", file_name="/etc/hostname"), "leads out"),
    "with .. in a file_name": (_first("images", file_name="../val2017/000000000001.jpg"), ".."),
    "with an image twice": (_twice("images", "file_name"), "twice"),
    "with another size than the file": (_first("images", width=127), "127"),
    "with an image without width": (_first("images", width=None), "width"),
}  # fmt: skip


def _json_content(desks: Desks) -> Iterator[BadInput]:
    for name, (change, says) in _CONTENT.items():
        desk = desks.lay("coco")
        desk.edit(change)
        yield refused("COCO JSON", f"detector's sweep: a file {name}", sweep(desk, "detector"),
                      desk.own.root.name, says, desk=desk)  # fmt: skip


def _json_elsewhere(desks: Desks) -> Iterator[BadInput]:
    for name, kinds in (
        ("with NaN in a box", ("training",)), ("with a polygon of 2 points", ("test",)),
        ("with 3 of 8 categories", ("training",)),
    ):  # fmt: skip
        change, says = _CONTENT[name]
        for kind in kinds:
            desk = desks.lay("coco")
            path = desk.annotations
            if kind == "training":
                path = path.with_name("instances_train2017.json")
            content = json.loads(path.read_text())
            change(content)
            path.write_text(json.dumps(content))
            words = (train if kind == "training" else test)(desk, "detector")
            yield refused("COCO JSON", f"detector's {kind}: a file {name}", words, says, desk=desk)
    desk = desks.lay("coco")
    path = desk.annotations.with_name("instances_train2017.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    yield refused("COCO JSON", "detector's training: a file with no annotation",
                  train(desk, "detector"), path.name, "leaves no image", desk=desk)  # fmt: skip


def _unusual_json(desks: Desks) -> Iterator[BadInput]:
    def shuffled(content: Content) -> None:
        content["categories"].reverse()

    def large(content: Content) -> None:
        ids = {image["id"]: 2**40 + image["id"] for image in content["images"]}
        for image in content["images"]:
            image["id"] = ids[image["id"]]
        for found in content["annotations"]:
            found["image_id"] = ids[found["image_id"]]

    def crowd(content: Content) -> None:
        content["annotations"][0]["iscrowd"] = 1  # with its polygon

    forms: dict[str, Callable[[Content], object]] = {
        "with categories in another order": shuffled,
        "with image ids above 2**40": large,
        "with a crowd given as a polygon": crowd,
        "without iscrowd": lambda c: [found.pop("iscrowd") for found in c["annotations"]],
        "with no annotation": lambda c: c.update(annotations=[]),
        "with a box that leaves by half a pixel": _first(
            "annotations", bbox=[-0.5, 20, 20, 20]),
    }  # fmt: skip
    for name, change in forms.items():
        desk = desks.lay("coco")
        desk.edit(change)
        yield documented("unusual truth", f"detector's sweep: a file {name}",
                         sweep(desk, "detector"), partial(_check_objects, desk))  # fmt: skip


def _check_objects(desk: Desk) -> None:
    content = json.loads(desk.annotations.read_text("utf-8-sig"))
    expected = [
        sum(found["image_id"] == image["id"] for found in content["annotations"])
        for image in content["images"]
    ]
    with np.load(desk.out / "cells/clean.npz", allow_pickle=False) as arrays:
        objects = arrays["objects"].tolist()
    assert objects == expected, f"objects {objects}, the file has {expected}"


# -- corrupted copies


def _make_copy(desk: Desk, layout: str, out: Path) -> Path:
    """A whole corrupted copy of a desk's data, as the tool makes it."""
    from stl_backbones.copies import request

    words = generate(desk, layout)
    options = request.GenerateOptions(layout=layout, corruptions=["contrast"], severities=[1])
    request.make_copy(request.plan_copy(str(words[1]), out, options), out)
    return out


def _change_header(copy: Path, **changes: object) -> None:
    path = copy / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _files(copy: Path) -> list[Path]:
    return sorted(path for path in (copy / "contrast").rglob("*") if path.is_file())


def _spoilt_copies(layout: str) -> dict[str, tuple[Callable[[Path], object], str]]:
    """Name -> (what becomes of a copy, what the tool must say)."""

    def cut(copy: Path) -> None:
        file = _files(copy)[1]
        file.write_bytes(file.read_bytes()[:-600])

    def shrunk(copy: Path) -> None:
        file = _files(copy)[1]
        with Image.open(file) as image:
            image.resize((image.width // 2, image.height)).save(file, image.format)

    def bit(copy: Path) -> None:
        file = _files(copy)[1]
        file.write_bytes(flipped(file.read_bytes()))

    def extra(copy: Path) -> None:
        file = _files(copy)[0]
        folder = file.parent.with_name("zzz") if layout == "imagenet" else file.parent
        folder.mkdir(exist_ok=True)
        shutil.copy(file, folder / f"zzz{file.suffix}")

    return {
        "without the severity": (lambda copy: shutil.rmtree(copy / "contrast/1"), "contrast-1"),
        "without the corruption": (lambda copy: shutil.rmtree(copy / "contrast"), "contrast-1"),
        "without an image": (lambda copy: _files(copy)[1].unlink(), "images"),
        "with an image more": (extra, "zzz"),
        "with an image cut": (cut, "truncated"),
        "with an image of another size": (shrunk, "the"),
        "with a bit turned in an image": (bit, "damaged"),
        "with an empty manifest": (lambda copy: (copy / "manifest.json").write_bytes(b""),
                                   "manifest.json"),
        "with a manifest of format 99": (
            lambda copy: _change_header(copy, format=99), "format 99, expected 1"),
        "with a manifest whose seed is a word": (
            lambda copy: _change_header(copy, seed="zero"), "seed"),
        "with a manifest without the cell": (
            lambda copy: _change_header(copy, cells={"fog": [1]}), "contrast"),
    }  # fmt: skip


_SOME_COPIES = (
    "without the severity", "without an image", "with an image cut", "with an empty manifest",
    "with a manifest without the cell",
)  # fmt: skip


def _copies(desks: Desks, task: str, kind: str, layout: str) -> Iterator[BadInput]:
    whole = _make_copy(desks.lay(kind), layout, desks.folder / f"copy-{layout}")
    more = ["--resize-rule", "model"] if kind == "classes" else []
    spoilt, roots = _spoilt_copies(layout), ["empty", "missing", "a file", "the clean images"]
    if task != "segmenter":
        spoilt = {name: spoilt[name] for name in _SOME_COPIES}
        roots = roots[:1]
    for name, (change, says) in spoilt.items():
        desk = desks.lay(kind)
        copy = desk.own.root / "copy"
        shutil.copytree(whole, copy)
        change(copy)
        words = sweep(desk, task, "--corrupted-root", copy, *more)
        yield refused("corrupted copies", f"{task}'s sweep: a copy {name}", words, says, desk=desk)
    desk = desks.lay(kind)
    words = sweep(desk, task, "--corrupted-root", whole, *more)
    what, check = f"{task}'s sweep: a whole copy", partial(_check_cells, desk)
    yield documented("corrupted copies", what, words, check)
    for what in roots:
        desk = desks.lay(kind)
        root = desk.images[0].parents[1] if what == "the clean images" else desk.own.root / "copy"
        if what == "empty":
            root.mkdir()
        if what == "a file":
            root.write_bytes(b"x")
        words = sweep(desk, task, "--corrupted-root", root, *more)
        what = f"{task}'s sweep: the copy is {what}"
        yield refused("corrupted copies", what, words, "--corrupted-root", root.name, desk=desk)
    desk = desks.lay(kind)
    copy = desk.own.root / "copy"
    shutil.copytree(whole, copy)
    for file, image in zip(_files(copy), desk.images, strict=True):
        file.write_bytes(image.read_bytes())
    words = sweep(desk, task, "--corrupted-root", copy, *more)
    what = f"{task}'s sweep: a copy that holds the clean files"
    yield refused("corrupted copies", what, words, "is the clean image", desk=desk)


def _check_cells(desk: Desk) -> None:
    there = sorted(path.name for path in (desk.out / "cells").iterdir())
    assert there == ["clean.npz", "contrast-1.npz"], f"cells: {there}"


def _verified(desks: Desks) -> Iterator[BadInput]:
    whole = desks.folder / "copy-cityscapes"
    spoilt = _spoilt_copies("cityscapes")

    def other_rows(copy: Path) -> None:
        with (copy / "manifest.jsonl").open("a") as file:
            file.write("{}\n")

    changes: dict[str, tuple[Callable[[Path], object], int, tuple[str, ...]]] = {
        "whole": (lambda _: None, 0, ("all as written",)),
        "without an image": (spoilt["without an image"][0], 1, ("missing: ", "1 missing")),
        "with an image more": (spoilt["with an image more"][0], 1, ("unexpected: ", "zzz")),
        "with a bit turned": (spoilt["with a bit turned in an image"][0], 1, ("altered: ",)),
        "with an empty manifest": (
            spoilt["with an empty manifest"][0], 2, ("manifest.json", "no manifest")),
        "with a manifest of format 99": (
            spoilt["with a manifest of format 99"][0], 2, ("format 99, expected 1",)),
        "with altered rows": (other_rows, 2, ("manifest.jsonl", "altered")),
        "without a manifest": (
            lambda copy: (copy / "manifest.json").unlink(), 2, ("no finished corrupted copy",)),
    }  # fmt: skip
    for name, (change, code, says) in changes.items():
        desk = desks.lay("cityscapes")
        copy = desk.own.root / "copy"
        shutil.copytree(whole, copy)
        change(copy)
        words = ["tools/generate_corruptions.py", "--verify", copy, "--workers", "1"]
        yield BadInput("corrupted copies", f"--verify: a copy {name}", words, says, code=code)
    for name, path in (("missing", "nowhere"), ("a file", "file")):
        desk = desks.lay("cityscapes")
        (desk.own.root / "file").write_bytes(b"x")
        words = ["tools/generate_corruptions.py", "--verify", desk.own.root / path]
        yield BadInput("corrupted copies", f"--verify: the copy is {name}", words, (path,))
