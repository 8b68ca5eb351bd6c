"""Images that are stored together in one file, as CIFAR's are, in an order that counts.

Corrupted copies of such images (CIFAR-10-C's ``.npy`` files) hold them in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from stl_backbones.datasets.cifar_files import ARCHIVES, Archive, read_names
from stl_backbones.datasets.class_folders import ClassFolders
from stl_backbones.datasets.labelled_source import LabelledSource
from stl_backbones.datasets.npy_files import CLEAN_IMAGES, LABELS, map_images, read_labels
from stl_backbones.datasets.views import View
from stl_backbones.errors import InputError, some_of
from stl_backbones.paths import check_folder

Images = npt.NDArray[np.uint8]
_NAMES = "classes.txt"
_TEST_IMAGES = 10_000  # of CIFAR-10 and -100
_DIGITS = 5


@dataclass
class StoredImages:
    """Images in one file, opened when the first is read, and anew in a worker that is started anew.

    Attributes:
        open_file: Gives all of them, ``(N, H, W, 3)`` uint8 RGB, mapped from the file if it can be.
    """

    open_file: Callable[[], Images]
    _opened: Images | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}

    @property
    def array(self) -> Images:
        """All of them."""
        if self._opened is None:
            self._opened = self.open_file()
        return self._opened

    def pixels(self, row: int) -> Images:
        """One of them, a copy in memory."""
        return np.array(self.array[row], order="C")


class ArrayImages(LabelledSource):
    """Images of one file, see `LabelledSource`; their ids are their numbers, ``'00000'`` on.

    Args:
        root: The folder that the user named.
        file: The images' file.
        stored: The images.
        labels: ``(N,)``, their labels.
        classes: The classes' names; ``None`` if they have only numbers.
        ordered_by: What states the classes' order.
        title: The data set's name; empty for the folder's.

    Raises:
        InputError: If there are not as many labels as images, or a label has no class.
    """

    is_ordered = True
    noun = "classes"

    def __init__(
        self,
        root: Path,
        file: Path,
        stored: StoredImages,
        labels: npt.NDArray[np.int64],
        classes: Sequence[str] | None,
        *,
        ordered_by: str,
        title: str = "",
    ) -> None:
        self.root, self.file, self.stored, self.labels = root, file, stored, labels
        count = len(stored.array)
        if count != len(labels):
            raise InputError(f"'{file}' holds {count} images, with {len(labels)} labels")
        most = int(labels.max())
        self.is_named = classes is not None
        self.classes = tuple(map(str, range(max(most + 1, 2)) if classes is None else classes))
        if most >= len(self.classes):
            raise InputError(
                f"'{file}' has label {most}, its classes are {len(self.classes)}, counted from 0"
            )
        found = np.bincount(labels, minlength=len(self.classes))
        self.empty = tuple(name for name, own in zip(self.classes, found, strict=True) if not own)
        self.ordered_by, self.title, self.left_out = ordered_by, title, Counter()
        height, width = stored.array.shape[1:3]
        self.notes = (f"clean images: {count} of {width}x{height} pixels out of '{file.name}'",)

    def key(self, index: int) -> str:
        """The number of an image, with zeros in front."""
        return f"{index:0{_DIGITS}d}"

    def read(self, index: int) -> Image.Image:
        """An image, bit for bit."""
        return Image.fromarray(self.stored.pixels(index))

    def whole(self, index: int, *, decode: bool) -> bytes:
        """The pixels of an image."""
        del decode
        return self.stored.pixels(index).tobytes()

    def fitted(self, view: View) -> View:
        """The view; but images of the network's own size are taken whole."""
        if self.stored.array.shape[1:3] != (view.size, view.size):
            return view
        return View(view.size, view.size, view.interpolation)

    def named(self, classes: Sequence[str]) -> ArrayImages:
        """The images with names for classes that have only numbers."""
        if self.is_named:
            return self
        return ArrayImages(self.root, self.file, self.stored, self.labels, classes,
                           ordered_by=self.ordered_by, title=self.title)  # fmt: skip


def open_images(root: str | Path, *, option: str) -> LabelledSource:
    """Open the images of a folder: CIFAR's, ``.npy`` files, or class folders.

    Args:
        root: The folder.
        option: What names it, in errors.

    Raises:
        MissingFileError: If it is missing, or holds no images at all.
        InputError: If there are fewer than two classes, or a file is damaged.
    """
    folder = check_folder(root, option, hint="expected class folders in it")
    return find_array_images(folder) or ClassFolders(folder, allow_empty=True)


def find_array_images(root: Path) -> ArrayImages | None:
    """The images of one file in a folder; ``None`` if it holds none that is known.

    Known are ``clean.npy`` or ``images.npy`` beside ``labels.npy`` (and ``classes.txt``), and the
    files of CIFAR-10's and -100's archives, in the folder or in the archive's folder below it.

    Raises:
        MissingFileError: If a file that belongs to them is missing.
        InputError: If a file is damaged, or there are several data sets.
    """
    found: dict[str, tuple[Archive, Path]] = {}
    for archive in ARCHIVES:
        for place in (root, root / archive.folder):
            if (place / archive.file).is_file():
                found.setdefault(archive.title, (archive, place))
    arrays = [root / name for name in CLEAN_IMAGES if (root / name).is_file()]
    names = [*found, *(path.name for path in arrays)]
    if len(names) > 1:
        raise InputError(
            f"'{root}' holds several sets of images ({some_of(names)}); give the folder of one"
        )
    if arrays:
        return _open_npy(root, arrays[0])
    return next((_open_archive(root, *one) for one in found.values()), None)


def _open_archive(root: Path, archive: Archive, place: Path) -> ArrayImages:
    file, names = place / archive.file, place / archive.names_file
    labels, classes = archive.labels(file), archive.names(names)
    stored = StoredImages(partial(archive.images, file))
    return ArrayImages(root, file, stored, labels, classes, ordered_by=f"'{archive.names_file}'",
                       title=archive.title if len(labels) == _TEST_IMAGES else "")  # fmt: skip


def _open_npy(root: Path, file: Path) -> ArrayImages:
    stored = StoredImages(partial(map_images, file))
    labels, count = read_labels(root / LABELS), len(stored.array)
    if len(labels) == 5 * count and (labels.reshape(5, count) == labels[:count]).all():
        labels = labels[:count]  # of a corrupted copy: those of each severity
    is_named = (root / _NAMES).is_file()
    classes = read_names(root / _NAMES) if is_named else None
    ordered_by = f"'{_NAMES}'" if is_named else f"the numbers in '{LABELS}'"
    return ArrayImages(root, file, stored, labels, classes, ordered_by=ordered_by)


__all__ = [
    "ArrayImages",
    "StoredImages",
    "find_array_images",
    "open_images",
]
