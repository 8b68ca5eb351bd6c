"""Corruptions that only a copy on disk has: names that nothing here is registered under."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from stl_backbones.corruptions.catalog import GROUPS, check_corruption
from stl_backbones.corruptions.protocols import RESERVED_NAMES, Protocol
from stl_backbones.datasets.npy_files import image_files
from stl_backbones.errors import (
    InputError,
    MissingFileError,
    UnknownNameError,
    did_you_mean,
    some_of,
)
from stl_backbones.paths import check_folder
from stl_backbones.robustness.copy_layout import corruption_folders, severity_folders

_SHOWN = 30
_USABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # as a cell's file and in every table


def split_names(protocol: Protocol, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names that the protocol or the catalog has to answer for, and those of a copy on disk."""
    from_disk = [name for name in dict.fromkeys(names) if not _is_known(protocol, name)]
    return [name for name in names if name not in from_disk], from_disk


def _is_known(protocol: Protocol, name: str) -> bool:
    if {":", "+"} & set(name) or name in {*GROUPS, *protocol.columns, *protocol.severities}:
        return True
    try:
        check_corruption(name)
    except UnknownNameError:
        return False
    return True


def corruption_names(root: str | Path) -> list[str]:
    """The corruptions that a copy holds, by its folders or ``.npy`` files."""
    arrays = [file.stem for file in image_files(Path(root))]
    if arrays:
        return arrays
    places = corruption_folders(Path(root))
    found = {name: place for name, place in places.items() if _has_severities(place)}
    inside = {name for name, place in found.items() if _has_severities(place.parent)}
    return sorted(name for name in found if name not in inside)


def _has_severities(place: Path) -> bool:
    try:
        return bool(severity_folders(place).folders)
    except InputError:
        return True


def check_on_disk(root: str | Path, names: Sequence[str], protocol: Protocol) -> None:
    """Refuse names that a copy has not, or that results cannot be kept under.

    Raises:
        MissingFileError: If the copy is missing.
        UnknownNameError: If it has no folder or file of a name.
        InputError: If a name is one that reports use, or no plain word.
    """
    there = corruption_names(check_folder(root, "--corrupted-root"))
    for name in names:
        if name not in there:
            near = did_you_mean(name, (*there, *protocol.corruptions))
            raise UnknownNameError(
                f"corruption '{name}' is in no protocol, and '{root}' does not hold it; expected "
                f"one of protocol '{protocol.name}', or of the copy: "
                f"{some_of(there, shown=_SHOWN) or 'nothing is there'}{near}"
            )
        if name in RESERVED_NAMES or not _USABLE.fullmatch(name):
            raise InputError(
                f"results cannot be kept under the name '{name}': expected letters, digits, '_', "
                "'-' and '.', and none that reports use for a number of their own; rename the "
                "folder"
            )


def check_some_there(root: str | Path, names: Sequence[str]) -> None:
    """Refuse a copy that has none of the corruptions asked for, and name those that it has.

    Raises:
        MissingFileError: If it has others.
    """
    held = {*corruption_folders(Path(root)), *(file.stem for file in image_files(Path(root)))}
    if not names or held & set(names):
        return
    there = corruption_names(root)
    if there:
        raise MissingFileError(
            f"--corrupted-root '{root}' holds none of the {len(names)} corruptions asked for; it "
            f"holds {some_of(there, shown=_SHOWN)}: name them with --corruptions"
        )


__all__ = ["check_on_disk", "check_some_there", "corruption_names", "split_names"]
