"""ImageNet, or any folder with one folder of images per class."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from PIL import Image, UnidentifiedImageError
from torch.utils.data import Dataset

from stl_backbones.corruptions.engine import MAX_RATIO
from stl_backbones.corruptions.seeds import check_key
from stl_backbones.datasets.two_views import start_item
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.registry import DATASETS, TRANSFORMS

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm"})
# What Pillow raises on damaged files, by format.
_DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
_DEEP = ("I", "F")  # how Pillow's names of modes of more than 8 bits begin
_SHOWN = 3


@DATASETS.register_module()
class ImageNetFolder(Dataset):
    """Images in one folder per class, through a pipeline of `stl_backbones.datasets.two_views`.

    An item is a dict of the pipeline's views ``student`` and, where there are two, ``labeler``
    (``(3, H, W)`` uint8 tensors), ``label`` and ``path``; mmengine's ``default_collate`` makes the
    batch. The draws of an item depend on (seed, epoch, index) alone: not on the number of workers,
    the order, or what was read before. Call `set_epoch` before each epoch, a resumed one too, or
    every epoch repeats the draws of the first; workers that live on between epochs are told too.

    Args:
        data_root: The data set's folder.
        split: The folder below it that holds the class folders; ``''`` for ``data_root`` itself.
        pipeline: Steps, or their configs; the last is ``PackViews``.
        classes: Class folders, whose order gives the labels; or how many, the first by name;
            default: all, by name.
        images_per_class: Take only the first so many of each class, by name.
        num_classes: Classes of the model; more folders than that are refused.
        max_broken: So many unreadable images are named in the log and each replaced by the next
            readable one, drawn as the missing one would have been; one more is an error. Use 0
            where scores are measured: a replacement is scored twice.
        seed: Another seed, other draws.

    Attributes:
        metainfo: ``classes``, the folder names in the order of the labels.

    Raises:
        FileNotFoundError: If the folder, a class folder or every image is missing.
        ValueError: If there are fewer than two classes, or more than ``num_classes``, or a file's
            name is no UTF-8.
    """

    def __init__(
        self,
        data_root: str | Path,
        split: str = "train",
        *,
        pipeline: Sequence[dict[str, Any] | Callable[[dict[str, Any]], dict[str, Any]]],
        classes: Sequence[str] | int | None = None,
        images_per_class: int | None = None,
        num_classes: int | None = None,
        max_broken: int = 10,
        seed: int = 0,
    ) -> None:
        self.root = Path(data_root) / split
        self.seed, self.max_broken = seed, max_broken
        names = _choose_classes(self.root, classes)
        _check_count(names, self.root, num_classes)
        self.metainfo = {"classes": tuple(names)}
        files, labels = _list_images(self.root, names, images_per_class)
        # Arrays, not lists: reading a list's items in a forked worker copies its memory.
        self._files = np.array([file.encode() for file in files])
        self._labels = np.array(labels, dtype=np.int64)
        # Shared, so that what a worker finds and what it is told is known in every process.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._is_broken = torch.zeros(len(files), dtype=torch.bool).share_memory_()
        self.pipeline = [
            TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline
        ]

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = range(len(self))[index]  # negative ones too; IndexError ends iteration
        image, label, path = self._read(index)
        rng = np.random.default_rng((self.seed, self.epoch, index))
        item = start_item(image, rng=rng, label=label, path=path)
        for step in self.pipeline:
            item = step(item)
        return item

    @property
    def epoch(self) -> int:
        """The epoch whose draws items get."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Draw as in this epoch from now on; call it before the data loader is iterated."""
        self._epoch.fill_(epoch)

    @property
    def broken(self) -> list[str]:
        """Paths of the unreadable images found so far, by any worker."""
        return [self.path(int(index)) for index in self._is_broken.nonzero()]

    def key(self, index: int) -> str:
        """The id of an item: its file's path below the split's folder, in POSIX form."""
        return self._files[index].decode()

    def path(self, index: int) -> str:
        """The file of an item."""
        return f"{self.root}/{self.key(index)}"

    def class_name(self, index: int) -> str:
        """The class folder of an item."""
        return self.metainfo["classes"][int(self._labels[index])]

    def check_batch(self, batch_size: int) -> None:
        """Refuse a global batch that is larger than the data set.

        Args:
            batch_size: Images of one step, of all processes and accumulation steps together.

        Raises:
            ValueError: If it is.
        """
        if batch_size > len(self):
            raise InputError(
                f"the batch must not be larger than the data set: expected at most {len(self)} "
                f"(the images in '{self.root}'), got {batch_size}"
            )

    def _read(self, index: int) -> tuple[Image.Image, int, str]:
        """Image, label and path of an item, or of the next one that is readable."""
        for candidate in _cycle(index, len(self)):
            path = self.path(candidate)
            try:
                return read_rgb(path), int(self._labels[candidate]), path
            except (ValueError, OSError) as error:
                self._count_broken(candidate, error)
        raise InputError(f"none of the {len(self)} images in '{self.root}' can be read")

    def _count_broken(self, index: int, error: BaseException) -> None:
        if not self._is_broken[index]:
            self._is_broken[index] = True
            print_log(f"{error}; another image stands in", "current", logging.WARNING)
        count = int(self._is_broken.sum())
        if count > self.max_broken:
            raise InputError(
                f"{count} images in '{self.root}' cannot be read, expected at most "
                f"{self.max_broken} (max_broken); the last: {error}"
            ) from error


class UnfitImageError(InputError):
    """An image that is whole, but of a kind that Pillow would turn into something else."""


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


def _cycle(start: int, count: int) -> Iterator[int]:
    yield from range(start, count)
    yield from range(start)


def _choose_classes(root: Path, classes: Sequence[str] | int | None) -> list[str]:
    if not root.is_dir():
        raise MissingFileError(
            f"image folder '{root}' does not exist; expected one folder per class in it "
            "(give the data set's folder with --cfg-options data_root=DIR)"
        )
    found = sorted(entry.name for entry in os.scandir(root) if _is_class(entry))
    if not found:
        raise MissingFileError(f"'{root}' holds no class folder; expected one folder per class")
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
            f"'{root}' lacks {len(missing)} of {len(classes)} class folders: {_some(missing)}"
        )
    return list(classes)


def _is_class(entry: os.DirEntry) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _check_count(names: Sequence[str], root: Path, num_classes: int | None) -> None:
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(f"expected at least two different classes in '{root}', got {_some(names)}")
    if num_classes is not None and len(names) > num_classes:
        raise InputError(
            f"'{root}' holds {len(names)} classes, labels 0..{len(names) - 1}, but the model has "
            f"{num_classes}; set num_classes={len(names)}, or fewer classes"
        )


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
            f"{len(empty)} of {len(names)} class folders in '{root}' hold no image: {_some(empty)}"
        )
    return files, labels


def _is_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
