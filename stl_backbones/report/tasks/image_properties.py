"""What the truth of a cell says of its images, as slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.records import CellResult
from stl_backbones.report.read.class_names import find_class
from stl_backbones.report.read.slice_columns import thirds

_SIZES = ("mostly small", "mostly medium", "mostly large")  # COCO's areas
_NO_OBJECTS = "no objects"

Slices = tuple[Sequence[str], Sequence[str]]  # values in order, and each image's


def share_slices(result: CellResult, name: str, amounts: npt.NDArray[np.integer]) -> Slices:
    """Slices by the share of a class: images without it, and thirds of the others.

    Args:
        result: The cell.
        name: The class.
        amounts: ``(images, classes)`` pixels, or objects, of each class in the truth.

    Raises:
        InputError: If no class is named.
        UnknownNameError: If there is no such class.
    """
    classes = result.provenance.classes
    if not name:
        raise InputError(
            f"--slices class-share needs a class: expected class-share:{classes[0]}, for example"
        )
    own, total = amounts[:, find_class(name, classes)], amounts.sum(axis=1)
    share = np.divide(own, total, out=np.full(len(own), np.nan), where=own > 0)
    parts, labels = thirds(share, ("little", "medium", "much"))
    none = f"no {name}"
    return (none, *parts), [label or none for label in labels]


def object_share_slices(result: CellResult, name: str) -> Slices:
    """Slices by the share of an image's objects that are of a class; crowds do not count."""
    image, category, _ = _objects(result)
    shape = len(result.image_ids), len(result.provenance.classes)
    amounts = np.zeros(shape, np.int64)
    np.add.at(amounts, (image, category), 1)
    return share_slices(result, name, amounts)


def object_size_slices(result: CellResult, argument: str) -> Slices:
    """Slices by the size that most objects of an image have; of ties the smaller one."""
    if argument:
        raise InputError(f"--slices object-size:{argument}: expected 'object-size' alone")
    image, _, counted = _objects(result)
    amounts = np.zeros((len(result.image_ids), len(_SIZES)), np.int64)
    for size in range(len(_SIZES)):
        np.add.at(amounts[:, size], image[counted[:, 1 + size]], 1)
    labels = [_SIZES[int(sizes.argmax())] if sizes.any() else _NO_OBJECTS for sizes in amounts]
    return (*_SIZES, _NO_OBJECTS), labels


def _objects(
    result: CellResult,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.integer], npt.NDArray[np.bool_]]:
    """Image, class, and area bits of the objects that count."""
    samples = result.samples
    each = samples["objects"].astype(np.int64)
    image = np.repeat(np.arange(len(result.image_ids)), each)
    counted = samples["object_counted"].astype(np.bool_)
    kept = counted[:, 0]
    return image[kept], samples["object_category"][kept].astype(np.int64), counted[kept]


__all__ = ["object_share_slices", "object_size_slices", "share_slices"]
