"""A corrupted copy of ImageNet on disk, laid out as the official ImageNet-C."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from stl_backbones.datasets.labelled_images import LabelledImages
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.records import Cell

_SUFFIXES = (".JPEG", ".jpg", ".png")  # of a copy whose files are not named like the images
_SHOWN = 3


@dataclass(frozen=True)
class CorruptedTree:
    """The folders of the cells that are whole.

    Attributes:
        folders: Cell -> its folder, which holds ``<wnid>/<image>``.
        lacking: Cell that is not whole -> what it lacks.
    """

    folders: Mapping[Cell, Path]
    lacking: Mapping[Cell, str]


def find_tree(
    root: str | Path, cells: Sequence[Cell], images: LabelledImages, *, allow_missing: bool = False
) -> CorruptedTree:
    """Find each cell of a corrupted copy, and check that every image is there.

    The layout is ``ROOT/<corruption>/<severity>/<wnid>/<image>``; the official archives' groups
    (``noise``, ``blur``, ...) may stand above the corruptions.

    Args:
        root: The copy.
        cells: The corrupted cells that are needed.
        images: The clean images.
        allow_missing: Leave out cells that are not whole, as long as one is.

    Raises:
        FileNotFoundError: If the copy, a cell, a class or an image is missing.
        ValueError: If the copy holds the clean images, or folders that are no class.
    """
    root = Path(root)
    if not root.is_dir():
        raise MissingFileError(f"--corrupted-root '{root}' does not exist")
    if root.resolve() == images.root.resolve():
        raise InputError(
            f"--corrupted-root '{root}' is the folder of the clean images; expected "
            "<corruption>/<severity>/<wnid>/<image> in it"
        )
    places, needed = _corruption_folders(root), _stems(images.keys)
    folders, lacking = {}, {}
    for cell in cells:
        folder = places.get(cell.corruption, root / cell.corruption) / str(cell.severity)
        lack = _find_lack(folder, images.classes, needed)
        if lack:
            lacking[cell] = lack
        else:
            folders[cell] = folder
    if lacking and not (allow_missing and folders):
        cell, lack = next(iter(lacking.items()))
        raise MissingFileError(
            f"--corrupted-root '{root}' is incomplete: cell '{cell.name}' {lack}; "
            f"{len(lacking)} of {len(cells)} cells are not whole"
            + ("; --allow-missing leaves them out, and says so in tables" if folders else "")
        )
    for folder in folders.values():
        _refuse_clean(folder, images)
    return CorruptedTree(folders, lacking)


def copy_path(folder: Path, key: str) -> Path:
    """Where a cell's folder holds an image: under its own name, or with another ending."""
    path = folder / key
    if path.is_file():
        return path
    candidates = (path.with_suffix(suffix) for suffix in _SUFFIXES)
    return next((candidate for candidate in candidates if candidate.is_file()), path)


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


def _stems(keys: Sequence[str]) -> dict[str, set[str]]:
    """Class folder -> names of its images, without their endings."""
    stems: dict[str, set[str]] = {}
    for key in keys:
        name, _, file = key.partition("/")
        stems.setdefault(name, set()).add(_stem(file))
    return stems


def _find_lack(folder: Path, known_classes: Sequence[str], needed: Mapping[str, Set[str]]) -> str:
    """What a cell's folder lacks; empty if nothing."""
    if not folder.is_dir():
        return f"is missing (expected folder '{folder}')"
    there = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
    foreign = sorted(there - set(known_classes))
    if foreign:
        raise InputError(
            f"'{folder}' holds {len(foreign)} folders that are no class of the data "
            f"({_some(foreign)}): is it of another data set?"
        )
    classes = [name for name in needed if name not in there]
    if classes:
        return f"lacks {len(classes)} of {len(needed)} classes ({_some(classes)})"
    missing = [
        f"{name}/{stem}"
        for name, stems in needed.items()
        for stem in sorted(stems - {_stem(entry.name) for entry in os.scandir(folder / name)})
    ]
    total = sum(len(stems) for stems in needed.values())
    return f"lacks {len(missing)} of {total} images ({_some(missing)})" if missing else ""


def _refuse_clean(folder: Path, images: LabelledImages) -> None:
    first = copy_path(folder, images.keys[0])
    if first.read_bytes() == images.path(0).read_bytes():
        raise InputError(f"'{first}' is the clean image '{images.path(0)}', not a corrupted one")


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


__all__ = ["CorruptedTree", "copy_path", "find_tree"]
