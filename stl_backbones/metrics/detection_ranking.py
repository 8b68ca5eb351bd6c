"""A cell's detections in the order that decides precision and recall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError

NUM_THRESHOLDS = 10  # of IoU: .5, .55, ..., .95
NUM_AREAS = 4  # all, small (to 32 x 32 pixels), medium (to 96 x 96), large

Samples = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class RankedDetections:
    """The detections of one kind, class by class, the highest score first.

    Equal scores keep the order of the images' ids, and on one image the order in which they were
    recorded, as in pycocotools.

    Attributes:
        image: ``(D,)`` which image they are on.
        first: ``(classes + 1,)`` where each class begins.
        place: ``(D,)`` from 0, among the detections of their image and class.
        matched: ``(D, 4)`` bit t: has an object at threshold t; columns are areas.
        ignored: ``(D, 4)`` bit t: does not count.
        object_image: ``(G,)`` which image the objects are on.
        object_category: ``(G,)`` their classes.
        object_counted: ``(G, 4)`` whether they count.
    """

    image: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    matched: npt.NDArray[np.uint16]
    ignored: npt.NDArray[np.uint16]
    object_image: npt.NDArray[np.int64]
    object_category: npt.NDArray[np.integer[Any]]
    object_counted: npt.NDArray[np.bool_]

    @property
    def classes(self) -> int:
        """Number of classes K."""
        return len(self.first) - 1

    def best(self, count: int) -> RankedDetections:
        """Keep the first ``count`` of each image and class."""
        kept = np.flatnonzero(self.place < count)
        return replace(
            self,
            image=self.image[kept],
            first=np.searchsorted(kept, self.first),
            place=self.place[kept],
            matched=self.matched[kept],
            ignored=self.ignored[kept],
        )


def rank(samples: Samples, kind: str, *, classes: int) -> RankedDetections:
    """Order the detections of one kind.

    Args:
        samples: Of a cell.
        kind: ``'bbox'`` or ``'segm'``.
        classes: Number of classes K.

    Raises:
        ValueError: If samples are missing or do not fit each other.
    """
    number = _sample(samples, "image_number", np.integer)
    per_image, objects = (
        _lengths(samples, name, len(number)) for name in (f"{kind}_detections", "objects")
    )
    shape, bits = (int(per_image.sum()),), (int(per_image.sum()), NUM_AREAS)
    score = _sample(samples, f"{kind}_score", np.floating, shape)
    category = _classes(samples, f"{kind}_category", shape, classes)
    matched = _sample(samples, f"{kind}_matched", np.uint16, bits)
    ignored = _sample(samples, f"{kind}_ignored", np.uint16, bits)
    total = int(objects.sum())
    if not np.isfinite(score).all():
        raise InputError(f"sample '{kind}_score' must be finite; its network's outputs are not")
    image = np.repeat(np.arange(len(number)), per_image)
    order = _order(number[image], score, category)
    return RankedDetections(
        image=image[order],
        first=np.searchsorted(category[order], np.arange(classes + 1)),
        place=_places(image, category)[order],
        matched=matched[order],
        ignored=ignored[order],
        object_image=np.repeat(np.arange(len(number)), objects),
        object_category=_classes(samples, "object_category", (total,), classes),
        object_counted=_sample(samples, "object_counted", np.bool_, (total, NUM_AREAS)),
    )


def _order(
    number: npt.NDArray[Any], score: npt.NDArray[Any], category: npt.NDArray[Any]
) -> npt.NDArray[np.intp]:
    """By category, then the highest score first, then by the image's id."""
    if (number[1:] < number[:-1]).any():
        return np.lexsort((number, -score, category))  # the last key decides first
    by_score = np.argsort(-score, kind="stable")
    # Of 16 bits are sorted by their digits, ten times as fast.
    small = category.astype(np.uint16) if category.max(initial=0) < 2**16 else category
    ordered: npt.NDArray[np.intp] = by_score[np.argsort(small[by_score], kind="stable")]
    return ordered


def _places(image: npt.NDArray[Any], category: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """``(D,)`` place of each detection in its run of equal image and category, from 0."""
    index = np.arange(len(image))
    begins = np.ones(len(image), np.bool_)
    begins[1:] = (image[1:] != image[:-1]) | (category[1:] != category[:-1])
    places: npt.NDArray[np.int64] = index - np.maximum.accumulate(np.where(begins, index, 0))
    return places


def _sample(
    samples: Samples, name: str, kind: type[Any], shape: tuple[int, ...] | None = None
) -> npt.NDArray[Any]:
    values = samples.get(name)
    found = None if values is None else f"{values.dtype} of shape {values.shape}"
    wanted = "(images,)" if shape is None else str(shape)
    if (
        values is None
        or not np.issubdtype(values.dtype, kind)
        or (values.ndim != 1 if shape is None else values.shape != shape)
    ):
        raise InputError(
            f"expected a sample '{name}' of {kind.__name__.rstrip('_')} and shape {wanted}, "
            f"got {found}"
        )
    return values


def _lengths(samples: Samples, name: str, images: int) -> npt.NDArray[Any]:
    values = _sample(samples, name, np.integer, (images,))
    if (values < 0).any():
        raise InputError(f"sample '{name}' must hold numbers of 0 or more, got {values.min()}")
    return values


def _classes(samples: Samples, name: str, shape: tuple[int, ...], classes: int) -> npt.NDArray[Any]:
    values = _sample(samples, name, np.integer, shape)
    if values.size and not 0 <= values.min() <= values.max() < classes:
        raise InputError(
            f"sample '{name}' must hold classes 0..{classes - 1}, "
            f"got {values.min()}..{values.max()}"
        )
    return values
