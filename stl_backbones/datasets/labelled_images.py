"""The images that a classifier is scored on: found, labelled by their folders, and checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from timm.utils.misc import natural_key

from stl_backbones.datasets.array_images import ArrayImages, StoredImages
from stl_backbones.datasets.class_folders import read_class_names, read_rgb
from stl_backbones.datasets.image_list import ImageList
from stl_backbones.datasets.imagenet_classes import (
    SUBSETS,
    are_validation_images,
    imagenet_wnids,
    subset_wnids,
)
from stl_backbones.datasets.labelled_source import LabelledSource
from stl_backbones.errors import InputError, some_of
from stl_backbones.image_files import left_out_text

_OPTIONS = {"ImageNet-A": "--imagenet-a", "ImageNet-R": "--imagenet-r"}


@dataclass(frozen=True)
class LabelledImages:
    """Images of class folders, or of one file, whole and in order.

    Attributes:
        root: The folder that holds the class folders, or the file.
        classes: All classes, in the order of the labels.
        keys: The images' ids: paths below the root, in the order of the folders' names; or the
            numbers of those of one file.
        labels: ``(images,)`` int32, positions in ``classes``.
        total: Images before a limit and before leaving out.
        skipped: Ids of broken images left out.
        absent: Classes without a folder, or with an empty one.
        fingerprint: blake2b over ids and bytes of the images.
        left_out: What is in the folders and no image that is read, in words; empty for nothing.
        border: Pixels that are cut off on every side.
        stored: The images of one file; ``None`` for files of their own.
    """

    root: Path
    classes: tuple[str, ...]
    keys: tuple[str, ...]
    labels: npt.NDArray[np.int32]
    total: int
    skipped: tuple[str, ...]
    absent: tuple[str, ...]
    fingerprint: str
    left_out: str = ""
    border: int = 0
    stored: StoredImages | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def imagenet_val(self) -> bool:
        """Whether they are ImageNet-1K's validation images, see `are_validation_images`."""
        there = len(self.classes) - len(self.absent)
        return are_validation_images(self.keys, total=self.total, classes=there)

    def path(self, index: int) -> Path:
        """The file of an image."""
        return self.root / self.keys[index]

    def read(self, index: int) -> Image.Image:
        """An image in RGB, without its border."""
        if self.stored is not None:
            return Image.fromarray(self.stored.pixels(int(self.keys[index])))
        image = read_rgb(self.path(index))
        if not self.border:
            return image
        width, height = image.size
        if min(width, height) <= 2 * self.border:
            raise InputError(f"'{self.path(index)}' is {width}x{height}, all of it border")
        return image.crop((self.border, self.border, width - self.border, height - self.border))


def find_images(
    source: LabelledSource,
    classes: Sequence[str],
    *,
    kind: str,
    allow_missing: bool = False,
    limit: int | None = None,
    skip_broken: bool = False,
    listed: ImageList | None = None,
) -> LabelledImages:
    """Label the images of a source, check each, and take their fingerprint.

    Args:
        source: The class folders, or the file of images.
        classes: The classes that a folder may be of, in the order of the labels.
        kind: What the data set is called in errors.
        allow_missing: Go on although classes have no images.
        limit: Only so many images, spread evenly over the folders.
        skip_broken: Leave out broken images instead of refusing the data set.
        listed: Only these images; all folders count for the labels.

    Raises:
        ValueError: If a folder is of no class, a class has no images, or an image is broken.
    """
    found = source.classes
    check_folders(source.root, found, classes, kind=kind, noun=source.noun)
    there = set(found) - set(source.empty)
    absent = tuple(name for name in classes if name not in there)
    if absent and not (allow_missing and there):
        raise InputError(
            f"'{source.root}' has no images of {len(absent)} of the {len(classes)} classes of "
            f"{kind} ({some_of(absent)}); --allow-missing scores the others, and says so in tables"
        )
    position = {name: label for label, name in enumerate(classes)}
    wanted = list(range(len(source)))
    if listed is not None:
        wanted = listed.select([source.key(index) for index in wanted], source.root)
    taken = [wanted[at] for at in _spread(len(wanted), len(wanted) if limit is None else limit)]
    kept, broken, fingerprint = _check_all(source, taken, skip_broken=skip_broken)
    return LabelledImages(
        root=source.root,
        classes=tuple(classes),
        keys=tuple(source.key(index) for index in kept),
        labels=np.array([position[source.class_name(index)] for index in kept], np.int32),
        total=len(source),
        skipped=tuple(broken),
        absent=absent,
        fingerprint=fingerprint,
        left_out=left_out_text(source.left_out),
        stored=source.stored if isinstance(source, ArrayImages) else None,
    )


def check_folders(
    root: Path,
    found: Sequence[str],
    classes: Sequence[str],
    *,
    kind: str,
    noun: str = "class folders",
) -> None:
    """Refuse class folders that are of no class, or that are another data set's.

    Raises:
        ValueError: If they are.
    """
    known = set(classes)
    if tuple(classes) == imagenet_wnids():
        for name in SUBSETS:
            if set(found) == set(subset_wnids(name)):
                raise InputError(
                    f"'{root}' holds the 200 classes of {name}, not ImageNet-1K: give it as "
                    f"{_OPTIONS[name]}, and the validation images of ImageNet-1K as --data-root"
                )
    unknown = [name for name in found if name not in known]
    if unknown:
        raise InputError(
            f"'{root}' holds {len(unknown)} {noun} that are no class of {kind} "
            f"({some_of(unknown)}); expected names such as '{classes[0]}'"
        )


@dataclass(frozen=True)
class ClassOrder:
    """The classes of a model's logits.

    Attributes:
        names: In order.
        source: What says so, in words.
    """

    names: tuple[str, ...]
    source: str

    def __str__(self) -> str:
        return f"{len(self.names)} classes, in the order of {self.source}: {some_of(self.names)}"


def choose_classes(
    source: LabelledSource,
    num_classes: int,
    *,
    recorded: Sequence[str] | None,
    stated: str | Path | Sequence[str] | None = None,
) -> ClassOrder:
    """The classes of a model's logits, in order.

    Args:
        source: The class folders of the data, or the file of images.
        num_classes: Logits of the model.
        recorded: Class names that the checkpoint states.
        stated: Class names, or a file of them, of ``--classes``.

    Returns:
        What the file says; else the checkpoint; else ImageNet's for 1000 logits; else the folders,
        in the order given, or in that of their names where text order and timm's natural,
        case-blind order are one.

    Raises:
        ValueError: If the names are others in number than the logits, or nothing says which of
            two orders it is.
    """
    if stated is not None:
        if isinstance(stated, str | Path):
            names, where = read_class_names(stated), f"--classes '{stated}'"
        else:
            names, where = tuple(stated), "the list of classes"
        if len(names) != num_classes:
            raise InputError(
                f"{where} has {len(names)} names, the model {num_classes} classes; expected one "
                "name for each"
            )
        return ClassOrder(names, where)
    if recorded is not None and len(recorded) == num_classes:
        return ClassOrder(tuple(recorded), "the checkpoint")
    found, wnids = source.classes, imagenet_wnids()
    if not source.is_named and len(found) <= num_classes:
        return ClassOrder(tuple(map(str, range(num_classes))), source.ordered_by)
    if num_classes == len(wnids) and not _are_own(found):
        return ClassOrder(wnids, "ImageNet-1K")
    if len(found) != num_classes:
        raise InputError(
            f"the model has {num_classes} classes, '{source.root}' "
            f"{len(found)} {'class ' * (source.noun == 'folders')}{source.noun}; "
            "expected the same number, or --classes FILE with the model's, one name a line"
        )
    if source.is_ordered:
        return ClassOrder(found, source.ordered_by)
    return ClassOrder(_sole_order(found, source.root), "the folders' names")


def _are_own(found: Sequence[str]) -> bool:
    """Whether as many folders as ImageNet has are none of its classes."""
    return len(found) == len(imagenet_wnids()) and not set(found) & set(imagenet_wnids())


def _sole_order(found: Sequence[str], root: Path) -> tuple[str, ...]:
    """The folders in text order (torchvision's), if timm sorts them in the same."""
    text, natural = tuple(sorted(found)), tuple(sorted(found, key=natural_key))
    if text == natural:
        return text
    at = next(place for place, (a, b) in enumerate(zip(text, natural, strict=True)) if a != b)
    raise InputError(
        f"nothing says in which order the model has the {len(found)} classes of '{root}': text "
        f"order, torchvision's, is {some_of(text[at:])}, and timm's natural, case-blind order is "
        f"{some_of(natural[at:])} (from class {at} on); give --classes FILE, one name a line in "
        "the model's order"
    )


def _spread(total: int, limit: int) -> list[int]:
    count = min(limit, total)
    return [step * total // count for step in range(count)]


def _check_all(
    source: LabelledSource, indices: Sequence[int], *, skip_broken: bool
) -> tuple[list[int], Mapping[str, str], str]:
    """The whole images, what is wrong with the others, and a fingerprint of the whole ones."""
    digest = hashlib.blake2b(digest_size=16)
    kept, broken = [], {}
    for index in indices:
        key = source.key(index)
        try:
            # What only shows when it is decoded would end the sweep.
            content = source.whole(index, decode=skip_broken)
        except (ValueError, OSError) as error:
            broken[key] = str(error)
            continue
        digest.update(f"{key}\0{source.class_name(index)}\0{len(content)}\0".encode())
        digest.update(content)
        kept.append(index)
    if broken and (not skip_broken or not kept):
        hint = "" if skip_broken else "; --skip-broken goes on without"
        raise InputError(
            f"{next(iter(broken.values()))} ({len(broken)} of {len(indices)} images are "
            f"broken{hint})"
        )
    return kept, broken, digest.hexdigest()


__all__ = ["ClassOrder", "LabelledImages", "check_folders", "choose_classes", "find_images"]
