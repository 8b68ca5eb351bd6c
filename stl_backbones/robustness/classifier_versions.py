"""How a classifier sees an image, clean or corrupted."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from stl_backbones.copies.images import JPEG_HENDRYCKS
from stl_backbones.corruptions import CORRUPTIONS, apply_corruption, get_protocol
from stl_backbones.corruptions.parameters import CIFAR_SIDE
from stl_backbones.corruptions.torch_backend import corrupt_keyed, is_parallel
from stl_backbones.datasets.class_folders import read_rgb
from stl_backbones.datasets.integrity import image_header
from stl_backbones.datasets.labelled_images import LabelledImages
from stl_backbones.datasets.views import IMAGENET_C_VIEW, View, WholeImages
from stl_backbones.errors import InputError
from stl_backbones.records import Cell, CorruptionEngine, CorruptionSpec
from stl_backbones.robustness.array_copy import ArrayCell
from stl_backbones.robustness.corrupted_copy import copy_path
from stl_backbones.robustness.feeding import putting_on
from stl_backbones.robustness.versions import CPU, Versions

Pixels = npt.NDArray[np.uint8]

# How corrupted images come to the network's size. 'model': its own resize and crop, of the clean
# image before it is corrupted or of the file; 'imagenet-c': 224 pixels as Hendrycks' script crops
# them, files as they are; 'imagenet-c-resized': the same, for networks of another size; 'image':
# the clean image is corrupted as it is, then resized and cropped by the network's own rule.
RESIZE_RULES = ("model", "imagenet-c", "imagenet-c-resized", "image")


@dataclass(frozen=True)
class ViewRules:
    """How corrupted images are made, or found.

    Attributes:
        view: How the network sees an image.
        resize_rule: One of `RESIZE_RULES`.
        engine: How images are corrupted.
        jpeg85: Pass what was corrupted here through JPEG of quality 85, as ImageNet-C's files.
        folders: Cell -> folder or rows of a file to read it from; ``None`` to corrupt here.
    """

    view: View
    resize_rule: str
    engine: CorruptionEngine
    jpeg85: bool = False
    folders: Mapping[Cell, Path | ArrayCell] | None = None

    def __post_init__(self) -> None:
        if self.resize_rule not in RESIZE_RULES:
            raise InputError(
                f"resize rule must be one of {', '.join(RESIZE_RULES)}, got '{self.resize_rule}'"
            )
        if self.resize_rule == "imagenet-c" and self.view.size not in (0, IMAGENET_C_VIEW.size):
            raise InputError(
                f"ImageNet-C's images have {IMAGENET_C_VIEW.size} pixels, the network takes "
                f"{self.view.size}; choose --resize-rule imagenet-c-resized or model"
            )

    @property
    def corruption_view(self) -> View:
        """The view of a clean image that is then corrupted."""
        if self.resize_rule == "image":
            return WholeImages()
        return self.view if self.resize_rule == "model" else IMAGENET_C_VIEW

    @property
    def keeps_pixels(self) -> bool:
        """Whether `finished` changes nothing."""
        if self.jpeg85 or self.resize_rule == "image":
            return False
        return self.corruption_view.size == self.view.size

    @property
    def inference(self) -> str:
        """What the inference setting of corrupted images has beside that of clean ones."""
        files = self.folders is not None
        if self.resize_rule == "image" and not files:
            return ", corrupted at the images' own size, then the same crop"
        if self.resize_rule in ("model", "image"):
            return ", corrupted files through the same crop" if files else ""
        start = "corrupted files" if files else f"corrupted images {IMAGENET_C_VIEW}"
        if self.resize_rule == "imagenet-c":
            return f", {start} as they are" if files else f", {start}"
        return f", {start} resized to {self.view.size} {self.view.interpolation}"

    def finished(self, corrupted: Pixels) -> Pixels:
        """What the network sees of an image that was corrupted here."""
        saved = _through_jpeg(corrupted) if self.jpeg85 else corrupted
        if self.resize_rule == "image":
            return self.view(Image.fromarray(saved))
        return self.view.resized(saved)


def default_rule(images: LabelledImages, folders: Mapping[Cell, Path | ArrayCell] | None) -> str:
    """The resize rule where none is asked for.

    Small images of one file are corrupted as they are. The files of a copy are ImageNet-C's, of 224
    pixels, unless they have the clean image's size: then both go the same way.

    Args:
        images: The clean images.
        folders: Where a copy has its cells; ``None`` to corrupt here.
    """
    if not folders:
        return "model" if images.stored is None else "image"
    place, key = next(iter(folders.values())), images.keys[0]
    if isinstance(place, ArrayCell):
        return "model"
    size = image_header(copy_path(place, key))[0]
    is_whole = size == images.read(0).size and size != (IMAGENET_C_VIEW.size,) * 2
    return "model" if is_whole else "imagenet-c"


def notes_of_size(rules: ViewRules, protocol: str, images: LabelledImages) -> Iterator[str]:
    """Images of CIFAR's size that are corrupted with constants for another size."""
    if rules.folders is not None or rules.engine.strengths != "imagenet":
        return
    if not set(get_protocol(protocol).corruptions) & set(CORRUPTIONS):
        return  # its levels are not those of ImageNet-C
    height, width = rules.corruption_view(images.read(0)).shape[:2]
    if (height, width) == (CIFAR_SIDE, CIFAR_SIDE):
        yield (
            f"images of {width}x{height} pixels are corrupted with the constants of ImageNet-C, "
            f"which are for 224x224 (protocol {protocol}); cifar10-c has those for {width}x{height}"
        )


class ClassifierVersions(Versions):
    """Versions of labelled images, ``(size, size, 3)`` uint8 RGB; packed: a tensor of several.

    Args:
        images: The clean images.
        rules: How versions are made.
        device: Where mode ``'torch'`` corrupts them.
    """

    def __init__(
        self, images: LabelledImages, rules: ViewRules, *, device: torch.device = CPU
    ) -> None:
        super().__init__()
        self.images, self.rules, self.device = images, rules, device
        self._stacked: tuple[tuple[int, ...], torch.Tensor] | None = None

    def load(self, index: int) -> dict[View, Pixels]:
        """The views of a clean image."""
        image = self.images.read(index)
        views = {self.rules.view}
        if self.rules.folders is None:
            views.add(self.rules.corruption_view)
        return {view: view(image) for view in views}

    def pixels(self, index: int) -> Pixels:
        """The clean image, as the network sees it."""
        return self.loaded(index)[self.rules.view]

    def make_all(self, images: tuple[int, ...], cell: Cell) -> torch.Tensor:
        """The versions of some images, corrupted together on the device where that is asked for."""
        rules = self.rules
        engine = rules.engine
        together = engine.mode == "torch" and is_parallel(cell.corruption, engine.strengths)
        if not together or rules.folders is not None or not images:
            return super().make_all(images, cell)
        spec = CorruptionSpec(cell.corruption, cell.severity, engine)
        keys = [self.images.keys[index] for index in images]
        try:
            made = corrupt_keyed(self._crops(images), spec, keys=keys)
        except ValueError:  # which names no image
            return super().make_all(images, cell)
        if rules.keeps_pixels:
            return made
        return self.pack([rules.finished(pixels) for pixels in made.cpu().numpy()])

    def _crops(self, images: tuple[int, ...]) -> torch.Tensor:
        """The crops that are corrupted, on the device; kept for the other cells."""
        if self._stacked is None or self._stacked[0] != images:
            crops = [self.loaded(index)[self.rules.corruption_view] for index in images]
            put = putting_on(self.device)
            self._stacked = images, put(torch.from_numpy(np.stack(crops)))
        return self._stacked[1]

    def make(self, index: int, cell: Cell) -> Pixels:
        """The version, at the network's size."""
        try:
            self.shown = self._make(index, cell)
            return self.shown
        except ValueError as error:
            raise InputError(f"{cell.name}, image '{self.images.keys[index]}': {error}") from error

    def _make(self, index: int, cell: Cell) -> Pixels:
        rules, key = self.rules, self.images.keys[index]
        if cell.is_clean:
            return self.loaded(index)[rules.view]
        if rules.folders is not None:
            place = rules.folders[cell]
            if isinstance(place, ArrayCell):
                return _fit_file(place.read(key), place.where(key), rules)
            path = copy_path(place, key)
            return _fit_file(read_rgb(path), path, rules)
        crop = self.loaded(index)[rules.corruption_view]
        spec = CorruptionSpec(cell.corruption, cell.severity, rules.engine)
        return rules.finished(apply_corruption(crop, spec, key=key, device=str(self.device)))

    def pack(self, versions: list[Any]) -> torch.Tensor:
        """``(n, size, size, 3)`` uint8."""
        size = self.rules.view.size
        return torch.from_numpy(
            np.stack(versions) if versions else np.empty((0, size, size, 3), np.uint8)
        )


def _fit_file(image: Image.Image, path: Path | str, rules: ViewRules) -> Pixels:
    if rules.resize_rule in ("model", "image"):
        return rules.view(image)
    side = rules.view.size
    if rules.resize_rule == "imagenet-c" and side and image.size != (side, side):
        raise InputError(
            f"'{path}' is {image.size[0]}x{image.size[1]}, the network takes {side}; "
            "choose --resize-rule imagenet-c-resized or model"
        )
    return rules.view.resized(np.array(image))


def _through_jpeg(image: Pixels) -> Pixels:
    with Image.open(io.BytesIO(JPEG_HENDRYCKS.encode(image))) as opened:
        return np.array(opened.convert("RGB"))


__all__ = ["RESIZE_RULES", "ClassifierVersions", "ViewRules", "default_rule"]
