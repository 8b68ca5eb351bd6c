"""What images an ONNX file takes, and how they are brought there and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from stl_backbones.errors import InputError, some_of
from stl_backbones.robustness.predicted.given import two_sides
from stl_backbones.robustness.predictor import Detections, Pixels, as_array

_TYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}  # fmt: skip
_CHANNELS = 3
_GREY = 114  # of YOLO's padding
_MOST_PIXELS = 1 << 26  # of an input: of float32 it takes 0.8 GB
_SIDES = 4  # batch, and an image's three


@dataclass(frozen=True)
class OnnxInput:
    """The input of a file.

    Attributes:
        name: Its name.
        dtype: Its type.
        channels_last: ``(..., H, W, 3)`` instead of ``(..., 3, H, W)``.
        batch: How many images; ``None`` for any number, 0 where the input is a single image.
        size: Height and width; ``None`` for a side that the file leaves open.
    """

    name: str
    dtype: Any
    channels_last: bool
    batch: int | None
    size: tuple[int | None, int | None]

    @classmethod
    def of(cls, inputs: Sequence[Any], file: str) -> OnnxInput:
        """Read the input of onnxruntime's list.

        Raises:
            InputError: If it takes no images alone.
        """
        if len(inputs) != 1:
            raise InputError(
                f"{file} has {len(inputs)} inputs ({some_of([one.name for one in inputs])}); "
                "expected one, the images; run it in a function of your own"
            )
        (one,) = inputs
        sides = [side if isinstance(side, int) and side > 0 else None for side in one.shape]
        if one.type not in _TYPES or len(sides) not in (_SIDES - 1, _SIDES):
            raise InputError(
                f"{file} takes {one.type} {one.shape}; expected images (B, 3, H, W) or "
                "(B, H, W, 3), of float32, float16 or uint8"
            )
        first, last = sides[-3], sides[-1]
        channels_last = last == _CHANNELS and first != _CHANNELS
        if not channels_last and first not in (None, _CHANNELS):
            raise InputError(
                f"{file} takes {one.shape}; expected images of 3 channels, (B, 3, H, W) or "
                "(B, H, W, 3)"
            )
        height, width = sides[-3:-1] if channels_last else sides[-2:]
        batch = sides[0] if len(sides) == _SIDES else 0
        return cls(one.name, np.dtype(_TYPES[one.type]), channels_last, batch, (height, width))

    def sized(self, given: int | Sequence[int] | None, file: str) -> tuple[int, int] | None:
        """The size that images are brought to; ``None`` leaves theirs.

        Raises:
            InputError: If what is given is not the file's.
        """
        wanted = two_sides(given)
        stated = " x ".join("any" if side is None else str(side) for side in self.size)
        own = self.size if wanted is None else wanted
        if any(side not in (None, other) for side, other in zip(self.size, own, strict=True)):
            raise InputError(f"{file} takes images of {stated} (height x width), got size {given}")
        height, width = own
        if height is None and width is None:
            return None
        if height is None or width is None:
            raise InputError(f"{file} takes images of {stated} (height x width): give size")
        if height * width > _MOST_PIXELS:
            raise InputError(f"{file}: {height} x {width} are more than {_MOST_PIXELS} pixels")
        return height, width

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Of one image."""
        return (*self.size, _CHANNELS) if self.channels_last else (_CHANNELS, *self.size)

    def takes(self, shape: Sequence[int]) -> bool:
        """Whether an image of this shape fits."""
        own = self.shape
        return len(shape) == len(own) and all(
            side in (None, other) for side, other in zip(own, shape, strict=True)
        )

    def sides(self, shape: Sequence[int]) -> tuple[int, int]:
        """Height and width of an image of this shape."""
        height, width = shape[:2] if self.channels_last else shape[1:]
        return height, width

    def __str__(self) -> str:
        """For example ``'NHWC uint8'``."""
        layout = "HWC" if self.channels_last else "CHW"
        return f"{'' if self.batch == 0 else 'N'}{layout} {self.dtype}"


@dataclass(frozen=True)
class Fit:
    """How an image comes to lie in an input.

    Attributes:
        kind: ``'stretch'``, ``'corner'`` or ``'centre'``, see
            `stl_backbones.robustness.predicted.onnx_decoders.Decoder`.
        size: Height and width of the input; ``None``: the image's.
    """

    kind: str
    size: tuple[int, int] | None

    def place(self, image: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left and top, width and height of an image of some height and width in the input."""
        height, width = image if self.size is None else self.size
        if self.kind == "stretch":
            return 0, 0, width, height
        ratio = min(height / image[0], width / image[1])
        if self.kind == "corner":
            return 0, 0, int(image[1] * ratio), int(image[0] * ratio)
        inner = round(image[1] * ratio), round(image[0] * ratio)
        left, top = (round((o - i) / 2 - 0.1) for o, i in zip((width, height), inner, strict=True))
        return left, top, *inner

    def padded(self, image: Pixels) -> Pixels:
        """The image within the input; a stretched one is left to the normalisation."""
        if self.kind == "stretch" or self.size is None:
            return image
        left, top, width, height = self.place((image.shape[0], image.shape[1]))
        out = np.full((*self.size, _CHANNELS), _GREY, np.uint8)
        out[top : top + height, left : left + width] = cv2.resize(
            image, (width, height), interpolation=cv2.INTER_LINEAR
        )
        return out

    def back(self, found: Detections, image: tuple[int, int]) -> Detections:
        """Detections in pixels of the input, in pixels of the image, where they end at its edge."""
        left, top, width, height = self.place(image)
        scale = np.array([image[1] / width, image[0] / height] * 2)
        boxes = as_array(found.boxes).reshape(-1, 4).astype(np.float64)
        boxes = (boxes - (left, top, left, top)) * scale
        boxes = boxes.clip(0, (image[1], image[0], image[1], image[0]))
        masks = found.masks
        if masks is not None:
            masks = [_resized(one, image) for one in as_array(masks).reshape(-1, *masks.shape[-2:])]
            masks = np.array(masks, bool).reshape(-1, *image)
        return Detections(boxes, found.scores, found.labels, masks)

    def __str__(self) -> str:
        """For example ``'scaled within 640x640, centre'``; empty for a stretched image."""
        if self.kind == "stretch" or self.size is None:
            return ""
        return f"scaled within {self.size[0]}x{self.size[1]}, {self.kind}"


def _resized(mask: npt.NDArray[Any], image: tuple[int, int]) -> npt.NDArray[np.bool_]:
    found = cv2.resize(mask.astype(np.float32), image[::-1], interpolation=cv2.INTER_LINEAR)
    return found > 0.5


class Fed:
    """Images as the file takes them, each with its height and width.

    Args:
        normalise: An image -> ``(3, H, W)``, or what the user's own ``preprocess`` makes of it.
        own: Whether it is the user's own, whose layout is kept.
        fit: What happens before.
        input_: The file's input.
    """

    def __init__(
        self, normalise: Callable[[Pixels], Any], own: bool, fit: Fit, input_: OnnxInput
    ) -> None:
        self.normalise, self.own, self.fit, self.input = normalise, own, fit, input_

    def __call__(self, image: Pixels) -> tuple[Any, tuple[int, int]]:
        """Prepare an image."""
        size = image.shape[0], image.shape[1]
        if self.own:
            return self.normalise(image), size
        values = self.normalise(self.fit.padded(image))
        if self.input.channels_last:
            values = values.permute(1, 2, 0)
        if self.input.dtype == np.uint8:
            values = values.round().to(torch.uint8)
        return values.contiguous(), size

    def __str__(self) -> str:
        """For example ``'NCHW float32, resized to 352x352, BGR mean 0 std 1'``."""
        return ", ".join(filter(None, (str(self.input), str(self.fit), str(self.normalise))))


__all__ = ["Fed", "Fit", "OnnxInput"]
