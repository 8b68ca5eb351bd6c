"""A corrupted copy of a data set on disk: its cells found, and checked before they are scored.

The layout is ``ROOT/<corruption>/<severity>/<image>``, where the image's path is that below the
clean image folder, or the same with another suffix. Groups (``noise``, ``blur``, ...) may stand
above the corruptions, as in ImageNet-C's archives, and a level with the split's name (``val``)
below the severity. Severities by other names: `copy_layout`.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from stl_backbones.copies import ManifestHeader
from stl_backbones.copies.images import OPENCV
from stl_backbones.copies.manifest import HEADER_NAME
from stl_backbones.datasets.integrity import check_whole, decoded_size, image_header
from stl_backbones.datasets.npy_files import image_files
from stl_backbones.errors import InputError, MissingFileError, some_of
from stl_backbones.image_files import is_clutter, is_image
from stl_backbones.paths import check_folder
from stl_backbones.records import Cell
from stl_backbones.robustness.copy_identity import (
    Sizes,
    check_reader,
    files_digests,
    read_manifest,
)
from stl_backbones.robustness.copy_layout import (
    Severities,
    corruption_folders,
    reading_notes,
    severity_folders,
)
from stl_backbones.robustness.names_on_disk import check_some_there

_LOGGER = logging.getLogger(__name__)
_SUFFIXES = (".png", ".jpg", ".JPEG")  # of a copy whose files are not named like the images
_MANY = 100_000  # files that take so long to look at that it is said
_THREADS = 8  # that wait for the disk


Place = TypeVar("Place")  # a folder, or rows of a file


@dataclass(frozen=True)
class CorruptedCopy(Generic[Place]):
    """The cells of a corrupted copy.

    Attributes:
        folders: Whole cell -> the folder that holds its images, or what else does.
        lacking: Cell that is not whole -> what it lacks.
        manifest: What the copy says of itself; ``None`` if nothing.
        digests: Name of a cell -> digest of its files, of every cell of the copy.
        notes: How the copy was read, in sentences that every table prints.
    """

    folders: Mapping[Cell, Place]
    lacking: Mapping[Cell, str]
    manifest: ManifestHeader | None
    digests: Mapping[str, str]
    notes: tuple[str, ...] = ()


def find_copy(
    root: str | Path,
    cells: Sequence[Cell],
    keys: Sequence[str],
    *,
    image_root: Path | None,
    allow_missing: bool = False,
    hint: str = "",
    reader: str = OPENCV,
    same_size: bool = True,
) -> CorruptedCopy[Path]:
    """Find each cell of a corrupted copy, and check that every image is there and whole.

    Args:
        root: The copy.
        cells: The corrupted cells that are needed.
        keys: The ids of the images that are scored.
        image_root: The clean image folder.
        allow_missing: Leave out cells that are not whole, as long as one is.
        hint: What the user may do where some are not, for the error.
        reader: Who reads the clean images, see `stl_backbones.copies.images`.
        same_size: Refuse files that have not the clean image's size.

    Raises:
        MissingFileError: If the copy, a cell's folder or an image is missing.
        InputError: If the copy is the clean folder, a cell holds other images or broken ones, or
            the manifest does not list them, has other ids, or says that the clean images were read
            otherwise.
    """
    clean = None if image_root is None else Path(image_root)
    root = _open_root(root, cells, clean)
    places = corruption_folders(root)
    has_manifest = (root / HEADER_NAME).is_file()  # then folders are called as we call them
    read: dict[str, Severities] = {}
    known = {} if clean is None else _names_below(clean)
    for key in keys:
        known.setdefault(_stem(key), set()).add(key)
    folders, lacking = {}, {}
    for cell in cells:
        place = places.get(cell.corruption, root / cell.corruption)
        if cell.corruption not in read and not has_manifest:
            read[cell.corruption] = severity_folders(place)
        own = {} if has_manifest else read[cell.corruption].folders
        plain = own.get(cell.severity, place / f"{cell.severity:g}")
        with_split = plain / clean.name if clean is not None else plain
        folder = with_split if copy_path(with_split, keys[0]).is_file() else plain
        there = _names_below(folder)
        lack = _find_lack(folder, there, keys)
        if lack:
            lacking[cell] = lack
            continue
        _check_cell(folder, there, keys, known=known, clean=clean)
        folders[cell] = folder
    if lacking and not (allow_missing and folders):
        cell, lack = next(iter(lacking.items()))
        raise MissingFileError(
            f"--corrupted-root '{root}' is incomplete: cell '{cell.name}' {lack}; "
            f"{len(lacking)} of {len(cells)} cells are not whole"
            + "".join(f"; {note}" for note in reading_notes(read))
            + (hint if folders else "")
        )
    manifest, digests, sizes = read_manifest(root, folders, keys)
    if manifest is None:
        digests = _digests(places)
    elif clean is not None:
        check_reader(root, manifest, [(key, clean / key) for key in keys], reader=reader)
    _check_files(folders, keys, clean if same_size else None, sizes)
    notes = tuple(reading_notes(read))
    for note in notes:
        _LOGGER.warning("%s", note)
    return CorruptedCopy(folders, lacking, manifest, digests, notes)


def _open_root(root: str | Path, cells: Sequence[Cell], clean: Path | None) -> Path:
    """Refuse a folder that is no copy in folders, or has nothing that is asked for."""
    root = check_folder(root, "--corrupted-root")
    if clean is not None and root.resolve() in (clean.resolve(), clean.parent.resolve()):
        raise InputError(
            f"--corrupted-root '{root}' is the clean image folder; expected a corrupted copy with "
            "<corruption>/<severity>/<image> in it"
        )
    if image_files(root):
        raise InputError(
            f"--corrupted-root '{root}' holds .npy files, which are read for classifiers alone, on "
            "data that a folder holds: CIFAR's archive, .npy files, or class folders of files with "
            "the images' numbers"
        )
    check_some_there(root, list(dict.fromkeys(cell.corruption for cell in cells)))
    return root


def copy_path(folder: Path, key: str) -> Path:
    """Where a cell's folder holds an image: under its own name, or with another suffix.

    Returns:
        ``folder / key``, or the same with suffix ``.png``, ``.jpg`` or ``.JPEG`` if only that is a
        file.
    """
    path = folder / key
    candidates = (path, *(path.with_suffix(suffix) for suffix in _SUFFIXES))
    return next((candidate for candidate in candidates if candidate.is_file()), path)


def refuse_clean_copy(corrupted: str | Path, clean: str | Path) -> None:
    """Refuse a 'corrupted' image that is the clean one, byte for byte.

    Raises:
        InputError: If it is.
    """
    corrupted, clean = Path(corrupted), Path(clean)
    same_size = corrupted.stat().st_size == clean.stat().st_size
    if same_size and corrupted.read_bytes() == clean.read_bytes():
        raise InputError(f"'{corrupted}' is the clean image '{clean}', not a corrupted one")


def _digests(places: Mapping[str, Path]) -> dict[str, str]:
    """Name of a cell -> digest of its files, of every cell of a copy without a manifest."""
    found = dict[Cell, Path]()
    for name, place in places.items():
        try:
            levels = severity_folders(place).folders
        except InputError:  # of a corruption that is not asked for, or of class folders
            continue
        found |= {Cell(name, severity): folder for severity, folder in levels.items()}
    severities = set(found.values())  # whose class folders may have numbers too
    return files_digests(
        {cell: folder for cell, folder in found.items() if folder.parent not in severities}
    )


def _find_lack(folder: Path, there: Mapping[str, Set[str]], keys: Sequence[str]) -> str:
    """What a cell's folder lacks; empty if nothing."""
    if not there:
        return f"is missing (expected images in folder '{folder}')"
    missing = [key for key in keys if _stem(key) not in there]
    if not missing:
        return ""
    return f"lacks {len(missing)} of {len(keys)} images ({some_of(missing)}) in '{folder}'"


def _check_cell(
    folder: Path,
    there: Mapping[str, Set[str]],
    keys: Sequence[str],
    *,
    known: Mapping[str, Set[str]],
    clean: Path | None,
) -> None:
    twins = [key for key in keys if key not in there[_stem(key)] and len(known[_stem(key)]) > 1]
    if twins:  # `a.png` is no copy of `a.jpg` where the clean set has an `a.png` too
        raise InputError(
            f"'{folder}' does not say which image is a copy of '{twins[0]}': the clean set has "
            f"{', '.join(sorted(known[_stem(twins[0])]))}"
        )
    others = sorted(min(names) for stem, names in there.items() if stem not in known)
    if others:
        raise InputError(
            f"'{folder}' holds {len(others)} images that the clean set has not "
            f"({some_of(others)}): is it of another data set or split?"
        )
    if clean is not None:
        refuse_clean_copy(copy_path(folder, keys[0]), clean / keys[0])


def _check_files(
    folders: Mapping[Cell, Path], keys: Sequence[str], clean: Path | None, sizes: Sizes
) -> None:
    """Look at head and end of every file, at its bytes where a manifest says how many it has.

    And at its width and height where there is a clean folder.
    """
    if len(folders) * len(keys) > _MANY:
        _LOGGER.warning("looking at the heads and ends of %d files", len(folders) * len(keys))

    def check(folder: Path, key: str, size: int | None) -> None:
        path = copy_path(folder, key)
        check_whole(path)
        if size is not None and path.stat().st_size != size:
            raise InputError(
                f"'{path}' has {path.stat().st_size} bytes, but {size} in its manifest: it was "
                "replaced or altered; make the copy anew"
            )
        if clean is not None:
            _check_size(path, clean / key)
        elif not _is_checked(path):
            image_header(path)

    with ThreadPoolExecutor(_THREADS) as threads:
        for cell, folder in folders.items():
            own = sizes[cell].tolist() if cell in sizes else itertools.repeat(None)
            for _ in threads.map(check, itertools.repeat(folder), keys, own):
                pass


def _is_checked(path: Path) -> bool:
    """Whether `check_whole` knows the file's kind."""
    with path.open("rb") as file:
        return file.read(4) in (b"\x89PNG", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe1")


def _check_size(path: Path, clean: Path) -> None:
    size, expected = decoded_size(path), decoded_size(clean)
    if size != expected:
        raise InputError(
            f"'{path}' is {size[0]}x{size[1]}, the clean image {expected[0]}x{expected[1]}"
        )


def _names_below(folder: Path) -> dict[str, set[str]]:
    """Path below the folder without suffix -> the image files of that name."""
    found: dict[str, set[str]] = {}
    for place, below, files in os.walk(folder):
        below[:] = [name for name in below if not is_clutter(name)]
        inner = Path(place).relative_to(folder).as_posix()
        for file in files:
            name = file if inner == "." else f"{inner}/{file}"
            if is_image(file):
                found.setdefault(_stem(name), set()).add(name)
    return found


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


__all__ = ["CorruptedCopy", "copy_path", "find_copy", "refuse_clean_copy"]
