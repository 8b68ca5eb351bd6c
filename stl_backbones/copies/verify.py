"""A finished copy against its manifest."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stl_backbones.copies.manifest import (
    HEADER_NAME,
    ROWS_NAME,
    Row,
    read_header,
    read_rows,
)
from stl_backbones.errors import InputError
from stl_backbones.image_files import is_clutter

MISSING, ALTERED, UNEXPECTED = "missing", "altered", "unexpected"
_BATCH = 1024
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Finding:
    """One file that is not as the manifest says.

    Attributes:
        kind: ``'missing'``, ``'altered'`` or ``'unexpected'``: there, but not in the manifest.
        path: Relative to the copy's top.
    """

    kind: str
    path: str


def verify(
    root: Path, *, workers: int = 1, on_progress: Callable[[int, int], None] | None = None
) -> list[Finding]:
    """Compare every file of a finished copy with its manifest, byte for byte.

    Args:
        root: The copy's top.
        workers: Threads that read.
        on_progress: Called with the files read and their total, now and then.

    Returns:
        What is not as it should be, by kind and path; empty if all is well.

    Raises:
        FileNotFoundError: If there is no manifest, or the copy is not finished.
        ValueError: If the manifest is damaged.
    """
    header = read_header(root)
    rows_path = root / ROWS_NAME
    if not rows_path.is_file() or _hash(rows_path) != header.rows_blake2b:
        raise InputError(f"'{rows_path}' is missing or was altered; the header has another blake2b")
    found: list[Finding] = []
    names: set[str] = set()
    with ThreadPoolExecutor(max(1, workers)) as threads:
        for batch in _batches(read_rows(rows_path)):
            names.update(row.path for row in batch)
            kinds = threads.map(lambda row: _check(root, row), batch)
            found += [
                Finding(kind, row.path) for row, kind in zip(batch, kinds, strict=True) if kind
            ]
            if on_progress is not None:
                on_progress(len(names), header.files)
    found += [Finding(UNEXPECTED, path) for path in _files(root) if path not in names]
    return sorted(found, key=lambda one: (one.kind != MISSING, one.kind != ALTERED, one.path))


def count_kinds(found: list[Finding]) -> dict[str, int]:
    """How many files are missing, altered and unexpected."""
    counts = Counter(one.kind for one in found)
    return {kind: counts[kind] for kind in (MISSING, ALTERED, UNEXPECTED)}


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _check(root: Path, row: Row) -> str:
    path = root / row.path
    try:
        if path.stat().st_size != row.size:
            return ALTERED
        return "" if _hash(path) == row.blake2b else ALTERED
    except FileNotFoundError:
        return MISSING
    except OSError:  # unreadable counts as altered: what it holds is not what was written
        return ALTERED


def _hash(path: Path) -> str:
    checksum = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            checksum.update(block)
    return checksum.hexdigest()


def _files(root: Path) -> Iterator[str]:
    """Yield the paths of all files but the manifest and a run's own."""
    for place, folders, files in os.walk(root):
        below = Path(place).relative_to(root)
        if below == Path():
            files = [name for name in files if name not in (HEADER_NAME, ROWS_NAME)]
        folders[:] = [name for name in folders if not is_clutter(name)]
        for name in files:
            if not is_clutter(name):
                yield (below / name).as_posix()
