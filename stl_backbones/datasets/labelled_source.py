"""Images with a class each, wherever they are stored: what a classifier's sweep needs of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from stl_backbones.datasets.views import View


class LabelledSource(ABC):
    """Images with a class each, in a fixed order.

    Attributes:
        root: The folder that holds them.
        classes: The classes' names, in the order of the labels.
        empty: Those without an image.
        is_ordered: Whether something states the order of the classes.
        ordered_by: What does.
        is_named: Whether the classes have names, and not only numbers.
        left_out: What is in the folder and no image that is read: kind -> how many.
        labels: ``(images,)`` int64, positions in ``classes``.
        title: The data set's name in tables; empty for the folder's.
        notes: Sentences that every table prints.
        noun: What a class stands for in errors.
    """

    root: Path
    classes: tuple[str, ...]
    empty: tuple[str, ...] = ()
    is_ordered: bool
    ordered_by = "the config"
    is_named = True
    left_out: Mapping[str, int]
    labels: npt.NDArray[np.int64]
    title = ""
    notes: tuple[str, ...] = ()
    noun = "folders"

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def key(self, index: int) -> str:
        """The id of an image."""

    @abstractmethod
    def read(self, index: int) -> Image.Image:
        """An image, in RGB."""

    @abstractmethod
    def whole(self, index: int, *, decode: bool) -> bytes:
        """The bytes of an image, which is looked at first.

        Args:
            index: Its position.
            decode: Find what only shows when it is decoded, too.

        Raises:
            InputError: If it is damaged, or none that a classifier can be scored on.
        """

    def class_name(self, index: int) -> str:
        """The class of an image."""
        return self.classes[int(self.labels[index])]

    def fitted(self, view: View) -> View:
        """How a network with this view sees the images."""
        return view

    def named(self, classes: Sequence[str]) -> Any:
        """The same images, with names for classes that have only numbers; else itself."""
        del classes
        return self


__all__ = ["LabelledSource"]
