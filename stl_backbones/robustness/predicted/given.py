"""What a user says of a model from anywhere, beside the model itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from stl_backbones.errors import InputError
from stl_backbones.robustness.predictor import ADDRESS, Pixels, text_of, text_sha256

DEFAULT_CROP = 0.875  # 224 of 256, ImageNet's habit


@dataclass(frozen=True)
class Given:
    """What is said of a model; ``None`` leaves it to the model, or to be asked for.

    Attributes:
        task: ``'classification'``, ``'segmentation'`` or ``'detection'``; the data's.
        name: Its name in tables.
        version: Identifies it among models of its name, where it has no weights to hash.
        classes: Class names in the order of its results.
        size: Side of its images, or height and width.
        crop_pct: Of a classifier: side of the crop / shorter side of the resized image.
        interpolation: Of the resize.
        mean: Of the normalisation, of values in 0..1.
        std: Likewise.
        channel_order: What the network takes, ``'RGB'`` or ``'BGR'``; mean and std follow it.
        preprocess: A PIL image -> what the network takes, in place of all these.
        checkpoint: A file of weights.
        decoder: What makes boxes of a detector's raw outputs, by name or a function.
        providers: ONNX Runtime's, in the order of preference.
    """

    task: str | None = None
    name: str | None = None
    version: str | None = None
    classes: tuple[str, ...] | None = None
    size: int | tuple[int, int] | None = None
    crop_pct: float | None = None
    interpolation: str | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    channel_order: str | None = None
    preprocess: Callable[[Any], Any] | None = None
    checkpoint: str | Path | None = None
    decoder: str | Callable[..., Any] | None = None
    providers: Sequence[str] | None = None

    def of_task(self, task: str) -> Given:
        """The same, for the data's task.

        Raises:
            InputError: If the user says another.
        """
        if self.task not in (None, task):
            raise InputError(f"the data are for {task}, but task is '{self.task}'")
        return dataclasses.replace(self, task=task)


class Normalised:
    """Images as normalised ``(3, H, W)`` float32.

    Args:
        mean: Of values in 0..1.
        std: Likewise.
        size: Height and width to resize to, bilinearly; ``None`` leaves the size.
        channel_order: ``'RGB'`` or ``'BGR'``, of the result, of mean and of std.

    Raises:
        InputError: If a value is out of range.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        size: tuple[int, int] | None = None,
        channel_order: str = "RGB",
    ) -> None:
        if len(mean) not in (1, 3) or len(std) not in (1, 3) or min(std) <= 0:
            raise InputError(
                f"mean and std must be 1 or 3 numbers, std above 0, got {mean} and {std}"
            )
        self.mean = 255 * np.array(mean, np.float32)
        self.std = 255 * np.array(std, np.float32)
        self.size = size
        self.channel_order = channel_order.upper()
        if self.channel_order not in ("RGB", "BGR"):
            raise InputError(f"the channel order must be RGB or BGR, got '{channel_order}'")

    def __call__(self, image: Pixels) -> Any:
        """Prepare an image."""
        sized: Any = image
        if self.size is not None and image.shape[:2] != self.size:
            sized = cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_LINEAR)
        if self.channel_order == "BGR":
            sized = sized[..., ::-1]
        values = (sized.astype(np.float32) - self.mean) / self.std  # of 0..255
        # A tensor: workers hand it on in shared memory.
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))

    def __str__(self) -> str:
        """For example ``'resized to 512x1024, mean 0.5 std 0.5'``."""
        resized = f"resized to {self.size[0]}x{self.size[1]}, " if self.size else ""
        mean, std = ("/".join(f"{v / 255:.4g}" for v in one) for one in (self.mean, self.std))
        order = "" if self.channel_order == "RGB" else f"{self.channel_order} "
        return f"{resized}{order}mean {mean} std {std}"


class Preprocessed:
    """A user's or a library's preprocessing of PIL images."""

    def __init__(self, preprocess: Callable[[Any], Any]) -> None:
        self.preprocess = preprocess
        self.text = text_sha256(text_of(preprocess))

    def __call__(self, image: Pixels) -> Any:
        """Prepare an image."""
        try:
            return self.preprocess(Image.fromarray(image))
        except Exception as error:
            raise InputError(
                f"preprocess fails on an image of {image.shape[1]}x{image.shape[0]}: "
                f"{type(error).__name__}: {error}"
            ) from error

    def __str__(self) -> str:
        """Its text, on one line; of a function its name, which another process has too."""
        made = self.preprocess
        text = f"{made.__module__}.{made.__qualname__}" if hasattr(made, "__qualname__") else made
        return f"preprocess {ADDRESS.sub('', ' '.join(str(text).split()))}"


def two_sides(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """Height and width of a size."""
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(int(side) for side in size)
    if len(sides) != 2 or min(sides) < 1:
        raise InputError(f"size must be a side, or height and width, got {size}")
    return sides[0], sides[1]


__all__ = ["DEFAULT_CROP", "Given", "Normalised", "Preprocessed", "two_sides"]
