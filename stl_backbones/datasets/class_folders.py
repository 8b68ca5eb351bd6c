"""A folder with one folder of images per class, and how its images are read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from stl_backbones.corruptions.images import MAX_RATIO, UnfitImageError
from stl_backbones.corruptions.seeds import check_key
from stl_backbones.errors import InputError, MissingFileError, some_of

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm"})
# What Pillow raises on damaged files, by format.
_DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
_DEEP = ("I", "F")  # how Pillow's names of modes of more than 8 bits begin


class ClassFolders:
    """The images of a folder with one folder per class, by class and then by name.

    Args:
        root: The folder that holds the class folders.
        classes: Class folders, whose order gives the labels; or how many, the first by name;
            default: all, by name.
        images_per_class: Take only the first so many of each class, by name.

    Attributes:
        root: As given.
        classes: The folders' names, in the order of the labels.
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
    ) -> None:
        self.root = Path(root)
        self.classes = tuple(_choose_classes(self.root, classes))
        files, labels = _list_images(self.root, self.classes, images_per_class)
        # Arrays, not lists: reading a list's items in a forked worker copies its memory.
        self._files = np.array([file.encode() for file in files])
        self.labels = np.array(labels, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def key(self, index: int) -> str:
        """The id of an item: its file's path below the split's folder, in POSIX form."""
        return self._files[index].decode()

    def path(self, index: int) -> str:
        """The file of an item."""
        return f"{self.root}/{self.key(index)}"

    def class_name(self, index: int) -> str:
        """The class folder of an item."""
        return self.classes[int(self.labels[index])]


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
    except _DAMAGE as error:
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
    if not root.is_dir():
        raise MissingFileError(
            f"image folder '{root}' does not exist; expected one folder per class in it "
            "(give the data set's folder with --cfg-options data_root=DIR)"
        )
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
    if isinstance(classes, int):
        if not 0 < classes <= len(found):
            raise InputError(
                f"classes must be in 1..{len(found)} (the class folders in '{root}'), got {classes}"
            )
        return found[:classes]
    missing = [name for name in classes if name not in found]
    if missing:
        raise MissingFileError(
            f"'{root}' lacks {len(missing)} of {len(classes)} class folders: {some_of(missing)}"
        )
    return list(classes)


def _is_class(entry: os.DirEntry) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _list_images(
    root: Path, names: Sequence[str], limit: int | None
) -> tuple[list[str], list[int]]:
    """Files below the root, by class and then by name, and their labels."""
    if limit is not None and limit < 1:
        raise InputError(f"images_per_class must be at least 1, got {limit}")
    files: list[str] = []
    labels: list[int] = []
    empty = []
    for label, name in enumerate(names):
        found = sorted(
            f"{name}/{entry.name}" for entry in os.scandir(root / name) if _is_image(entry.name)
        )[:limit]
        files += found
        labels += [label] * len(found)
        if not found:
            empty.append(name)
    for file in files:
        check_key(file)
    if empty:
        raise MissingFileError(
            f"{len(empty)} of {len(names)} class folders in '{root}' hold no image: "
            f"{some_of(empty)}"
        )
    return files, labels


def _is_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122


__all__ = ["ClassFolders", "check_readable", "read_rgb"]
