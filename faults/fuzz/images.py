"""Readers of images, and of arrays of them."""

from __future__ import annotations

import io
import json
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from faults.fuzz import mutators as ways
from faults.fuzz.image_mutators import JPEG, PNG
from faults.fuzz.reader import Reader, each_alone

SIDE = 40  # pixels of an image's side


def picture(number: int) -> np.ndarray:
    """``(SIDE, SIDE, 3)`` noise."""
    return np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)


def _encoded(image: Any, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def as_png(image: np.ndarray) -> bytes:
    """The file of it."""
    return _encoded(image, "PNG")


def as_jpeg(image: np.ndarray) -> bytes:
    """The file of it."""
    return _encoded(image, "JPEG")


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "turned"
    return exif.tobytes()


def _image_seeds(folder: Path, kind: str) -> list[bytes]:
    rgb, grey = picture(0), picture(1)[..., 0]
    found = [_encoded(rgb, kind), _encoded(grey, kind), _encoded(rgb, kind, exif=_exif())]
    if kind == "JPEG":
        cmyk = io.BytesIO()
        Image.fromarray(rgb).convert("CMYK").save(cmyk, "JPEG")
        return [*found, cmyk.getvalue(), _encoded(rgb, kind, progressive=True)]
    palette = io.BytesIO()
    Image.fromarray(rgb).quantize(16).save(palette, "PNG", transparency=3)
    return [*found, palette.getvalue(), _encoded(grey.astype(np.uint16) * 256, kind),
            _encoded(grey > 100, kind), _encoded(np.dstack([rgb, grey]), kind)]  # fmt: skip


def _other_seeds(folder: Path) -> list[bytes]:
    """Formats that may stand in for the two that data sets have."""
    rgb = picture(0)
    found = [_encoded(rgb, kind) for kind in ("BMP", "GIF", "TIFF", "WEBP", "PPM")]
    return [*found, _encoded(rgb, "TIFF", compression="tiff_lzw")]


def _read_images(path: Path) -> None:
    """By each that opens image files."""
    from stl_backbones.copies.images import PILLOW, read_image
    from stl_backbones.copies.label_maps import is_label_map
    from stl_backbones.datasets import integrity
    from stl_backbones.datasets.class_folders import read_rgb
    from stl_backbones.datasets.object_masks import open_masks
    from stl_backbones.robustness import items

    label = path.parent / "label.png"
    if not label.is_file():
        label.write_bytes(_encoded(np.zeros((SIDE, SIDE), np.uint8), "PNG"))
    with each_alone() as each:
        for check in (integrity.check_whole, integrity.check_intact, integrity.image_header,
                      integrity.decoded_size, integrity.is_read_apart):  # fmt: skip
            each(check, path)
        for pair in ((path, label), (label, path)):
            each(integrity.check_pair, *pair)
        for read in (read_rgb, items.read_image, read_image, partial(read_image, crop=True),
                     partial(read_image, reader=PILLOW), is_label_map):  # fmt: skip
            each(read, path)
        masks = open_masks(path.parent)
        each(masks.read, Path("a") / f"{path.stem}.jpg", size=(SIDE, SIDE), class_name="")


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _npy_seeds(folder: Path) -> list[bytes]:
    labels = np.arange(4)
    return [_npy(np.zeros((2, 4, 4, 3), np.uint8)), _npy(labels), _npy(labels.astype(np.uint8)),
            _npy(np.ones((SIDE, SIDE), np.float32))]  # fmt: skip


def _read_npy(path: Path) -> None:
    """As images, as labels and as distances."""
    from stl_backbones.corruptions.driving import depth
    from stl_backbones.datasets.npy_files import map_images, read_labels

    depth.read_depth.cache_clear()
    with each_alone() as each:
        each(lambda: np.array(map_images(path)[0]))
        each(read_labels, path)
        each(depth.read_depth, str(path.parent), f"{path.stem}.png", SIDE, SIDE)


def _depth_seeds(folder: Path) -> list[bytes]:
    grey = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE)
    return [_encoded(grey, "PNG"), as_png(picture(0))]


def _read_depth_png(path: Path) -> None:
    from stl_backbones.corruptions.driving import depth

    depth.read_depth.cache_clear()
    depth.read_depth(str(path.parent), path.name, SIDE, SIDE)


def _camera_seeds(folder: Path) -> list[bytes]:
    place = folder / "disparity/val/c"
    place.mkdir(parents=True)
    cv2.imwrite(str(place / "a_disparity.png"), np.full((SIDE, SIDE), 700, np.uint16))
    inside = {"fx": 2262.5, "fy": 2265.3, "u0": 20.1, "v0": 20.2}
    return [json.dumps({"extrinsic": {"baseline": 0.22}, "intrinsic": inside}).encode()]


def _read_camera(path: Path) -> None:
    from stl_backbones.corruptions.driving import depth

    depth.read_depth.cache_clear()
    depth.read_depth(str(path.parents[3]), "c/a_leftImg8bit.png", SIDE, SIDE)


def _cifar_seeds(folder: Path) -> list[bytes]:
    found = []
    for count in (1, 2):
        content = {
            b"data": np.zeros((count, 3072), np.uint8), b"labels": [3] * count,
            b"fine_labels": [4] * count, b"label_names": [b"a", b"b"],
        }  # fmt: skip
        found += [pickle.dumps(content, protocol=protocol) for protocol in (2, 4)]
    return found


def _read_cifar(path: Path) -> None:
    from stl_backbones.datasets.cifar_files import ARCHIVES

    with each_alone() as each:
        for archive in ARCHIVES:
            each(lambda one: np.array(one.images(path)), archive)
            each(archive.labels, path)
            each(archive.names, path)


_PIL = ("PIL.PngImagePlugin", "PIL.JpegImagePlugin", "PIL.TiffImagePlugin", "PIL.Image",
        "PIL.ImageFile")  # fmt: skip

READERS = (
    Reader("PNG", "a.png", partial(_image_seeds, kind="PNG"), _read_images, PNG, _PIL),
    Reader("JPEG", "a.jpg", partial(_image_seeds, kind="JPEG"), _read_images, JPEG, _PIL),
    Reader("other images", "b.png", _other_seeds, _read_images, ways.BYTES, ("PIL",)),
    Reader("npy", "a.npy", _npy_seeds, _read_npy, ways.NPY, ("numpy.lib.format",)),
    Reader("depth PNG", "a.png", _depth_seeds, _read_depth_png, PNG),
    Reader("camera", "camera/val/c/a_camera.json", _camera_seeds, _read_camera, ways.JSON),
    Reader("CIFAR pickle", "a", _cifar_seeds, _read_cifar, ways.PICKLE, ("pickle",)),
)  # fmt: skip
