"""One geometry, two appearances: pipeline steps that turn an image into training views.

A step gets an item (see `start_item`) and hands it on. What moves pixels is drawn once and done to
every view; what changes colours is done to the views that ask for it. All randomness comes from
the item's own generator.

References:
    Zhao et al. 2023, "Fully Attentional Networks with Self-emerging Token Labeling" (STL),
    Tables 1 and 6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stl_backbones.datasets.rand_augment import (
    RandAugmentPolicy,
    check_interpolation,
    draw_interpolation,
)
from stl_backbones.errors import InputError
from stl_backbones.registry import TRANSFORMS

Item = dict[str, Any]
Box = tuple[int, int, int, int]

STUDENT, LABELER = "student", "labeler"
# What the labeler's view may share with the student's: the columns of Table 6.
AUGMENTATIONS = ("spatial", "rand_augment", "random_erasing", "mixup", "cutmix")

_CROP_ATTEMPTS = 10  # as in timm and torchvision


def start_item(image: Image.Image, *, rng: np.random.Generator, label: int, path: str) -> Item:
    """What the first step of a pipeline gets.

    Args:
        image: RGB.
        rng: The item's own generator.
        label: The class.
        path: The file.
    """
    return {
        "views": {STUDENT: image},
        "photometric_views": (STUDENT,),
        "augmented": False,
        "rng": rng,
        "label": label,
        "path": path,
    }


def check_labeler_view(shares: Sequence[str]) -> tuple[str, ...]:
    """Check what the labeler's view shares with the student's, see `AUGMENTATIONS`.

    Raises:
        ValueError: If a name is unknown, or the geometry is not shared: token labels belong to
            places of the image.
    """
    if isinstance(shares, str) or not set(shares) <= set(AUGMENTATIONS):
        raise InputError(
            f"labeler_view must be a list of {', '.join(AUGMENTATIONS)}, got {shares!r}"
        )
    if "spatial" not in shares:
        raise InputError(
            f"labeler_view must hold 'spatial', got {list(shares)}: token labels are of use only "
            "where both views show the same place"
        )
    return tuple(shares)


@TRANSFORMS.register_module()
class TwoViews:
    """Add the token labeler's view, which follows the student's from here on.

    Args:
        labeler_view: What it shares, of `AUGMENTATIONS`; erasing and mixing happen later, in the
            data preprocessor, which takes the same list.

    Raises:
        ValueError: See `check_labeler_view`; or if the student's colours have changed already.
    """

    def __init__(self, *, labeler_view: Sequence[str] = ("spatial",)) -> None:
        self.labeler_view = check_labeler_view(labeler_view)

    def __call__(self, item: Item) -> Item:
        """Add the view."""
        if item["augmented"]:
            raise InputError("TwoViews must come before RandAugmentViews in the pipeline")
        item["views"][LABELER] = item["views"][STUDENT]
        if "rand_augment" in self.labeler_view:
            item["photometric_views"] = (STUDENT, LABELER)
        return item


@TRANSFORMS.register_module()
class RandomResizedCropViews:
    """Crop a random part of random shape and resize it, the same for every view.

    Args:
        size: Side of the views.
        scale: Least and largest share of the image's area.
        ratio: Least and largest width / height.
        interpolation: ``'bilinear'``, ``'bicubic'``, or ``'random'`` for either.

    Raises:
        ValueError: If the interpolation is unknown.
    """

    def __init__(
        self,
        size: int = 224,
        *,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: str = "random",
    ) -> None:
        self.size, self.scale, self.ratio = size, scale, ratio
        self.interpolations = check_interpolation(interpolation)

    def __call__(self, item: Item) -> Item:
        """Crop and resize every view."""
        rng = item["rng"]
        size = item["views"][STUDENT].size
        box = draw_crop(size, rng=rng, scale=self.scale, ratio=self.ratio)
        resample = draw_interpolation(self.interpolations, rng)
        return _change(item, lambda image: image.crop(box).resize((self.size,) * 2, resample))


@TRANSFORMS.register_module()
class RandomFlipViews:
    """Mirror all views, or none.

    Args:
        prob: How often.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def __call__(self, item: Item) -> Item:
        """Mirror every view, or none."""
        if item["rng"].random() < self.prob:
            return _change(item, lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        return item


@TRANSFORMS.register_module()
class RandAugmentViews:
    """RandAugment: spatial operations for every view, photometric ones for those that ask.

    Args:
        policy: In timm's notation, see `RandAugmentPolicy`.
        interpolation: Of the spatial operations, see `RandomResizedCropViews`.

    Raises:
        ValueError: If the policy or interpolation is unknown.
    """

    def __init__(
        self, policy: str = "rand-m9-mstd0.5-inc1", *, interpolation: str = "random"
    ) -> None:
        self.policy = RandAugmentPolicy(policy, interpolation=interpolation)

    def __call__(self, item: Item) -> Item:
        """Draw the operations and do each to the views that it is for."""
        item["augmented"] = True
        for operation in self.policy.draw(item["rng"]):
            names = None if operation.spatial else item["photometric_views"]
            _change(item, operation.apply, names=names)
        return item


@TRANSFORMS.register_module()
class CenterCropViews:
    """The view that is scored: the shorter side resized, the centre cropped.

    Args:
        size: Side of the view.
        crop_ratio: Side of the view / shorter side of the resized image.
        interpolation: ``'bilinear'`` or ``'bicubic'``.
    """

    def __init__(
        self, size: int = 224, *, crop_ratio: float = 1.0, interpolation: str = "bicubic"
    ) -> None:
        self.size = size
        self.shorter = math.floor(size / crop_ratio)
        (self.resample,) = check_interpolation(interpolation, ("bilinear", "bicubic"))

    def __call__(self, item: Item) -> Item:
        """Resize and crop every view."""
        return _change(item, self.crop)

    def crop(self, image: Image.Image, *, resample: Image.Resampling | None = None) -> Image.Image:
        """Resize and crop one image.

        Args:
            image: Of any mode.
            resample: Another interpolation, for a mask say; default: the view's own.
        """
        width, height = image.size
        factor = self.shorter / min(width, height)
        # Truncated, not rounded: as torchvision.
        width, height = (
            self.shorter if side == min(image.size) else int(side * factor) for side in image.size
        )
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        resized = image.resize((width, height), self.resample if resample is None else resample)
        return resized.crop((left, top, left + self.size, top + self.size))


@TRANSFORMS.register_module()
class PackViews:
    """The last step: every view as a ``(3, H, W)`` uint8 tensor, beside ``label`` and ``path``."""

    def __call__(self, item: Item) -> Item:
        """Return what a batch is made of."""
        packed: dict[int, Tensor] = {}
        for image in item["views"].values():
            if id(image) not in packed:
                packed[id(image)] = _to_tensor(image)
        views = {name: packed[id(image)] for name, image in item["views"].items()}
        return {**views, "label": item["label"], "path": item["path"]}


def draw_crop(
    size: tuple[int, int],
    *,
    rng: np.random.Generator,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Box:
    """Draw the part of an image that becomes a view.

    Args:
        size: Width and height of the image.
        rng: The generator.
        scale: Least and largest share of the area.
        ratio: Least and largest width / height.

    Returns:
        Left, top, right, bottom; the largest fitting part in the middle if ten draws do not fit.
    """
    width, height = size
    for _ in range(_CROP_ATTEMPTS):
        area = rng.uniform(*scale) * width * height
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top = int(rng.integers(height - h + 1))
            left = int(rng.integers(width - w + 1))
            return left, top, left + w, top + h
    w = min(width, round(height * ratio[1]))
    h = min(height, round(width / ratio[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def _change(
    item: Item,
    change: Callable[[Image.Image], Image.Image],
    *,
    names: Sequence[str] | None = None,
) -> Item:
    """Change some views, by default all; views that are still one image are changed once."""
    views: dict[str, Image.Image] = item["views"]
    changed: dict[int, Image.Image] = {}
    for name in views if names is None else names:
        before = views[name]
        if id(before) not in changed:
            changed[id(before)] = change(before)
    # Replaced only now: the id of an image that is gone may be another's.
    for name in views if names is None else names:
        views[name] = changed[id(views[name])]
    return item


def _to_tensor(image: Image.Image) -> Tensor:
    width, height = image.size
    planes = np.empty((3, height, width), dtype=np.uint8)
    for plane, band in zip(planes, image.split(), strict=True):
        plane[:] = np.asarray(band)  # faster than transposing (H, W, 3)
    return torch.from_numpy(planes)
