"""Images that are broken, unusual, misnamed or misplaced, given to every tool that reads images."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from faults.bad_data import (
    Desk,
    Desks,
    config_sweep,
    documented,
    failed,
    generate,
    pretrain,
    refused,
    same_samples,
    sweep,
    test,
    train,
    visualize,
)
from faults.bad_input import BadInput
from faults.material import Material

_PNG_START = b"\x89PNG\r\n\x1a\n"
_TASKS = {"segmenter": "cityscapes", "detector": "coco", "classifier": "classes"}
_HTML = b"<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>\n"
_ORIENTATION = 274  # EXIF's tag


def cases(material: Material, folder: Path) -> Iterator[BadInput]:
    """Yield the cases; files are written below a folder."""
    desks = Desks(material, folder)
    yield from _broken_in_sweeps(desks)
    yield from _broken_left_out(desks)
    yield from _broken_in_training(desks)
    yield from _broken_in_pictures(desks)
    yield from _broken_in_generation(desks)
    yield from _unusual_in_dense_sweeps(desks)
    yield from _unusual_in_classification(desks)
    yield from _unusual_in_generation(desks)
    yield from _sizes(desks)
    yield from _names(desks)
    yield from _source_folders(desks)
    yield from _image_folders(desks)
    yield from _class_folders(desks)
    yield from _subset_folders(desks)


# -- what files may hold


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of an image in a format of Pillow's."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def flipped(content: bytes) -> bytes:
    """The same with one bit of the middle byte turned."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


def bomb() -> bytes:
    """A PNG whose header claims 100000x100000 pixels, whole in form."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    parts = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return _PNG_START + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def _cut(content: bytes, quarters: int) -> bytes:
    return content[: len(content) * quarters // 4]


_BOMB = "that claims 100000x100000 pixels"
_FLIPPED_PNG = "PNG with a bit turned in its pixels"
# Name -> (what becomes of a file's bytes, what the tool must say).
_BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut at a quarter": (lambda content: _cut(content, 1), "truncated"),
    "cut at half": (lambda content: _cut(content, 2), "truncated"),
    "cut at three quarters": (lambda content: _cut(content, 3), "truncated"),
    "without its last 4 bytes": (lambda content: content[:-4], "truncated"),
    "of no bytes": (lambda _: b"", "empty"),
    "that is text": (lambda _: b"no image, a note\n" * 9, "is no image"),
    "that is an HTML error page": (lambda _: _HTML, "is no image"),
    _BOMB: (lambda _: bomb(), "pixels"),
}


def spoil(path: Path, name: str) -> str:
    """Break a file in the way of this name; returns what must be said of it."""
    if name == _FLIPPED_PNG:
        with Image.open(path) as image:
            path.write_bytes(flipped(encoded(image.convert("RGB"), "PNG")))
        return "damaged"
    change, says = _BROKEN[name]
    path.write_bytes(change(path.read_bytes()))
    return says


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _replace_by_broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere.png"))


_WHAT = {
    _replace_by_folder: "a folder", _replace_by_broken_link: "a broken link", Path.unlink: "missing"
}  # fmt: skip

# -- broken files


def _broken_in_sweeps(desks: Desks) -> Iterator[BadInput]:
    chosen = {
        "segmenter": (*_BROKEN, _FLIPPED_PNG),
        "detector": ("cut at half", "of no bytes", "that is text", _FLIPPED_PNG),
        "classifier": (
            "without its last 4 bytes",
            "that is an HTML error page",
            _BOMB,
            _FLIPPED_PNG,
        ),
    }
    for task, names in chosen.items():
        for name in names:
            desk = desks.lay(_TASKS[task])
            says = spoil(desk.images[1], name)
            parts = (desk.images[1].name, says, "1 of 2", "--skip-broken")
            what = f"{task}'s sweep: an image {name}"
            yield refused("images", what, sweep(desk, task), *parts, desk=desk)
    for task, change in (
        ("segmenter", _replace_by_folder), ("classifier", _replace_by_folder),
        ("segmenter", _replace_by_broken_link), ("classifier", _replace_by_broken_link),
        ("segmenter", Path.unlink), ("detector", Path.unlink),
    ):  # fmt: skip
        desk = desks.lay(_TASKS[task])
        change(desk.images[1])
        says = "has no image" if task == "segmenter" else "does not exist"
        what = f"{task}'s sweep: an image is {_WHAT[change]}"
        yield refused("images", what, sweep(desk, task), desk.images[1].name, says, desk=desk)
    desk = desks.lay("imagenet")
    image = desk.own.data / "imagenet/val/bus/bus_000000.JPEG"
    says = spoil(image, "cut at half")
    what = "a pretraining config's sweep: an image cut at half"
    yield refused("images", what, config_sweep(desk), image.name, says, desk=desk)


def _broken_left_out(desks: Desks) -> Iterator[BadInput]:
    for task, name in (
        ("segmenter", "cut at half"), ("segmenter", _FLIPPED_PNG), ("detector", _FLIPPED_PNG),
        ("classifier", "that is text"),
    ):  # fmt: skip
        desk = desks.lay(_TASKS[task])
        spoil(desk.images[1], name)
        what = f"{task}'s sweep --skip-broken: an image {name}"
        words = sweep(desk, task, "--skip-broken")
        yield documented("images", what, words, partial(_check_skipped, desk))
    desk = desks.lay("classes")
    for image in desk.images:
        spoil(image, "cut at half")
    words = sweep(desk, "classifier", "--skip-broken")
    what = "classifier's sweep --skip-broken: all images are cut"
    yield refused("images", what, words, "2 of 2", desk=desk)


def _check_skipped(desk: Desk) -> None:
    from stl_backbones.results import CellStore

    provenance = CellStore(desk.out).provenance()
    left_out = [Path(name).name for name in provenance.skipped]
    assert left_out == [desk.images[1].name], f"left out, as recorded: {left_out}"
    assert provenance.num_images == 1, f"{provenance.num_images} images recorded"


def _broken_in_training(desks: Desks) -> Iterator[BadInput]:
    for task, name in (
        ("segmenter", "cut at half"), ("segmenter", _FLIPPED_PNG), ("detector", "that is text"),
    ):  # fmt: skip
        desk = desks.lay(_TASKS[task])
        image = Path(str(desk.images[1]).replace("val", "train"))
        says = spoil(image, name)
        what = f"{task}'s training: an image {name}"
        yield refused("images", what, train(desk, task), image.name, says, desk=desk)
    for task in ("segmenter", "detector"):
        desk = desks.lay(_TASKS[task])
        says = spoil(desk.images[1], "cut at three quarters")
        what = f"{task}'s test: an image cut at three quarters"
        yield refused("images", what, test(desk, task), desk.images[1].name, says, desk=desk)
    for name in (_BOMB, _FLIPPED_PNG):
        desk = desks.lay("imagenet")
        spoil(desk.images[1], name)
        what = f"pretraining: an image {name} is replaced, and named"
        yield documented("images", what, pretrain(desk), partial(_check_named_in_log, desk))
    desk = desks.lay("imagenet")
    spoil(desk.images[1], "cut at half")
    words = pretrain(desk, "train_dataloader.dataset.max_broken=0")
    what = "pretraining with max_broken=0: an image cut at half"
    yield refused("images", what, words, desk.images[1].name, "max_broken", desk=desk)


def _check_named_in_log(desk: Desk) -> None:
    text = "".join(path.read_text() for path in desk.out.glob("*/*.log"))
    is_named = desk.images[1].name in text and "another image stands in" in text
    assert is_named, "the log does not name the image that another one stands in for"


def _broken_in_pictures(desks: Desks) -> Iterator[BadInput]:
    def case(what: str, desk: Desk) -> BadInput:
        words, name = visualize(desk, desk.images[0]), desk.images[0].name
        return refused("images", f"visualize_token_labels.py: an image {what}", words, name,
                       desk=desk)  # fmt: skip

    for name in ("cut at half", "of no bytes", "that is an HTML error page", _BOMB, _FLIPPED_PNG):
        desk = desks.lay("classes")
        spoil(desk.images[0], name)
        yield case(name, desk)
    for change, what in _WHAT.items():
        desk = desks.lay("classes")
        change(desk.images[0])
        yield case(f"is {what}", desk)


def _broken_in_generation(desks: Desks) -> Iterator[BadInput]:
    reasons = {"truncated": "damaged", "is no image": "no image", "pixels": "damaged"}
    for layout, kind, names in (
        ("cityscapes", "cityscapes", ("cut at half", "of no bytes", _BOMB, _FLIPPED_PNG)),
        ("coco", "coco", ("that is text",)),
        ("imagenet", "classes", ("without its last 4 bytes", _FLIPPED_PNG)),
        ("folder", "classes", ("cut at a quarter",)),
    ):
        for name in names:
            desk = desks.lay(kind)
            says = spoil(desk.images[1], name)
            parts = (desk.images[1].name, reasons.get(says, says))
            what = f"generation, {layout}: an image {name}"
            yield failed("images", what, generate(desk, layout), *parts, desk=desk)
    for change, what in ((_replace_by_broken_link, "broken link"), (_replace_by_pipe, "pipe")):
        desk = desks.lay("classes")
        change(desk.images[1])
        parts = (desk.images[1].name, "no such file")
        what = f"generation, folder: an image is a {what}"
        yield failed("images", what, generate(desk, "folder"), *parts, desk=desk)


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


# -- unusual images, each beside its plain twin


def _twins(desk: Desk, plain: Image.Image, unusual: bytes) -> None:
    """Make the second image the first one in another form."""
    first, second = desk.images
    first.write_bytes(encoded(plain, "PNG"))
    second.write_bytes(unusual)
    for label in desk.labels[1:]:
        label.write_bytes(desk.labels[0].read_bytes())
    if desk.annotations.is_file():
        desk.edit(_copy_annotations)


def _copy_annotations(content: dict) -> None:
    first, second = (image["id"] for image in content["images"])
    own = [found for found in content["annotations"] if found["image_id"] == first]
    copies = [{**found, "image_id": second, "id": found["id"] + 1000} for found in own]
    content["annotations"] = own + copies


def _picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _deep(image: Image.Image) -> bytes:
    """A PNG of 16 bits per channel that holds the same values."""
    import cv2

    pixels = np.asarray(image).astype(np.uint16) * 257
    pixels = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    return bytes(cv2.imencode(".png", pixels)[1])


def _with_alpha(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA" if image.mode == "RGB" else "LA")
    alpha = np.linspace(0, 255, image.width * image.height).reshape(image.height, image.width)
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return image


def _frames(image: Image.Image, kind: str, **options: object) -> bytes:
    others = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    return encoded(image, kind, save_all=True, append_images=others, **options)


def _forms(picture: Image.Image) -> dict[str, tuple[Image.Image, bytes]]:
    """Name -> (plain image, the bytes of the same in an unusual form)."""
    grey, few = picture.convert("L"), picture.convert("P", palette=Image.Palette.ADAPTIVE)
    bits = picture.convert("1")
    return {
        "grey": (grey.convert("RGB"), encoded(grey, "PNG")),
        "a palette": (few.convert("RGB"), encoded(few, "PNG")),
        "1 bit": (bits.convert("RGB"), encoded(bits, "PNG")),
        "RGBA": (picture, encoded(_with_alpha(picture), "PNG")),
        "LA": (grey.convert("RGB"), encoded(_with_alpha(grey), "PNG")),
        "16 bit RGB": (picture, _deep(picture)),
        "16 bit grey": (grey.convert("RGB"), _deep(grey)),
        "WebP without loss": (picture, encoded(picture, "WEBP", lossless=True)),
        "PNG with trailing bytes": (picture, encoded(picture, "PNG") + b"\0" * 4000),
        "animated PNG": (picture, _frames(picture, "PNG")),
        "animated WebP": (picture, _frames(picture, "WEBP", lossless=True)),
    }


def _turned(upright: Image.Image, orientation: int, kind: str) -> bytes:
    """A file that shows the upright image once it is turned as its EXIF says."""
    # How to undo what the orientation asks for.
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return encoded(stored, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))


# What Pillow and OpenCV read the same, whatever the name says.
_EVERYWHERE = ("grey", "a palette", "RGBA", "16 bit RGB", "PNG with trailing bytes")


def _twin(desks: Desks, task: str, name: str) -> Desk:
    desk = desks.lay(_TASKS[task])
    _twins(desk, *_forms(_picture(desk.images[0]))[name])
    return desk


def _turned_twin(desks: Desks, task: str, orientation: int) -> Desk:
    desk = desks.lay(_TASKS[task])
    upright = _picture(desk.images[0])
    _twins(desk, upright, _turned(upright, orientation, "PNG"))
    return desk


def _unusual_in_dense_sweeps(desks: Desks) -> Iterator[BadInput]:
    for task, names, orientations in (
        ("segmenter", (*_EVERYWHERE, "16 bit grey", "animated PNG"), (2, 6)),
        ("detector", _EVERYWHERE[:3], (6,)),
    ):
        for name in names:
            desk = _twin(desks, task, name)
            check = same_samples(desk.out)
            yield documented("unusual images", f"{task}'s sweep: {name}", sweep(desk, task), check)
        for orientation in orientations:
            desk = _turned_twin(desks, task, orientation)
            what = f"{task}'s sweep: EXIF orientation {orientation} is followed"
            yield documented("unusual images", what, sweep(desk, task), same_samples(desk.out))
    desk = desks.lay("coco")
    upright = _picture(desk.images[1]).rotate(90, expand=True)
    desk.images[1].write_bytes(_turned(upright, 6, "JPEG"))
    parts = (desk.images[1].name, "64x128", "128x64")
    what = "detector's sweep: the annotation file has the size before EXIF"
    yield refused("unusual images", what, sweep(desk, "detector"), *parts, desk=desk)


def _unusual_in_classification(desks: Desks) -> Iterator[BadInput]:
    for name in (*_EVERYWHERE, "LA", "WebP without loss", "animated WebP"):
        desk = _twin(desks, "classifier", name)
        words = sweep(desk, "classifier")
        what = f"classifier's sweep: {name}"
        yield documented("unusual images", what, words, same_samples(desk.out))
    desk = _twin(desks, "classifier", "16 bit grey")
    what, parts = "classifier's sweep: 16 bit grey", (desk.images[1].name, "16 bit")
    yield refused("unusual images", what, sweep(desk, "classifier"), *parts, desk=desk)
    desk = desks.lay("classes")
    stored = _picture(desk.images[0])
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    _twins(desk, stored, encoded(stored, "PNG", exif=exif))
    what = "classifier's sweep: EXIF orientation 6 is not followed"
    yield documented("unusual images", what, sweep(desk, "classifier"), same_samples(desk.out))


def _unusual_in_generation(desks: Desks) -> Iterator[BadInput]:
    for layout, name in (
        ("folder", "a palette"), ("folder", "1 bit"), ("imagenet", "grey"),
    ):  # fmt: skip
        desk = _twin(desks, "classifier", name)
        what, check = f"generation, {layout}: {name}", partial(_check_same_files, desk)
        more = ("--label-maps",) if name == "1 bit" else ()  # else it is taken for a label map
        yield documented("unusual images", what, generate(desk, layout, *more), check)
    for layout, name, says in (
        ("folder", "RGBA", "transparency"), ("folder", "16 bit RGB", "16 bits"),
        ("folder", "animated PNG", "2 frames"), ("imagenet", "LA", "transparency"),
        ("imagenet", "16 bit grey", "16 bits"),
    ):  # fmt: skip
        desk = _twin(desks, "classifier", name)
        what, parts = f"generation, {layout}: {name}", (desk.images[1].name, says)
        yield failed("unusual images", what, generate(desk, layout), *parts, desk=desk)
    for orientation in (3, 8):
        desk = _turned_twin(desks, "classifier", orientation)
        what = f"generation, folder: EXIF orientation {orientation} is followed"
        check = partial(_check_same_files, desk)
        yield documented("unusual images", what, generate(desk, "folder"), check)


def _check_same_files(desk: Desk) -> None:
    files = sorted(desk.out.glob("contrast/1/**/*.*"))
    assert len(files) == 2, f"made: {files}"
    assert files[0].read_bytes() == files[1].read_bytes(), "the twins' copies differ"


# -- sizes, names, folders


def _blank(width: int, height: int) -> bytes:
    return encoded(Image.new("RGB", (width, height), (90, 120, 30)), "PNG")


def _sizes(desks: Desks) -> Iterator[BadInput]:
    for width, height in ((1, 1), (30_000, 1)):
        size = f"{width}x{height}"
        desk = desks.lay("cityscapes")
        desk.images[1].write_bytes(_blank(width, height))
        desk.labels[1].write_bytes(encoded(Image.new("L", (width, height), 3), "PNG"))
        parts = (desk.images[1].name, size, "32")
        what = f"segmenter's sweep: an image of {size}"
        yield refused("images", what, sweep(desk, "segmenter"), *parts, desk=desk)
        desk = desks.lay("coco")
        desk.images[1].write_bytes(_blank(width, height))
        desk.edit(partial(_set_size, width, height))
        what = f"detector's sweep: an image of {size}"
        yield refused("images", what, sweep(desk, "detector"), *parts[1:], desk=desk)
    desk = desks.lay("classes")
    desk.images[1].write_bytes(_blank(1, 1))
    what, check = "classifier's sweep: an image of 1x1 is enlarged", partial(_check_cells, desk)
    yield documented("unusual images", what, sweep(desk, "classifier"), check)
    desk = desks.lay("classes")
    desk.images[1].write_bytes(_blank(1, 30_000))
    parts = (desk.images[1].name, "1x30000")
    what = "an image of 1x30000"
    words = sweep(desk, "classifier")
    yield refused("images", f"classifier's sweep: {what}", words, *parts, desk=desk)
    words = visualize(desk, desk.images[1])
    yield refused("images", f"visualize_token_labels.py: {what}", words, *parts, desk=desk)
    for layout, size in (("imagenet", (1, 30_000)), ("folder", (1, 1))):
        desk = desks.lay("classes")
        desk.images[1].write_bytes(_blank(*size))
        parts = (desk.images[1].name, f"{size[0]}x{size[1]}")
        what = f"generation, {layout}: an image of {parts[1]}"
        yield failed("images", what, generate(desk, layout), *parts, desk=desk)


def _set_size(width: int, height: int, content: dict) -> None:
    image = content["images"][1]
    image["width"], image["height"] = width, height
    content["annotations"] = [
        found for found in content["annotations"] if found["image_id"] != image["id"]
    ]


def _check_cells(desk: Desk) -> None:
    there = sorted(path.name for path in (desk.out / "cells").iterdir())
    assert there == ["clean.npz", "contrast-1.npz"], f"cells: {there}"


def _names(desks: Desks) -> Iterator[BadInput]:
    fine = ("with spaces", "mit Umlaut äöü 図", "-dash", "two.dots", "#", "'", "$(id)", "a\nb")
    odd = os.fsdecode(b"a\xff\xfe.JPG")
    parts = ("UTF-8", "a\\udcff", "rename")
    for kind, words in (
        ("generation, folder", partial(generate, layout="folder")),
        ("classifier's sweep", partial(sweep, task="classifier")),
    ):
        desk = desks.lay("classes")
        for name in fine:
            (desk.images[0].parent / f"{name}.JPG").write_bytes(desk.images[0].read_bytes())
        is_sweep = kind == "classifier's sweep"
        check = partial(_check_cells if is_sweep else partial(_check_number, len(fine) + 2), desk)
        what = f"{kind}: names with spaces, signs, a dash, a line break"
        yield documented("names", what, words(desk), check)
        desk = desks.lay("classes")
        desk.images[1].rename(desk.images[1].with_name(odd))
        what = f"{kind}: a name that is no UTF-8"
        yield refused("names", what, words(desk), *parts, desk=desk)
    desk = desks.lay("cityscapes")
    for file, end in (
        (desk.images[1], "_leftImg8bit.png"), (desk.labels[1], "_gtFine_labelTrainIds.png"),
    ):  # fmt: skip
        file.rename(file.with_name(odd.removesuffix(".JPG") + end))
    what = "segmenter's sweep: a name that is no UTF-8"
    yield refused("names", what, sweep(desk, "segmenter"), *parts, desk=desk)
    desk = desks.lay("imagenet")
    image = desk.images[0].rename(desk.images[0].with_name(odd))
    yield refused(
        "names", "pretraining: a name that is no UTF-8", pretrain(desk), *parts, desk=desk
    )
    what = "visualize_token_labels.py: a name that is no UTF-8"
    yield refused("names", what, visualize(desk, image), *parts, desk=desk)


def _check_number(expected: int, desk: Desk) -> None:
    files = [path for path in (desk.out / "contrast").rglob("*") if path.is_file()]
    assert len(files) == expected, f"made: {files}"
    assert (desk.out / "manifest.json").is_file(), "no manifest"


def _make(folder: Path, what: str) -> None:
    """Make an empty folder, a file, or nothing."""
    if what == "empty":
        folder.mkdir()
    if what == "a file":
        folder.write_bytes(b"x")


def _source_folders(desks: Desks) -> Iterator[BadInput]:
    for layout, what in (
        ("cityscapes", "missing"), ("cityscapes", "another data set"), ("coco", "empty"),
        ("imagenet", "empty"), ("folder", "a file"),
    ):  # fmt: skip
        kind = "cityscapes" if layout == "coco" else "coco"
        desk = desks.lay(kind)
        source = desk.own.data / kind if what == "another data set" else desk.own.root / "source"
        _make(source, what)
        words = generate(desk, layout)
        words[1] = source
        what = f"generation, {layout}: the source is {what}"
        yield refused("folders", what, words, source.name, desk=desk)


def _image_folders(desks: Desks) -> Iterator[BadInput]:
    for task, what in (
        ("segmenter", "empty"), ("detector", "missing"), ("classifier", "empty"),
        ("classifier", "a file"),
    ):  # fmt: skip
        desk = desks.lay(_TASKS[task])
        folder = {
            "segmenter": desk.own.data / "cityscapes/leftImg8bit/val",
            "detector": desk.own.data / "coco/val2017",
            "classifier": desk.own.classes,
        }[task]
        folder.rename(folder.with_name("away"))
        _make(folder, what)
        what = f"{task}'s sweep: the image folder is {what}"
        yield refused("folders", what, sweep(desk, task), folder.name, desk=desk)
    desk = desks.lay("imagenet")
    folder = desk.own.data / "imagenet/train"
    folder.rename(folder.with_name("away"))
    what = "pretraining: the training folder is missing"
    yield refused("folders", what, pretrain(desk), folder.name, desk=desk)


def _class_folders(desks: Desks) -> Iterator[BadInput]:
    def unknown_class(desk: Desk) -> None:
        desk.images[1].parent.rename(desk.own.classes / "n99999999")

    def empty(desk: Desk) -> None:
        desk.images[1].unlink()

    def nested(desk: Desk) -> None:
        folder = desk.images[1].parent / "deeper"
        folder.mkdir()
        desk.images[1].rename(folder / desk.images[1].name)

    def the_only_one(desk: Desk) -> None:
        shutil.rmtree(desk.images[1].parent)

    def in_upper_case(desk: Desk) -> None:
        folder = desk.images[1].parent
        folder.rename(folder.with_name(folder.name.upper()))

    for change in (empty, nested):
        desk = desks.lay("classes")
        change(desk)
        what = f"classifier's sweep with --allow-missing: a class folder is {change.__name__}"
        check = partial(_check_cells, desk)
        yield documented("folders", what, sweep(desk, "classifier"), check)
    for change, says in (
        (unknown_class, "n99999999"), (the_only_one, "two"), (in_upper_case, "N0"),
    ):  # fmt: skip
        desk = desks.lay("classes")
        change(desk)
        what = f"classifier's sweep: a class folder is {change.__name__.replace('_', ' ')}"
        yield refused("folders", what, sweep(desk, "classifier"), says, desk=desk)
    desk = desks.lay("classes")
    for stray in (desk.own.classes / "notes.txt", desk.images[0].parent / "Thumbs.db"):
        stray.write_bytes(b"x")
    (desk.own.classes / ".cache").mkdir()
    what, check = "classifier's sweep: stray files, no images", partial(_check_cells, desk)
    yield documented("folders", what, sweep(desk, "classifier"), check)
    desk = desks.lay("imagenet")
    words = pretrain(desk, "model.num_classes=4", "train_dataloader.dataset.num_classes=4")
    what = "pretraining: more class folders than the model's classes"
    yield refused("folders", what, words, "10 classes", "4", desk=desk)
    desk = desks.lay("imagenet")
    desk.images[0].unlink()
    parts = desk.images[0].parent.name
    what = "pretraining: a class folder is empty"
    yield refused("folders", what, pretrain(desk), parts, desk=desk)


def _subset_folders(desks: Desks) -> Iterator[BadInput]:
    desk = desks.lay("classes")
    words = [word for word in sweep(desk, "classifier") if word != "--allow-missing"]
    what, parts = (
        "classifier's sweep: 2 of 1000 class folders",
        ("998 of the 1000", "--allow-missing"),
    )
    yield refused("folders", what, words, *parts, desk=desk)
    for option, name in (("--imagenet-a", "ImageNet-A"), ("--imagenet-r", "ImageNet-R")):
        desk = desks.lay("classes")
        words = sweep(desk, "classifier", option, desk.own.classes)
        what = f"classifier's sweep: {option} is the validation folder"
        yield refused("folders", what, words, name, desk=desk)
        desk = desks.lay("classes")
        words = sweep(desk, "classifier", option, "nowhere")
        what = f"classifier's sweep: {option} is missing"
        yield refused("folders", what, words, option, "nowhere", desk=desk)
