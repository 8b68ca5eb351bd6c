"""Where the corruptions and severities of a corrupted copy are, however its maker named them.

Severities are folders ``1`` to ``5``; numbers of another kind, such as the levels of
ImageNet-C-bar's generator (``2.35``, ``10.00``), which are taken in rising order; or either behind
a common text (``intensity_level_3``, ``severity_3``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stl_backbones.corruptions.catalog import SEVERITIES
from stl_backbones.corruptions.packaged import PACKAGED
from stl_backbones.errors import InputError, some_of
from stl_backbones.image_files import is_clutter

_NUMBERED = re.compile(r"(.*?)([0-9]+(?:\.[0-9]+)?)", re.DOTALL)


@dataclass(frozen=True)
class Severities:
    """The severity folders of a corruption.

    Attributes:
        folders: Severity -> its folder.
        reading: How their names were read, in words; empty for ``1`` to ``5``.
    """

    folders: Mapping[float, Path]
    reading: str = ""


def corruption_folders(root: Path) -> dict[str, Path]:
    """Corruption -> its folder, directly below the root or one level down."""
    below = _folders(root)
    found = {folder.name: folder for group in below for folder in _folders(group)}
    return {**found, **{folder.name: folder for folder in below}}


def severity_folders(place: Path) -> Severities:
    """The severities of a corruption's folder.

    Args:
        place: The folder, which need not exist.

    Raises:
        InputError: If the names can be read in two ways, or are more than five.
    """
    names = sorted(folder.name for folder in _folders(place)) if place.is_dir() else []
    numbers = [name for name in names if _text_of(name) == ""]
    plain = [name for name in numbers if name in map(str, SEVERITIES)]
    if plain and not [name for name in numbers if name not in plain and float(name)]:
        return Severities({int(name): place / name for name in plain})
    if not numbers:  # behind one common text, or no severities at all
        if len({_text_of(name) for name in names}) > 1:
            return Severities({})
        numbers = [name for name in names if _text_of(name) is not None]
    if not numbers:
        return Severities({})
    read = _by_number(place, numbers)
    pairs = ", ".join(f"{name} as {severity}" for severity, name in sorted(read.items()))
    return Severities({severity: place / name for severity, name in read.items()}, pairs)


def _by_number(place: Path, names: Sequence[str]) -> dict[int, str]:
    """Severity -> folder: by the number itself, by the level that has it, or in rising order."""
    values = {name: float(_number_of(name)) for name in names}
    is_mixed = len({"." in _number_of(name) for name in names}) > 1
    if is_mixed or len(set(values.values())) < len(names) or len(names) > len(SEVERITIES):
        raise InputError(
            f"'{place}' does not say which severities its {len(names)} folders hold "
            f"({some_of(names, shown=6)}); expected 1 to 5, or at most five numbers of one kind, "
            "such as 2.35, 3.20, ... or severity_1, severity_2, ..."
        )
    are_severities = set(values.values()) <= set(SEVERITIES)
    if are_severities and not any("." in name for name in names):
        return {int(value): name for name, value in values.items()}
    tables = PACKAGED[place.name].levels.values() if place.name in PACKAGED else ()
    for table in tables:
        if set(values.values()) <= set(table):
            return {table.index(value) + 1: name for name, value in values.items()}
    if are_severities:
        return {int(value): name for name, value in values.items()}
    return dict(enumerate(sorted(names, key=values.__getitem__), start=1))


def reading_notes(read: Mapping[str, Severities]) -> Iterator[str]:
    """How severity folders were read that are not named 1 to 5, in sentences.

    Args:
        read: Corruption -> its severities.
    """
    alike: dict[str, list[str]] = {}
    for name, found in read.items():
        if found.reading:
            alike.setdefault(found.reading, []).append(name)
    for reading, names in alike.items():
        yield f"severity folders of {', '.join(names)} in the corrupted copy: {reading}"


def _folders(root: Path) -> list[Path]:
    entries = os.scandir(root)
    return [Path(entry) for entry in entries if entry.is_dir() and not is_clutter(entry.name)]


def _text_of(name: str) -> str | None:
    """What stands before a name's number; ``None`` if it ends with none."""
    found = _NUMBERED.fullmatch(name)
    return None if found is None else found[1]


def _number_of(name: str) -> str:
    found = _NUMBERED.fullmatch(name)
    return "" if found is None else found[2]


__all__ = ["Severities", "corruption_folders", "reading_notes", "severity_folders"]
