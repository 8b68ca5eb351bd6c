"""A folder with one folder of images per class, and how its images are read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from stl_backbones.corruptions.images import IMAGE_DAMAGE, MAX_RATIO, UnfitImageError
from stl_backbones.corruptions.seeds import check_key
from stl_backbones.datasets.integrity import check_intact, image_header
from stl_backbones.datasets.labelled_source import LabelledSource
from stl_backbones.errors import InputError, MissingFileError, some_of
from stl_backbones.image_files import ending, is_clutter, is_image
from stl_backbones.paths import check_file, check_folder

# What Pillow raises on damaged files, by format.
_DEEP = ("I", "F")  # how Pillow's names of modes of more than 8 bits begin
_DEEPER, _NO_FOLDER = "folder in a class folder", "image beside the class folders"


class ClassFolders(LabelledSource):
    """The images of a folder with one folder per class, by class and then by name.

    Args:
        root: The folder that holds the class folders.
        classes: Class folders, whose order gives the labels; or how many, the first by name;
            default: all, by name.
        images_per_class: Take only the first so many of each class, by name.
        allow_empty: Go on where some class folders hold no image.

    Attributes:
        root: As given.
        classes: The folders' names, in the order of the labels.
        empty: Those that hold no image.
        is_ordered: Whether the order was given.
        left_out: What is in the folders and no image that is read: ending -> how many.
        labels: ``(images,)`` int64, positions in ``classes``.

    Raises:
        FileNotFoundError: If the folder, a class folder or every image is missing.
        ValueError: If there are fewer than two classes, or a file's name is no UTF-8.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        classes: Sequence[str] | int | None = None,
        images_per_class: int | None = None,
        allow_empty: bool = False,
    ) -> None:
        self.root = Path(root)
        self.is_ordered = isinstance(classes, Sequence)
        self.classes = tuple(_choose_classes(self.root, classes))
        self._list(images_per_class)
        if self.empty and not (allow_empty and len(self)):
            raise MissingFileError(
                f"{len(self.empty)} of {len(self.classes)} class folders in '{self.root}' hold no "
                f"image: {some_of(self.empty)}"
            )

    def _list(self, limit: int | None) -> None:
        if limit is not None and limit < 1:
            raise InputError(f"images_per_class must be at least 1, got {limit}")
        self.left_out = Counter(_beside(self.root))
        files, labels, empty = list[str](), list[int](), list[str]()
        for label, name in enumerate(self.classes):
            found, others = _list_folder(self.root / name)
            self.left_out += others
            for file in found[:limit]:
                check_key(f"{name}/{file}")
                files.append(f"{name}/{file}")
                labels.append(label)
            if not found:
                empty.append(name)
        self.empty = tuple(empty)
        # Arrays, not lists: reading a list's items in a forked worker copies its memory.
        self._files = np.array([file.encode() for file in files])
        self.labels = np.array(labels, dtype=np.int64)

    def key(self, index: int) -> str:
        """The id of an item: its file's path below the split's folder, in POSIX form."""
        return self._files[index].decode()

    def path(self, index: int) -> str:
        """The file of an item."""
        return f"{self.root}/{self.key(index)}"

    def read(self, index: int) -> Image.Image:
        """An image, see `read_rgb`."""
        return read_rgb(self.path(index))

    def whole(self, index: int, *, decode: bool) -> bytes:
        """The bytes of an image's file, see `LabelledSource`."""
        path = Path(self.path(index))
        check_intact(path)
        size, mode = image_header(path)
        check_readable(size, mode, path)
        if decode:
            read_rgb(path)
        return path.read_bytes()


def read_rgb(path: str | Path) -> Image.Image:
    """Read an image as RGB.

    As torchvision does: what transparency covers is shown, of several frames the first is taken,
    and EXIF's orientation is not followed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image, damaged, or see `check_readable`.
    """
    try:
        with Image.open(path) as image:
            check_readable(image.size, image.mode, path)
            if image.mode == "P" and image.palette is None:
                raise UnfitImageError(f"'{path}' is damaged: its palette is missing")
            if image.mode != "RGB":
                return image.convert("RGB")
            image.load()
            return image
    except FileNotFoundError:
        raise MissingFileError(f"image '{path}' does not exist") from None
    except UnidentifiedImageError:
        raise InputError(f"'{path}' is no image") from None
    except UnfitImageError:
        raise
    except IMAGE_DAMAGE as error:
        raise InputError(f"'{path}' cannot be read: {error}") from error


def check_readable(size: tuple[int, int], mode: str, path: str | Path) -> None:
    """Refuse images that Pillow would turn into something else.

    Args:
        size: Width and height.
        mode: Pillow's mode.
        path: The file, for errors.

    Raises:
        UnfitImageError: If one side is more than 200 times the other, or the image is grey with
            more than 8 bits, of which Pillow would make white.
    """
    if mode.startswith(_DEEP):
        raise UnfitImageError(
            f"'{path}' is grey with 16 bits or more (mode {mode}); save it with 8 bits per channel"
        )
    if max(size) > MAX_RATIO * min(size):
        raise UnfitImageError(
            f"'{path}' is {size[0]}x{size[1]}; expected sides of at most {MAX_RATIO} to 1"
        )


def _choose_classes(root: Path, classes: Sequence[str] | int | None) -> list[str]:
    advice = "expected one folder per class in it (give the data set's folder with --data-root DIR)"
    check_folder(root, "image folder", hint=advice)
    found = sorted(entry.name for entry in os.scandir(root) if _is_class(entry))
    if not found:
        raise MissingFileError(f"'{root}' holds no class folder; expected one folder per class")
    names = _named_classes(root, found, classes)
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(
            f"expected at least two different classes in '{root}', got {some_of(names)}"
        )
    return names


def _named_classes(root: Path, found: list[str], classes: Sequence[str] | int | None) -> list[str]:
    if classes is None:
        return found
    if not isinstance(classes, Sequence):  # a number, numpy's too
        if not 0 < classes <= len(found):
            raise InputError(
                f"classes must be in 1..{len(found)} (the class folders in '{root}'), got {classes}"
            )
        return found[: int(classes)]
    missing = [name for name in classes if name not in found]
    if missing:
        raise MissingFileError(
            f"'{root}' lacks {len(missing)} of {len(classes)} class folders: {some_of(missing)}"
        )
    return list(classes)


def _is_class(entry: os.DirEntry) -> bool:
    return entry.is_dir() and not is_clutter(entry.name)


def _list_folder(folder: Path) -> tuple[list[str], Counter[str]]:
    """Names of a class folder's images, sorted, and what else is there."""
    found, others = [], Counter[str]()
    for entry in os.scandir(folder):
        if is_image(entry.name):
            found.append(entry.name)
        elif not is_clutter(entry.name):
            others[_DEEPER if entry.is_dir() else ending(entry.name)] += 1
    return sorted(found), others


def _beside(root: Path) -> Counter[str]:
    """Images that are in no class folder."""
    names = [entry.name for entry in os.scandir(root) if not entry.is_dir()]
    count = sum(map(is_image, names))
    return Counter({_NO_FOLDER: count} if count else {})


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Read class names from a text file, one a line, in the order of the labels.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no text, or a name is empty or there twice.
    """
    check_file(path, "--classes")
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError:
        raise InputError(f"--classes '{path}' is no text; expected one class name a line") from None
    names = tuple(line.strip() for line in lines)
    if not all(names) or len(set(names)) < len(names):
        twice = next((name for name in names if names.count(name) > 1), "")
        wrong = f"'{twice}' twice" if twice else "an empty line"
        raise InputError(f"--classes '{path}': expected one class name a line, got {wrong}")
    return names


__all__ = ["ClassFolders", "check_readable", "read_class_names", "read_rgb"]
