"""A corrupted copy in ``.npy`` files, as CIFAR-10-C's authors publish theirs.

``ROOT/<corruption>.npy`` holds severities 1 to 5 one after another, of each all images in the order
of the test set, ``(5 N, H, W, 3)`` uint8 RGB; ``ROOT/labels.npy`` their labels, ``(5 N,)``.

References:
    Hendrycks & Dietterich 2019, arXiv:1903.12261 (CIFAR-10-C, CIFAR-100-C).
    Mintun et al. 2021, arXiv:2102.11273 (CIFAR-10-C-bar).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from stl_backbones.datasets.array_images import ArrayImages, StoredImages
from stl_backbones.datasets.labelled_source import LabelledSource
from stl_backbones.datasets.npy_files import LABELS, image_files, map_images, read_labels
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.paths import check_file, check_folder
from stl_backbones.records import Cell
from stl_backbones.robustness.corrupted_copy import CorruptedCopy
from stl_backbones.robustness.names_on_disk import check_some_there

_LOGGER = logging.getLogger(__name__)
_SEVERITIES = 5
_SIZE = 8  # bytes of a cell's digest
_DIGITS = 10  # a longer name is no number of an image
_HASHED = 100  # images of a cell that its digest is made of


@dataclass(frozen=True)
class ArrayCell:
    """The images of a cell.

    Attributes:
        file: The file that holds them.
        stored: All images of the file.
        first: The row of image 0.
    """

    file: Path
    stored: StoredImages
    first: int

    def read(self, key: str) -> Image.Image:
        """An image by its id, bit for bit."""
        return Image.fromarray(self.stored.pixels(self.first + _number_of(key)))

    def where(self, key: str) -> str:
        """The place of an image, for errors."""
        return f"{self.file}[{self.first + _number_of(key)}]"


def is_array_copy(root: str | Path) -> bool:
    """Whether a folder holds ``.npy`` files of corrupted images."""
    return bool(image_files(Path(root)))


def find_array_copy(
    root: str | Path,
    cells: Sequence[Cell],
    source: LabelledSource,
    *,
    allow_missing: bool = False,
    hint: str = "",
) -> CorruptedCopy[ArrayCell]:
    """Find each cell of a copy, and check that its files are whole and of the clean images.

    Args:
        root: The copy.
        cells: The corrupted cells that are needed.
        source: All clean images, whether or not they are scored.
        allow_missing: Leave out cells that are not there, as long as one is.
        hint: What the user may do where some are not, for the error.

    Raises:
        MissingFileError: If the copy, a cell's file or the labels are missing.
        InputError: If a file is damaged, of another number or size of images, or of clean ones;
            if labels are not those of the clean images, or these have no numbers.
    """
    root = check_folder(root, "--corrupted-root")
    check_some_there(root, list(dict.fromkeys(cell.corruption for cell in cells)))
    count = _check_labels(root, source)
    opened: dict[Path, StoredImages] = {}
    folders, lacking = {}, {}
    for cell in cells:
        file = root / f"{cell.corruption}.npy"
        lack = _find_lack(file, cell)
        if lack:
            lacking[cell] = lack
            continue
        if file not in opened:
            opened[file] = _open(file, count, source)
        place = ArrayCell(file, opened[file], (int(cell.severity) - 1) * count)
        _refuse_clean(place, source)
        folders[cell] = place
    if lacking and not (allow_missing and folders):
        cell, lack = next(iter(lacking.items()))
        raise MissingFileError(
            f"--corrupted-root '{root}' is incomplete: cell '{cell.name}' {lack}; "
            f"{len(lacking)} of {len(cells)} cells are missing" + (hint if folders else "")
        )
    notes = tuple(_notes(root, source, count))
    for note in notes:
        _LOGGER.warning("%s", note)
    return CorruptedCopy(folders, lacking, None, _digests(root, count), notes)


def _number_of(key: str) -> int:
    """An image's number in the test set: its id, or its file's name."""
    return int(PurePosixPath(key).stem)


def _numbers(source: LabelledSource, count: int) -> npt.NDArray[np.int64]:
    """The numbers of the clean images.

    Raises:
        InputError: If their files are not named after them.
    """
    keys = [source.key(index) for index in range(len(source))]
    strange = next((key for key in keys if not _is_numbered(key)), None)
    numbers = np.array([_number_of(key) for key in keys if _is_numbered(key)], np.int64)
    is_each_once = len(np.unique(numbers)) == len(keys)
    if strange is None and is_each_once and numbers.max() < count:
        return numbers
    shown = strange or max(keys, key=_number_of)
    raise InputError(
        f"'{source.root}' does not say which number of the test set '{shown}' has, by which a "
        ".npy copy holds its images; expected as --data-root CIFAR's archive (test_batch.bin, "
        "test.bin, test_batch or test), clean.npy with labels.npy, or files with names such as "
        f"0000.png, each a number of its own below {count}"
    )


def _is_numbered(key: str) -> bool:
    stem = PurePosixPath(key).stem
    return len(stem) < _DIGITS and stem.isascii() and stem.isdecimal()


def _check_labels(root: Path, source: LabelledSource) -> int:
    """Compare the copy's labels with those of the clean images; how many there are of a severity.

    Raises:
        InputError: If they differ, or a clean image has no number.
    """
    file = check_file(root / LABELS, "file", hint="expected a .npy copy's labels in it")
    labels = read_labels(file)
    count, rest = divmod(len(labels), _SEVERITIES)
    whole = isinstance(source, ArrayImages)
    if rest or (whole and count != len(source)):
        several = f"{_SEVERITIES} x {len(source)}" if whole else f"a multiple of {_SEVERITIES}"
        raise InputError(
            f"'{file}' holds {len(labels)} labels; expected {several}, those of the clean images "
            "once for each severity"
        )
    numbers = _numbers(source, count)
    differ = labels.reshape(_SEVERITIES, count)[:, numbers] != source.labels
    if differ.any():
        severity, index = (int(values[0]) for values in differ.nonzero())
        found = labels[severity * count + numbers[index]]
        raise InputError(
            f"'{file}' has label {found} for image '{source.key(index)}' of severity "
            f"{severity + 1}, the clean images '{source.root}' have {source.labels[index]} "
            f"({int(differ.sum())} of {differ.size} differ): is it of another data set or order?"
        )
    return count


def _find_lack(file: Path, cell: Cell) -> str:
    if not file.is_file():
        return f"is missing (expected file '{file}')"
    if cell.severity not in range(1, _SEVERITIES + 1):
        return f"is not in '{file}', which holds severities 1 to {_SEVERITIES}"
    return ""


def _open(file: Path, count: int, source: LabelledSource) -> StoredImages:
    stored = StoredImages(partial(map_images, file))
    found, expected = stored.array.shape, (_SEVERITIES * count, *stored.array.shape[1:])
    if isinstance(source, ArrayImages):
        expected = (_SEVERITIES * count, *source.stored.array.shape[1:])
    if found != expected:
        raise InputError(
            f"'{file}' holds an array {found}; expected {expected}, {_SEVERITIES} severities of "
            f"{count} images each, of the clean ones' size"
        )
    return stored


def _refuse_clean(place: ArrayCell, source: LabelledSource) -> None:
    """Refuse a cell whose first, middle and last image are the clean ones, bit for bit."""
    for index in {0, len(source) // 2, len(source) - 1}:
        clean = np.asarray(source.read(index))
        if not np.array_equal(np.asarray(place.read(source.key(index))), clean):
            return
    raise InputError(f"'{place.where(source.key(0))}' and others are the clean images")


def _digests(root: Path, count: int) -> Mapping[str, str]:
    """Name of a cell -> digest of some of its images, of every cell of the copy."""
    return {
        cell.name: digest for file in image_files(root) for cell, digest in _digests_of(file, count)
    }


def _digests_of(file: Path, count: int) -> Iterator[tuple[Cell, str]]:
    try:
        images = map_images(file)
    except InputError:  # of a corruption that is not asked for
        return
    for severity in range(1, len(images) // count + 1):
        own = images[(severity - 1) * count : severity * count]
        digest = hashlib.blake2b(f"{own.shape}".encode(), digest_size=_SIZE)
        for row in np.unique(np.linspace(0, count - 1, _HASHED).astype(int)):
            digest.update(own[row].tobytes())
        yield Cell(file.stem, severity), digest.hexdigest()


def _notes(root: Path, source: LabelledSource, count: int) -> Iterator[str]:
    yield (
        f"corrupted images: .npy files of '{root.resolve().name}', severities 1 to {_SEVERITIES} "
        f"one after another, {count} images each"
    )
    if not isinstance(source, ArrayImages):
        yield "clean files are named after the images' numbers in the test set"


__all__ = ["ArrayCell", "find_array_copy", "is_array_copy"]
