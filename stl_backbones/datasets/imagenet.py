"""ImageNet, or any folder with one folder of images per class, to train and validate on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from PIL import Image
from torch.utils.data import Dataset

from stl_backbones.datasets.class_folders import ClassFolders, read_rgb
from stl_backbones.datasets.two_views import start_item
from stl_backbones.errors import InputError, some_of
from stl_backbones.image_files import left_out_text
from stl_backbones.registry import DATASETS, TRANSFORMS


@DATASETS.register_module()
class ImageNetFolder(ClassFolders, Dataset):
    """Images in one folder per class, through a pipeline of `stl_backbones.datasets.two_views`.

    An item is a dict of the pipeline's views ``student`` and, where there are two, ``labeler``
    (``(3, H, W)`` uint8 tensors), ``label`` and ``path``; mmengine's ``default_collate`` makes the
    batch. The draws of an item depend on (seed, epoch, index) alone: not on the number of workers,
    the order, or what was read before. Call `set_epoch` before each epoch, a resumed one too, or
    every epoch repeats the draws of the first; workers that live on between epochs follow too.

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
        allow_empty: Go on where some class folders hold no image.

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
        allow_empty: bool = False,
    ) -> None:
        super().__init__(
            Path(data_root) / split, classes=classes, images_per_class=images_per_class,
            allow_empty=allow_empty,
        )  # fmt: skip
        self.seed, self.max_broken = seed, max_broken
        self.metainfo = {"classes": self.classes}
        if self.left_out:
            text = left_out_text(self.left_out)
            print_log(f"'{self.root}': {text}", "current", logging.WARNING)
        if num_classes is not None and len(self.classes) > num_classes:
            raise InputError(
                f"'{self.root}' holds {len(self.classes)} classes, labels "
                f"0..{len(self.classes) - 1}, but the model has {num_classes}: train with "
                f"all of them, num_classes={len(self.classes)}, or take class folders out"
            )
        # Shared, so that what a worker finds and what is set for it is known in every process.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._is_broken = torch.zeros(len(self), dtype=torch.bool).share_memory_()
        self.pipeline = [
            TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline
        ]

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = range(len(self))[index]  # negative ones too; IndexError ends iteration
        image, label, path = self._read(index)
        rng = np.random.default_rng((self.seed, self.epoch, index))
        item = start_item(image, rng=rng, label=label, path=path)
        for step in self.pipeline:
            item = step(item)
        return item

    def number_by(self, classes: Sequence[str]) -> None:
        """Label the images by the classes of a model, instead of by this folder's own.

        A class without images here is named in the log.

        Args:
            classes: The model's classes, in the order of the labels.

        Raises:
            ValueError: If there are images of a class that the model has not.
        """
        position = {name: label for label, name in enumerate(classes)}
        here = [name for name in self.classes if name not in self.empty]
        others = [name for name in here if name not in position]
        if others:
            raise InputError(
                f"'{self.root}' holds {len(others)} class folders that training has not "
                f"({some_of(others)}): take them out, or train with them"
            )
        labels = [position[self.class_name(index)] for index in range(len(self))]
        self.labels = np.array(labels, dtype=np.int64)
        self.classes = tuple(classes)
        self.metainfo = {"classes": self.classes}
        absent = [name for name in classes if name not in here]
        if absent:
            print_log(
                f"'{self.root}' has no images of {len(absent)} of the {len(classes)} classes of "
                f"training ({some_of(absent)}); the others are scored",
                "current", logging.WARNING,
            )  # fmt: skip

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
        for candidate in chain(range(index, len(self)), range(index)):
            path = self.path(candidate)
            try:
                return read_rgb(path), int(self.labels[candidate]), path
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
