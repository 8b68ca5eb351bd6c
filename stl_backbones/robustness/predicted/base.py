"""A model from anywhere on images of any origin."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stl_backbones.corruptions import apply_corruption
from stl_backbones.datasets.views import View
from stl_backbones.errors import InputError, some_of
from stl_backbones.records import CLEAN, Cell, CorruptionSpec
from stl_backbones.robustness.corrupted_copy import (
    CorruptedCopy,
    copy_path,
    find_copy,
    refuse_clean_copy,
)
from stl_backbones.robustness.items import Items, read_image
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predictor import Model, Pixels, Result
from stl_backbones.robustness.provenance import corruption_fields, describe
from stl_backbones.robustness.tasks.base import Block, ScoredSet
from stl_backbones.robustness.versions import Versions

_LOGGER = logging.getLogger(__name__)
_SAME = 1e-3  # as a share of the largest number
_TRIED = 2  # images that are predicted together and one by one


class PlainVersions(Versions):
    """Versions of images, as the model takes them."""

    def __init__(
        self,
        prepare: Callable[[Pixels], Any],
        items: Items,
        options: SweepOptions,
        copy: CorruptedCopy[Path] | None,
        view: View | None = None,
    ) -> None:
        super().__init__()
        self._view = view
        self._prepare, self.items, self.options, self.copy = prepare, items, options, copy

    def load(self, index: int) -> Pixels:
        """The clean image, as far as the model sees it."""
        return self._seen(self.items.image(index))

    def pixels(self, index: int) -> Pixels:
        """The clean image, as far as the model sees it."""
        return self.loaded(index)

    def _seen(self, image: Pixels) -> Pixels:
        return image if self._view is None else self._view(Image.fromarray(image))

    def make(self, index: int, cell: Cell) -> tuple[tuple[int, int], Any]:
        """Height and width of a version, and what the model takes of it."""
        image = self.shown = self._image(index, cell)
        return (image.shape[0], image.shape[1]), self._prepare(image)

    def _image(self, index: int, cell: Cell) -> Pixels:
        clean = self.loaded(index)
        if cell.is_clean:
            return clean
        key = self.items.keys[index]
        if self.copy is not None:
            path = copy_path(self.copy.folders[cell], key)
            if self.items.root is not None:
                refuse_clean_copy(path, Path(self.items.root) / key)
            return self._seen(read_image(path))
        spec = CorruptionSpec(cell.corruption, cell.severity, self.options.engine)
        try:
            return apply_corruption(clean, spec, key=key)
        except ValueError as error:
            raise InputError(f"{cell.name}, image '{key}': {error}") from error


class PredictedSet(ScoredSet):
    """A `Model` on `Items`, see `ScoredSet`.

    Args:
        model: The model.
        items: The images and their truth.
        options: Resolved options.
    """

    def __init__(self, model: Model, items: Items, options: SweepOptions) -> None:
        self.model, self.items, self.options = model, items, options
        self.title, self.keys, self.cells = items.title, items.keys, options.cells()
        copy = self._find_copy()
        self.is_on_the_fly = copy is None
        self.versions = PlainVersions(model.prepared, items, options, copy, model.view)
        self._truths: OrderedDict[int, Any] = OrderedDict()
        self.order = match_classes(model.classes, items.classes, model.name)
        differences = self.try_model()
        self.provenance = describe(
            options,
            libraries=model.libraries,
            task=items.task,
            model=options.name or model.name,
            dataset=items.title,
            dataset_fingerprint=items.fingerprint,
            num_images=len(items.keys),
            num_images_total=items.total,
            skipped=items.skipped,
            classes=items.classes,
            config_sha256=model.config_sha256,
            checkpoint_sha256=model.weights_sha256,
            inference=", ".join(
                filter(None, (str(model.view or ""), model.inference, *self.inference()))
            ),
            parameters=model.parameters,
            notes=(*model.notes, *items.notes, *(copy.notes if copy else ()), *differences),
            **({"device": model.device} if model.device else {}),
            **corruption_fields(copy, options, items.keys),
        )

    def _find_copy(self) -> CorruptedCopy[Path] | None:
        corrupted = [cell for cell in self.cells if not cell.is_clean]
        if self.options.corrupted_root is None or not corrupted:
            return None
        root = self.items.root
        return find_copy(self.options.corrupted_root, corrupted, self.keys, image_root=root)

    def prepare(self, first: Sequence[Result]) -> None:
        """Make ready what `record` needs.

        Args:
            first: The results of the first images.
        """

    def inference(self) -> Sequence[str]:
        """What the task does with the model's results, in words."""
        return ()

    def truth(self, image: int) -> Any:
        """The truth of an image, kept while the image is scored in all cells."""
        if image not in self._truths:
            self._truths[image] = self.items.truth(image)
            while len(self._truths) > self.block_size + self.workers:
                self._truths.popitem(last=False)
        return self._truths[image]

    def score_block(self, block: Block, versions: Sequence[Any]) -> Any:
        """Predict the images together, and join what is kept of each."""
        records = self.records(block, versions)
        return {name: np.concatenate([record[name] for record in records]) for name in records[0]}

    def records(self, block: Block, versions: Sequence[Any]) -> list[Any]:
        """Predict the images together: what is kept of each."""
        results = self.model.results([prepared for _, prepared in versions])
        return [
            self._recorded(image, size, result)
            for image, (size, _), result in zip(block, versions, results, strict=True)
        ]

    def check_result(self, image: int, size: tuple[int, int], result: Result) -> None:
        """Refuse a result that is none of the task's, before anything is scored.

        Raises:
            InputError: If it is not.
        """
        self._recorded(image, size, result)

    def _recorded(self, image: int, size: tuple[int, int], result: Result) -> Any:
        try:
            return self.record(image, size, result)
        except InputError as error:
            raise InputError(f"'{self.keys[image]}': {error}") from error

    @abstractmethod
    def record(self, image: int, size: tuple[int, int], result: Result) -> Any:
        """What is kept of an image's result.

        Args:
            image: Its position.
            size: Height and width of the image that was predicted.
            result: What the model returned.

        Raises:
            InputError: If the result is none of the task's.
        """

    def try_model(self) -> Sequence[str]:
        """Predict two images together and one by one, and say where results differ.

        Raises:
            InputError: If a result is none of the task's.
        """
        images = range(min(_TRIED, len(self.keys)))
        versions = [self.versions.make(image, CLEAN) for image in images]
        prepared = [one for _, one in versions]
        together = self.model.results(prepared)
        self.prepare(together)
        for image, (size, _), result in zip(images, versions, together, strict=True):
            self.check_result(image, size, result)
        if len(images) < _TRIED or self.block_size == 1:
            return ()
        alone = [self.model.results([one])[0] for one in prepared]
        apart = max(map(self.difference, together, alone))
        if apart <= _SAME:
            return ()
        note = (
            f"predictions depend on the batch: an image alone and beside another differ by "
            f"{apart:.2g} (BatchNorm in training mode, padding?); batches of {self.block_size}"
        )
        _LOGGER.warning("%s", note)
        return (note,)

    @abstractmethod
    def difference(self, one: Result, other: Result) -> float:
        """How far two results of an image are apart, as a share of the largest number."""


def match_classes(
    stated: Sequence[str] | None, classes: Sequence[str], name: str
) -> tuple[int, ...] | None:
    """The position of the data's class for each of the model's; -1 for one that the data lack.

    Returns:
        ``None`` where the model states no names: its classes are the data's, in their order.

    Raises:
        InputError: If the model lacks a class of the data.
    """
    if stated is None or tuple(stated) == tuple(classes):
        return None
    places = {one.casefold(): place for place, one in enumerate(classes)}
    order = tuple(places.get(one.casefold(), -1) for one in stated)
    lacking = [one for place, one in enumerate(classes) if place not in order]
    if lacking:
        raise InputError(
            f"model '{name}' has no class {some_of(lacking)}; it has {some_of(stated, shown=8)}. "
            "Give the model's classes in its order under the data's names: --model-classes FILE"
        )
    return order


def relative(one: Any, other: Any) -> float:
    """The largest difference of two arrays, as a share of the largest number."""
    if one.shape != other.shape:
        return float("inf")
    if not one.size:
        return 0.0
    scale = max(float(np.abs(one).max()), 1e-12)
    return float(np.abs(one.astype(np.float64) - other).max()) / scale


__all__ = ["PlainVersions", "PredictedSet", "match_classes", "relative"]
