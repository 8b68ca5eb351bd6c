"""How an image becomes the square that a classifier sees."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from stl_backbones.errors import InputError

INTERPOLATIONS = {
    mode.name.lower(): mode
    for mode in (
        Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC,
        Image.Resampling.LANCZOS, Image.Resampling.BOX, Image.Resampling.HAMMING,
    )
}  # fmt: skip
CROP_MODES = ("center", "squash")


@dataclass(frozen=True)
class View:
    """Resize, then crop the centre: timm's and torchvision's rule, pixel for pixel.

    Attributes:
        size: Side of the square.
        shorter: Shorter side of the resized image; both sides with ``mode='squash'``.
        interpolation: One of `INTERPOLATIONS`.
        mode: ``'center'``, or ``'squash'``, which gives up the image's proportions.
    """

    size: int
    shorter: int
    interpolation: str = "bicubic"
    mode: str = "center"

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            raise InputError(
                f"interpolation must be one of {', '.join(INTERPOLATIONS)}, "
                f"got '{self.interpolation}'"
            )
        if self.mode not in CROP_MODES:
            raise InputError(f"crop mode must be one of {', '.join(CROP_MODES)}, got '{self.mode}'")
        if self.size < 1 or self.shorter < self.size:
            raise InputError(
                f"the crop must be in 1..{self.shorter} (the resized image), got {self.size}"
            )

    @classmethod
    def of_crop_pct(
        cls, size: int, crop_pct: float, *, interpolation: str, mode: str = "center"
    ) -> View:
        """The view of timm's ``crop_pct``: side of the crop / side of the resized image.

        Raises:
            ValueError: If ``crop_pct`` is not in 0..1, or a name is unknown.
        """
        if not 0 < crop_pct <= 1:
            raise InputError(f"the crop ratio must be above 0 and at most 1, got {crop_pct}")
        return cls(size, math.floor(size / crop_pct), interpolation, mode)

    def __call__(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """The view of an RGB image: ``(size, size, 3)`` uint8."""
        scaled = self._scaled(image.size)
        if scaled != image.size:
            image = image.resize(scaled, INTERPOLATIONS[self.interpolation])
        left, top = (round((side - self.size) / 2) for side in scaled)
        return np.array(image.crop((left, top, left + self.size, top + self.size)))

    def _scaled(self, size: tuple[int, int]) -> tuple[int, int]:
        if self.mode == "squash":
            return self.shorter, self.shorter
        width, height = size
        # Truncated, not rounded: as torchvision.
        if width <= height:
            return self.shorter, int(self.shorter * height / width)
        return int(self.shorter * width / height), self.shorter

    def resized(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """A square image at the view's size, nothing cropped."""
        if image.shape[:2] == (self.size, self.size):
            return image
        whole = Image.fromarray(image)
        return np.array(whole.resize((self.size, self.size), INTERPOLATIONS[self.interpolation]))

    def __str__(self) -> str:
        """For example ``'center crop 224 of 256 bicubic'``."""
        return f"{self.mode} crop {self.size} of {self.shorter} {self.interpolation}"


class WholeImages(View):
    """Images as they are, for a model that resizes by itself."""

    def __init__(self) -> None:
        object.__setattr__(self, "size", 0)

    def __call__(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """The image: ``(H, W, 3)`` uint8."""
        return np.array(image)

    def resized(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The image."""
        return image

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WholeImages)

    def __hash__(self) -> int:
        return hash(WholeImages)

    def __str__(self) -> str:
        return "whole images"


# Hendrycks & Dietterich 2019, make_imagenet_c.py: Resize(256), CenterCrop(224) before corruption.
IMAGENET_C_VIEW = View(224, 256, "bilinear")

__all__ = ["CROP_MODES", "IMAGENET_C_VIEW", "INTERPOLATIONS", "View", "WholeImages"]
