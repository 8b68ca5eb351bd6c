"""An image as a pipeline's step loads it, and how that step hands its file's pixels on."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stl_backbones.robustness.blind_steps import Work

Results = dict[str, Any]  # what goes from one step of a pipeline to the next
Pixels = npt.NDArray[Any]


class State:
    """What a step's results are once the image is loaded."""

    def __init__(self, results: Results) -> None:
        self.image: Pixels = results["img"]
        self._others = {name: value for name, value in results.items() if name != "img"}

    def with_image(self, image: Pixels) -> Results:
        """The results, copied, with another image."""
        return {**copy.deepcopy(self._others), "img": image}


class Order:
    """How a step hands a file's pixels on: BGR or RGB, in numbers of some type."""

    def __init__(self, *, reverse: bool) -> None:
        self.reverse, self.kind = reverse, np.dtype(np.uint8)

    def holds(self, found: Any, pixels: Pixels) -> bool:
        """Whether ``found`` is nothing but the pixels ``(H, W, 3)``, BGR."""
        if not isinstance(found, np.ndarray) or found.shape != pixels.shape:
            return False
        self.kind = found.dtype
        return bool(np.array_equal(found, pixels[..., ::-1] if self.reverse else pixels))

    def of(self, rgb: Pixels) -> Pixels:
        """Pixels as the step hands them on."""
        made = rgb if self.reverse else rgb[..., ::-1]
        return np.ascontiguousarray(made).astype(self.kind)


@dataclass
class LoadedImage:
    """What the steps made of an image, kept for its other versions.

    Attributes:
        states: By the number of the step that loaded it.
        blind: By what names a step that never looks at the image, see `BlindSteps`.
    """

    states: dict[int, State] = field(default_factory=dict)
    blind: dict[Any, Work] = field(default_factory=dict)


def read_as(path: str, loaded: Pixels) -> Pixels | None:
    """The file's pixels, BGR: turned as EXIF says, unless the loader has not turned them."""
    orders = (Order(reverse=False), Order(reverse=True))
    for flag in (0, cv2.IMREAD_IGNORE_ORIENTATION):
        found = cv2.imread(path, cv2.IMREAD_COLOR | flag)
        if found is not None and any(order.holds(loaded, found) for order in orders):
            return found
    return cv2.imread(path, cv2.IMREAD_COLOR)  # of a step that does more than decode


def describe_array(image: Any) -> str:
    """Type and shape, for errors."""
    return f"{getattr(image, 'dtype', type(image).__name__)} of shape {np.shape(image)}"


__all__ = ["LoadedImage", "Order", "Pixels", "Results", "State", "describe_array", "read_as"]
