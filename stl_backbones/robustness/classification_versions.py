"""Every cell's version of a block of images, each image decoded once for all of its versions.

A block is a run of images, and one batch of the network is one block in one cell: what is in a
batch does not depend on which cells are finished already, so an interrupted sweep ends with the
bytes of an undisturbed one.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stl_backbones.copies.images import JPEG_HENDRYCKS
from stl_backbones.corruptions import apply_corruption
from stl_backbones.datasets.class_folders import read_rgb
from stl_backbones.datasets.labelled_images import LabelledImages
from stl_backbones.datasets.loading import without_opencv_threads
from stl_backbones.datasets.views import IMAGENET_C_VIEW, View
from stl_backbones.errors import InputError
from stl_backbones.records import Cell, CorruptionEngine, CorruptionSpec
from stl_backbones.robustness.corrupted_tree import copy_path

Pixels = npt.NDArray[np.uint8]

# How corrupted images come to the network's size. 'model': its own resize and crop, of the clean
# image before it is corrupted or of the file; 'imagenet-c': 224 pixels as Hendrycks' script crops
# them, files as they are; 'imagenet-c-resized': the same, for networks of another size.
RESIZE_RULES = ("model", "imagenet-c", "imagenet-c-resized")


@dataclass(frozen=True)
class Part:
    """What a worker does in one go: some neighbouring images in one cell."""

    images: range
    cell: Cell


@dataclass(frozen=True)
class VariantRules:
    """How corrupted images are made, or found.

    Attributes:
        view: How the network sees an image.
        resize_rule: One of `RESIZE_RULES`.
        engine: How images are corrupted.
        jpeg85: Pass what was corrupted here through JPEG of quality 85, as ImageNet-C's files.
        folders: Cell -> folder to read it from; ``None`` to corrupt here.
    """

    view: View
    resize_rule: str
    engine: CorruptionEngine
    jpeg85: bool = False
    folders: Mapping[Cell, Path] | None = None

    def __post_init__(self) -> None:
        if self.resize_rule not in RESIZE_RULES:
            raise InputError(
                f"resize rule must be one of {', '.join(RESIZE_RULES)}, got '{self.resize_rule}'"
            )
        if self.resize_rule == "imagenet-c" and self.view.size != IMAGENET_C_VIEW.size:
            raise InputError(
                f"ImageNet-C's images have {IMAGENET_C_VIEW.size} pixels, the network takes "
                f"{self.view.size}; choose --resize-rule imagenet-c-resized or model"
            )

    @property
    def corruption_view(self) -> View:
        """The view of a clean image that is then corrupted."""
        return self.view if self.resize_rule == "model" else IMAGENET_C_VIEW


class BlockVariants(Dataset):
    """A `Part`'s images, ``(n, size, size, 3)`` uint8 RGB.

    Crops of clean images are kept until other images are asked for, so a worker should be given all
    cells of the same images one after the other, as `load_blocks` does.

    Args:
        images: The clean images.
        rules: How versions are made.
    """

    def __init__(self, images: LabelledImages, rules: VariantRules) -> None:
        self.images, self.rules = images, rules
        self._kept = range(0)
        self._crops: list[dict[View, Pixels]] = []

    def __getitem__(self, part: Part) -> Pixels:
        size = self.rules.view.size
        made = np.empty((len(part.images), size, size, 3), np.uint8)
        if part.cell.is_clean or self.rules.folders is None:
            self._keep(part.images)
        for place, index in enumerate(part.images):
            try:
                made[place] = self._variant(part, place, index)
            except ValueError as error:
                raise InputError(
                    f"{part.cell.name}, image '{self.images.keys[index]}': {error}"
                ) from error
        return made

    def _variant(self, part: Part, place: int, index: int) -> Pixels:
        rules, cell = self.rules, part.cell
        if cell.is_clean:
            return self._crops[place][rules.view]
        if rules.folders is not None:
            path = copy_path(rules.folders[cell], self.images.keys[index])
            return _fit_file(read_rgb(path), path, rules)
        crop = self._crops[place][rules.corruption_view]
        spec = CorruptionSpec(cell.corruption, cell.severity, rules.engine)
        made = apply_corruption(crop, spec, key=self.images.keys[index])
        return rules.view.resized(_through_jpeg(made) if rules.jpeg85 else made)

    def _keep(self, images: range) -> None:
        """Keep the views of clean images, for the other cells of these images."""
        if self._kept != images:
            self._crops = [self._decode(index) for index in images]
            self._kept = images

    def _decode(self, index: int) -> dict[View, Pixels]:
        image = read_rgb(self.images.path(index))
        views = {self.rules.view}
        if self.rules.folders is None:
            views.add(self.rules.corruption_view)
        return {view: view(image) for view in views}


def load_blocks(
    dataset: BlockVariants, blocks: Sequence[range], cells: Sequence[Cell], *, workers: int
) -> Iterator[Tensor]:
    """Yield the batches: all cells of the first block, then all of the second, and so on.

    Each worker makes its share of every batch, always of the same images while a block lasts: the
    loader hands items to its workers in turn, so share ``w`` comes to worker ``w``. Every image is
    decoded in one worker, once, and no more than a few batches are in memory.

    Args:
        dataset: Makes the parts.
        blocks: Runs of images.
        cells: The cells that each block is needed in.
        workers: Processes; 0 makes the parts here.

    Yields:
        ``(n, size, size, 3)`` uint8.
    """
    shares = max(workers, 1)
    parts = [
        Part(share, cell) for block in blocks for cell in cells for share in _cut(block, shares)
    ]
    loader = DataLoader(dataset, sampler=parts, batch_size=None, num_workers=workers)
    with without_opencv_threads():
        made = iter(loader)  # starts the workers
    for _ in range(len(parts) // shares):
        batch = [next(made) for _ in range(shares)]
        yield batch[0] if shares == 1 else torch.cat(batch)


def _cut(block: range, shares: int) -> list[range]:
    edges = [block.start + share * len(block) // shares for share in range(shares + 1)]
    return [range(first, last) for first, last in itertools.pairwise(edges)]


def _fit_file(image: Image.Image, path: Path, rules: VariantRules) -> Pixels:
    if rules.resize_rule == "model":
        return rules.view(image)
    if rules.resize_rule == "imagenet-c" and image.size != (rules.view.size,) * 2:
        raise InputError(
            f"'{path}' is {image.size[0]}x{image.size[1]}, the network takes {rules.view.size}; "
            "choose --resize-rule imagenet-c-resized or model"
        )
    return rules.view.resized(np.array(image))


def _through_jpeg(image: Pixels) -> Pixels:
    with Image.open(io.BytesIO(JPEG_HENDRYCKS.encode(image))) as opened:
        return np.array(opened.convert("RGB"))


__all__ = [
    "RESIZE_RULES",
    "BlockVariants",
    "Part",
    "VariantRules",
    "load_blocks",
]
