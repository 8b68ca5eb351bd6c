"""Which corrupted copy it is: what its manifest says, and a digest of each cell's files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stl_backbones.copies import LAYOUTS, ManifestHeader, Row, read_header
from stl_backbones.copies.images import OPENCV
from stl_backbones.copies.manifest import ROWS_NAME
from stl_backbones.datasets.integrity import is_read_apart
from stl_backbones.errors import InputError, some_of
from stl_backbones.image_files import is_clutter, is_image
from stl_backbones.records import Cell

Sizes = dict[Cell, npt.NDArray[np.int64]]  # bytes of the images' files
_SIZE = 8  # bytes of a cell's digest


def read_manifest(
    root: str | Path, cells: Collection[Cell], keys: Sequence[str]
) -> tuple[ManifestHeader | None, dict[str, str], Sizes]:
    """What a corrupted copy says of itself.

    Args:
        root: The copy.
        cells: Those that are read from it.
        keys: The ids of the images that are scored.

    Returns:
        The header; name of a cell -> digest of its rows, of every cell that the copy has; and the
        bytes of each image's file by cell, ``(keys,)``, of the cells that are read. ``None`` and
        nothing where there is no manifest.

    Raises:
        InputError: If the manifest is damaged, or does not list a cell or an image: then it says
            nothing of how that was made.
    """
    root = Path(root)
    try:
        manifest = read_header(root)
    except FileNotFoundError:  # made by another tool
        return None, {}, {}
    for cell in cells:
        if cell.severity not in manifest.cells.get(cell.corruption, ()):
            raise InputError(
                f"the manifest of '{root}' does not list cell '{cell.name}', whose folder is "
                "there: was it made by another tool? Give it a folder of its own"
            )
    digests, sizes, whole = {}, {}, hashlib.blake2b(digest_size=16)
    for cell, rows in groupby(_rows(root / ROWS_NAME, whole), key=lambda pair: pair[1].cell):
        digest, own = hashlib.blake2b(digest_size=_SIZE), dict[str, int]()
        for line, row in rows:
            digest.update(line)
            own[row.id] = row.size
        digests[cell.name] = digest.hexdigest()
        if cell in cells:
            _check_ids(root, cell, own, keys)
            sizes[cell] = np.array([own[key] for key in keys], np.int64)
    if whole.hexdigest() != manifest.rows_blake2b:
        raise InputError(
            f"'{root / ROWS_NAME}' is missing or was altered; the header has another blake2b"
        )
    return manifest, digests, sizes


def _rows(path: Path, whole: hashlib.blake2b) -> Iterator[tuple[bytes, Row]]:
    if not path.is_file():
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            whole.update(line)
            try:
                yield line, Row.from_line(line)
            except ValueError as error:
                raise InputError(f"'{path}', line {number}: {error}") from error


def _check_ids(root: Path, cell: Cell, ids: Collection[str], keys: Sequence[str]) -> None:
    """Refuse files whose draws are those of other ids than the sweep's."""
    lacking = [key for key in keys if key not in ids]
    if not lacking:
        return
    longer = next((name for name in ids if name.endswith(f"/{lacking[0]}")), "")
    above = longer.removesuffix(lacking[0])
    raise InputError(
        f"the manifest of '{root}' does not list image '{lacking[0]}' in cell '{cell.name}' "
        f"({len(lacking)} of {len(keys)} images): "
        + (
            f"it was made a folder too high, of '{longer}', so that its draws are others than its "
            f"seed says; make it of the folder '{above}' itself"
            if longer
            else f"its ids are such as {some_of(sorted(ids), shown=1)}; was it made of another "
            "folder?"
        )
    )


def files_digests(folders: Mapping[Cell, Path]) -> dict[str, str]:
    """Digests of a copy without a manifest: names and sizes of a cell's files, and its first file.

    Args:
        folders: Cell -> its folder, which need not exist.

    Returns:
        Name of a cell -> digest, of those that hold files.
    """
    found = {}
    for cell, folder in sorted(folders.items()):
        files = sorted(_files(folder))
        if files:
            digest = hashlib.blake2b(repr(files).encode(), digest_size=_SIZE)
            digest.update((folder / files[0][0]).read_bytes())
            found[cell.name] = digest.hexdigest()
    return found


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    for place, below, files in os.walk(folder):
        below[:] = [name for name in below if not is_clutter(name)]
        for name in filter(is_image, files):
            path = Path(place, name)
            if path.is_file():
                yield path.relative_to(folder).as_posix(), path.stat().st_size


def check_reader(
    root: Path, manifest: ManifestHeader, images: Sequence[tuple[str, Path]], *, reader: str
) -> None:
    """Refuse a copy of images that were read otherwise than the clean ones are.

    Args:
        root: The copy.
        manifest: Its header.
        images: Ids and files of the clean images.
        reader: Who reads these.

    Raises:
        InputError: If another read them for the copy, and one of them has other pixels then.
    """
    made = LAYOUTS[manifest.layout].reader if manifest.layout in LAYOUTS else OPENCV
    if made == reader:
        return
    apart = [key for key, path in images if is_read_apart(path)]
    if apart:
        layout = "folder" if reader == OPENCV else "classes"
        raise InputError(
            f"'{root}' was made of images read with {made}, this sweep reads them with {reader}: "
            f"{len(apart)} of {len(images)} have other pixels then ({some_of(apart)}: EXIF "
            f"orientation or CMYK); make the copy with --layout {layout}"
        )


__all__ = ["check_reader", "files_digests", "read_manifest"]
