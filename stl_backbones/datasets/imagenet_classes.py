"""The 1000 classes of ImageNet-1K, and the 200 each of ImageNet-A and -R, as timm ships them.

References:
    Hendrycks et al. 2021, "Natural Adversarial Examples" (ImageNet-A), arXiv:1907.07174.
    Hendrycks et al. 2021, "The Many Faces of Robustness" (ImageNet-R), arXiv:2006.16241.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from importlib import resources

from timm.data import ImageNetInfo, infer_imagenet_subset

# Data set -> timm's list of where its classes stand among the 1000.
_INDEX_FILES = {"ImageNet-A": "imagenet_a_indices.txt", "ImageNet-R": "imagenet_r_indices.txt"}
SUBSETS = tuple(_INDEX_FILES)
VALIDATION_IMAGES = 50_000  # Russakovsky et al. 2015, arXiv:1409.0575, Table 2
# As the archive names them; some copies have the class behind the number.
_VALIDATION_NAME = re.compile(r"ILSVRC2012_val_\d{8}(?!\d).*")


@functools.cache
def imagenet_wnids() -> tuple[str, ...]:
    """The classes of ImageNet-1K in the order of the logits: folder names such as n01440764."""
    return tuple(ImageNetInfo().label_names())


@functools.cache
def subset_indices(name: str) -> tuple[int, ...]:
    """Where the classes of a data set stand among the 1000, in rising order.

    Args:
        name: ``'ImageNet-A'`` or ``'ImageNet-R'``.
    """
    text = (resources.files("timm.data") / "_info" / _INDEX_FILES[name]).read_text("utf-8")
    return tuple(sorted(int(line) for line in text.split()))


def subset_wnids(name: str) -> tuple[str, ...]:
    """The classes of a data set, in the order of `subset_indices`."""
    wnids = imagenet_wnids()
    return tuple(wnids[index] for index in subset_indices(name))


def are_validation_images(keys: Iterable[str], *, total: int, classes: int) -> bool:
    """Whether images are ImageNet-1K's validation images, or some of them.

    Args:
        keys: ``<wnid>/<file>`` of each.
        total: Images that their folder holds.
        classes: Class folders that it holds.

    Returns:
        Whether all stand in folders of ImageNet's classes, and either have the archive's names
        (``ILSVRC2012_val_00000001.JPEG``) or are of 50,000 images in 1000 folders.
    """
    parts = [key.rpartition("/") for key in keys]
    if not parts or not {folder for folder, _, _ in parts} <= set(imagenet_wnids()):
        return False
    if total == VALIDATION_IMAGES and classes == len(imagenet_wnids()):
        return True
    return all(_VALIDATION_NAME.fullmatch(name) for _, _, name in parts)


@functools.cache
def columns_of_imagenet_1k(num_classes: int) -> tuple[int | None, ...] | None:
    """Where the 1000 classes stand among the logits of a larger ImageNet's network.

    Args:
        num_classes: Logits of the network: 21841 for ImageNet-22K, 11821 for ImageNet-12K, ..., as
            timm orders them.

    Returns:
        The places, in the order of the 1000; ``None`` for a class that the larger set has not.
        ``None`` altogether for a number that is none of its sets'.
    """
    subset = infer_imagenet_subset({"num_classes": num_classes})
    if subset is None or num_classes == len(imagenet_wnids()):
        return None
    places = {wnid: place for place, wnid in enumerate(ImageNetInfo(subset).label_names())}
    return tuple(places.get(wnid) for wnid in imagenet_wnids())


__all__ = [
    "SUBSETS",
    "VALIDATION_IMAGES",
    "are_validation_images",
    "imagenet_wnids",
    "subset_indices",
    "subset_wnids",
]
