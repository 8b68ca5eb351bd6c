"""A version of an image made and predicted again, with all that a picture of it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.records import Cell


@dataclass(frozen=True)
class ClassProbabilities:
    """What a classifier says of an image.

    Attributes:
        probabilities: ``(K,)``, in the order of the data's classes.
        label: The image's class.
    """

    probabilities: npt.NDArray[np.float64]
    label: int


@dataclass(frozen=True)
class LabelMaps:
    """What a segmentation model says of an image.

    Attributes:
        found: ``(H, W)`` integers.
        truth: ``(H, W)`` integers.
        ignore_index: The label of pixels that do not count.
        palette: ``(K, 3)`` colours of the data set, where it has any.
    """

    found: npt.NDArray[np.integer]
    truth: npt.NDArray[np.integer]
    ignore_index: int
    palette: Sequence[Sequence[int]] = ()


@dataclass(frozen=True)
class Box:
    """A detection or an object.

    Attributes:
        corners: Left, top, right, bottom in pixels.
        label: Its class.
        score: Of a detection; 1 for an object.
        crowd: Whether it is a crowd, which is neither found nor missed.
    """

    corners: tuple[float, float, float, float]
    label: int
    score: float = 1.0
    crowd: bool = False


@dataclass(frozen=True)
class Boxes:
    """What a detector says of an image."""

    found: tuple[Box, ...]
    truth: tuple[Box, ...]


@dataclass(frozen=True)
class Examined:
    """An image in a cell, predicted again.

    Attributes:
        cell: The cell.
        image: ``(H, W, 3)`` uint8 RGB, as it was corrupted.
        prediction: What the model says of it, and the truth: one of this module's kinds, or a
            task's own.
        samples: What a sweep keeps of it.
    """

    cell: Cell
    image: npt.NDArray[np.uint8]
    prediction: Any
    samples: Mapping[str, npt.NDArray[np.generic]]


__all__ = ["Box", "Boxes", "ClassProbabilities", "Examined", "LabelMaps"]
