"""The pictures of a sweep's failures: ``DIR/failures/index.json`` and the files that it lists.

The index is written last, and names each picture's hash: a folder without one, or whose pictures
are others, is not finished.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.plain_files import parse_json
from stl_backbones.records import Cell, Provenance
from stl_backbones.results.atomic import write_atomically

FAILURES, INDEX = "failures", "index.json"
FORMAT = 1
KINDS = {".png": "image/png", ".jpg": "image/jpeg"}
_SAME = ("checkpoint_sha256", "config_sha256", "dataset_fingerprint")
REMEDY = "make them anew with tools/show_failures.py, or delete that folder"


@dataclass(frozen=True)
class FailurePicture:
    """One picture.

    Attributes:
        file: Its name in the folder.
        sha256: Of its bytes.
        cell: For example ``'fog-3'``.
        image: The image's id.
        caption: What happened, in a line.
        note: What a reader must know of it; mostly empty.
    """

    file: str
    sha256: str
    cell: str
    image: str
    caption: str
    note: str = ""


def clear_pictures(folder: Path) -> None:
    """Remove an index, and then the pictures that it lists."""
    try:
        listed = [picture.file for picture in _read(folder / INDEX)[1]]
    except (InputError, FileNotFoundError):
        listed = []
    (folder / INDEX).unlink(missing_ok=True)
    for name in listed:
        (folder / name).unlink(missing_ok=True)


def write_picture(folder: Path, name: str, content: bytes) -> str:
    """Write a picture whole; returns its hash."""
    write_atomically(folder / name, content)
    return hashlib.sha256(content).hexdigest()


def write_index(folder: Path, pictures: Sequence[FailurePicture], provenance: Provenance) -> None:
    """Say that the folder is finished.

    Args:
        folder: Where the pictures are.
        pictures: All of them, in order.
        provenance: The sweep's.
    """
    record = {
        "format": FORMAT,
        "sweep": {name: getattr(provenance, name) for name in _SAME},
        "pictures": [dataclasses.asdict(picture) for picture in pictures],
    }
    write_atomically(folder / INDEX, json.dumps(record, indent=1).encode())


def read_pictures(
    sweep: str | Path, provenance: Provenance
) -> tuple[tuple[FailurePicture, bytes], ...]:
    """The pictures of a sweep, with their bytes.

    Args:
        sweep: The sweep's folder.
        provenance: The sweep's.

    Returns:
        Each picture and its content; none where no finished folder is.

    Raises:
        InputError: If the index is damaged or another sweep's, or a picture was altered.
        MissingFileError: If a picture is missing.
    """
    folder = Path(sweep) / FAILURES
    if not (folder / INDEX).is_file():
        return ()
    measured, pictures = _read(folder / INDEX)
    if any(measured.get(name) != getattr(provenance, name) for name in _SAME):
        raise InputError(f"'{folder}' holds pictures of another model or other data; {REMEDY}")
    return tuple((picture, _content(folder / picture.file, picture)) for picture in pictures)


def _content(path: Path, picture: FailurePicture) -> bytes:
    if not path.is_file():
        raise MissingFileError(f"picture '{path}' is missing; {REMEDY}")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != picture.sha256:
        raise InputError(f"picture '{path}' was altered after it was made; {REMEDY}")
    return content


def _read(path: Path) -> tuple[dict[str, str], list[FailurePicture]]:
    content = path.read_bytes()
    try:
        record = parse_json(content)
    except InputError as error:
        raise InputError(f"'{path}' is no index of pictures: {error}; {REMEDY}") from error
    try:
        if record["format"] != FORMAT:
            raise InputError(f"it is of format {record['format']}, expected {FORMAT}")
        pictures = [FailurePicture(**one) for one in record["pictures"]]
        if not all(isinstance(text, str) for one in pictures for text in vars(one).values()):
            raise TypeError("its pictures are described by texts alone")
        names = [picture.file for picture in pictures]
        if any(name != Path(name).name for name in names):
            raise InputError("it names a picture outside of its folder")
        if not {Path(name).suffix for name in names} <= KINDS.keys():
            raise InputError(f"its pictures are no {' or '.join(KINDS)} files")
        for picture in pictures:
            Cell.from_name(picture.cell)  # one that is none is refused
        return dict(record["sweep"]), pictures
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"'{path}' is no index of pictures: {error}; {REMEDY}") from error


__all__ = [
    "FAILURES", "INDEX", "KINDS", "FailurePicture", "clear_pictures", "read_pictures",
    "write_index", "write_picture",
]  # fmt: skip
