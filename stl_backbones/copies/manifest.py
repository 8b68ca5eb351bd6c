"""What a corrupted copy says of itself: a header, and one row per file.

A finished copy holds both at its top::

    manifest.json    the header: how the copy was made, how many files, the rows' blake2b
    manifest.jsonl   one JSON object per file, sorted by (corruption, severity, id)

The header appears last, so a copy without it is not finished.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stl_backbones.corruptions.seeds import leads_out
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.plain_files import parse_json
from stl_backbones.records import Cell

FORMAT = 1
HEADER_NAME, ROWS_NAME = "manifest.json", "manifest.jsonl"

_KINDS: dict[type, tuple[str, ...]] = {
    str: ("layout", "protocol", "mode", "compat", "engine", "channel_order", "image_format",
          "rows_blake2b"),
    int: ("seed", "images", "files"),
    dict: ("versions", "custom"),
}  # fmt: skip
# With versions and custom, the fields that decide a file's bytes.
_DECIDING = (
    "format", "layout", "split", "image_format", "mode", "compat", "engine", "channel_order",
    "seed",
)  # fmt: skip


@dataclass(frozen=True)
class ManifestHeader:
    """How a corrupted copy was made.

    Attributes:
        layout: ``'cityscapes'``, ``'coco'``, ``'imagenet'``, ``'classes'`` or ``'folder'``.
        split: The split, ``None`` for a plain folder.
        protocol: Name of the protocol that was asked for.
        mode: The corruption engine.
        compat: The package that ``'exact'`` equals.
        engine: The engine's implementation and version.
        channel_order: What the corruption saw, ``'rgb'`` or ``'bgr'``.
        seed: The user's seed.
        versions: Packages that decide bytes: name -> version.
        images: Source images, each of which is there in every cell.
        cells: Corruption -> its severities, in the order of the protocol.
        image_format: The files' encoding, for example ``'png isal 1.9.1, level 1'`` or
            ``'jpeg quality=85'``.
        custom: Corruptions that the user registered: name -> version.
        files: Number of rows.
        rows_blake2b: blake2b (16 bytes, hexadecimal) of ``manifest.jsonl``.
        format: Version of the manifest's own format.
    """

    layout: str
    split: str | None
    protocol: str
    mode: str
    compat: str
    engine: str
    channel_order: str
    seed: int
    versions: Mapping[str, str]
    images: int
    cells: Mapping[str, tuple[float, ...]]
    image_format: str
    custom: Mapping[str, str] = field(default_factory=dict)
    files: int = 0
    rows_blake2b: str = ""
    format: int = FORMAT

    def to_json(self) -> bytes:
        """The header as the bytes of ``manifest.json``."""
        return (json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n").encode()

    def differences(self, other: ManifestHeader) -> dict[str, tuple[Any, Any]]:
        """Fields that make other bytes: name -> (this one's, the other's)."""
        mine, theirs = _deciding(self), _deciding(other)
        # A copy can be added to, so a corruption that only one of them has is no difference.
        names = {name for name in mine | theirs if not name.startswith("custom.")}
        names |= set(mine) & set(theirs)
        return {
            name: (mine.get(name), theirs.get(name))
            for name in sorted(names)
            if mine.get(name) != theirs.get(name)
        }


def _deciding(header: ManifestHeader) -> dict[str, Any]:
    plain = {name: getattr(header, name) for name in _DECIDING}
    plain |= {f"versions.{name}": version for name, version in header.versions.items()}
    plain |= {f"custom.{name}": version for name, version in header.custom.items()}
    return plain


@dataclass(frozen=True)
class Row:
    """One corrupted file.

    Attributes:
        id: The source image's path below the clean image folder; its corruption's key.
        corruption: The corruption.
        severity: 1 to 5, fractions too.
        path: The file, relative to the copy's top, in POSIX form.
        size: Of the file, in bytes.
        width: In pixels.
        height: In pixels.
        blake2b: Of the file's bytes, 16 bytes, hexadecimal.
    """

    id: str
    corruption: str
    severity: float
    path: str
    size: int
    width: int
    height: int
    blake2b: str

    @property
    def cell(self) -> Cell:
        """The cell that the file belongs to."""
        return Cell(self.corruption, self.severity)

    def to_line(self) -> str:
        """The row as a line of JSON, with its line end."""
        return json.dumps(vars(self), ensure_ascii=False, separators=(",", ":")) + "\n"

    @classmethod
    def from_line(cls, line: str | bytes) -> Row:
        """Inverse of `to_line`.

        Raises:
            InputError: If the line is no row, or its path leads out of the copy.
        """
        try:
            row = cls(**parse_json(line))
        except (InputError, TypeError) as error:
            raise InputError(f"no row of a manifest: {line[:80]!r}") from error
        if not row._has_right_types():
            raise InputError(f"no row of a manifest: {line[:80]!r}")
        if leads_out(row.path) or leads_out(row.id):
            raise InputError(f"'{row.path}' of '{row.id}' leads out of the copy")
        return row

    def _has_right_types(self) -> bool:
        texts = (self.id, self.corruption, self.path, self.blake2b)
        numbers = (self.size, self.width, self.height)
        return (
            all(isinstance(one, str) for one in texts)
            and all(isinstance(one, int) and 0 <= one < 2**63 for one in numbers)
            and isinstance(self.severity, int | float)
            and 1 <= self.severity <= 5
        )


def digest(content: bytes) -> str:
    """blake2b of a file's bytes: 16 bytes as 32 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def read_header(root: Path) -> ManifestHeader:
    """Read how a finished corrupted copy was made.

    Args:
        root: The top of the copy, which holds ``manifest.json``.

    Raises:
        FileNotFoundError: If there is no manifest, or the copy is not finished.
        ValueError: If the manifest is damaged, or of another version's format.
    """
    path = root / HEADER_NAME
    if not path.is_file():
        raise MissingFileError(
            f"'{root}' holds no finished corrupted copy: expected {HEADER_NAME} in it, "
            "which tools/generate_corruptions.py writes last"
        )
    return read_header_file(path)


def read_header_file(path: Path) -> ManifestHeader:
    """Read a header from a file of any name.

    Raises:
        ValueError: If it is damaged, or of another version's format.
    """
    try:
        plain = parse_json(path.read_bytes())
        if plain["format"] != FORMAT:
            raise InputError(f"format {plain['format']}, expected {FORMAT}")
        cells = {name: tuple(levels) for name, levels in plain["cells"].items()}
        header = ManifestHeader(**{**plain, "cells": cells})
        _check_kinds(header)
        return header
    except KeyError as error:
        raise InputError(
            f"'{path}' is no manifest of a corrupted copy: it lacks {error}"
        ) from error
    except (TypeError, AttributeError, ValueError) as error:
        raise InputError(f"'{path}' is no manifest of a corrupted copy: {error}") from error


def _check_kinds(header: ManifestHeader) -> None:
    for kind, names in _KINDS.items():
        for name in names:
            if not isinstance(getattr(header, name), kind):
                value = getattr(header, name)
                raise TypeError(f"{name} must be of type {kind.__name__}, got {value!r}")
    texts = [
        "" if header.split is None else header.split,
        *header.versions.values(),
        *header.custom.values(),
    ]
    levels = [level for own in header.cells.values() for level in own]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("split, and the values of versions and custom, must be texts")
    if not all(isinstance(level, int | float) for level in levels):
        raise TypeError("the severities of cells must be numbers")


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a finished copy's ``manifest.jsonl``.

    Raises:
        ValueError: If a line is no row.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield Row.from_line(line)
            except ValueError as error:
                raise InputError(f"'{path}', line {number}: {error}") from error
