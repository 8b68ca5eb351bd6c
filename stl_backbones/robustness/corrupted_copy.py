"""A corrupted copy of a data set on disk: its cells found, and checked before they are scored.

The layout is ``ROOT/<corruption>/<severity>/<image>``, where the image's path is that below the
clean image folder, or the same with another suffix. Groups (``noise``, ``blur``, ...) may stand
above the corruptions, as in ImageNet-C's archives, and a level with the split's name (``val``)
below the severity.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from stl_backbones.copies import ManifestHeader, read_header
from stl_backbones.datasets.integrity import check_whole, decoded_size
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.paths import check_folder
from stl_backbones.records import Cell

_SUFFIXES = (".png", ".jpg", ".JPEG")  # of a copy whose files are not named like the images
_IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".tif", ".tiff"})
_SHOWN = 3


@dataclass(frozen=True)
class CorruptedCopy:
    """The cells of a corrupted copy.

    Attributes:
        folders: Whole cell -> the folder that holds its images.
        lacking: Cell that is not whole -> what it lacks.
        manifest: What the copy says of itself; ``None`` if nothing.
    """

    folders: Mapping[Cell, Path]
    lacking: Mapping[Cell, str]
    manifest: ManifestHeader | None


def find_copy(
    root: str | Path,
    cells: Sequence[Cell],
    keys: Sequence[str],
    *,
    image_root: Path | None,
    allow_missing: bool = False,
    hint: str = "",
    check_files: bool = True,
) -> CorruptedCopy:
    """Find each cell of a corrupted copy, and check that every image is there.

    Args:
        root: The copy.
        cells: The corrupted cells that are needed.
        keys: The ids of the images that are scored.
        image_root: The clean image folder.
        allow_missing: Leave out cells that are not whole, as long as one is.
        hint: What the user may do where some are not, for the error.
        check_files: Look into every file: whether it is whole, and has the clean one's size.

    Raises:
        MissingFileError: If the copy, a cell's folder or an image is missing.
        InputError: If the copy is the clean folder, a cell holds other images or broken ones, or
            the manifest does not list it.
    """
    root = check_folder(root, "--corrupted-root")
    clean = None if image_root is None else Path(image_root)
    if clean is not None and root.resolve() in (clean.resolve(), clean.parent.resolve()):
        raise InputError(
            f"--corrupted-root '{root}' is the clean image folder; expected a corrupted copy with "
            "<corruption>/<severity>/<image> in it"
        )
    places = _corruption_folders(root)
    known = {} if clean is None else _names_below(clean)
    for key in keys:
        known.setdefault(_stem(key), set()).add(key)
    folders, lacking = {}, {}
    for cell in cells:
        plain = places.get(cell.corruption, root / cell.corruption) / str(cell.severity)
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
            f"{len(lacking)} of {len(cells)} cells are not whole" + (hint if folders else "")
        )
    for folder in folders.values() if check_files else ():
        _check_files(folder, keys, clean)
    return CorruptedCopy(folders, lacking, read_manifest(root, folders))


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


def read_manifest(root: str | Path, cells: Iterable[Cell]) -> ManifestHeader | None:
    """What a corrupted copy says of itself; ``None`` if nothing.

    Args:
        root: The copy.
        cells: Those that are read from it.

    Raises:
        InputError: If the manifest is damaged, or does not list a cell: then it says nothing of
            how that was made.
    """
    try:
        manifest = read_header(Path(root))
    except FileNotFoundError:  # made by another tool
        return None
    for cell in cells:
        if cell.severity not in manifest.cells.get(cell.corruption, ()):
            raise InputError(
                f"the manifest of '{root}' does not list cell '{cell.name}', whose folder is "
                "there: was it made by another tool? Give it a folder of its own"
            )
    return manifest


def _corruption_folders(root: Path) -> dict[str, Path]:
    """Corruption -> its folder, directly below the root or one level down."""
    below = [Path(entry) for entry in os.scandir(root) if entry.is_dir()]
    found = {
        Path(entry).name: Path(entry)
        for group in below
        for entry in os.scandir(group)
        if entry.is_dir()
    }
    return {**found, **{folder.name: folder for folder in below}}


def _find_lack(folder: Path, there: Mapping[str, Set[str]], keys: Sequence[str]) -> str:
    """What a cell's folder lacks; empty if nothing."""
    if not there:
        return f"is missing (expected images in folder '{folder}')"
    missing = [key for key in keys if _stem(key) not in there]
    if not missing:
        return ""
    return f"lacks {len(missing)} of {len(keys)} images ({_some(missing)}) in '{folder}'"


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
            f"({_some(others)}): is it of another data set or split?"
        )
    if clean is not None:
        refuse_clean_copy(copy_path(folder, keys[0]), clean / keys[0])


def _check_files(folder: Path, keys: Sequence[str], clean: Path | None) -> None:
    for key in keys:
        path = copy_path(folder, key)
        check_whole(path)
        if clean is not None:
            _check_size(path, clean / key)


def _check_size(path: Path, clean: Path) -> None:
    size, expected = decoded_size(path), decoded_size(clean)
    if size != expected:
        raise InputError(
            f"'{path}' is {size[0]}x{size[1]}, the clean image {expected[0]}x{expected[1]}"
        )


def _names_below(folder: Path) -> dict[str, set[str]]:
    """Path below the folder without suffix -> the image files of that name."""
    found: dict[str, set[str]] = {}
    for place, _, files in os.walk(folder):
        inner = Path(place).relative_to(folder).as_posix()
        for file in files:
            name = file if inner == "." else f"{inner}/{file}"
            if Path(file).suffix.lower() in _IMAGES:
                found.setdefault(_stem(name), set()).add(name)
    return found


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


__all__ = ["CorruptedCopy", "copy_path", "find_copy", "read_manifest", "refuse_clean_copy"]
