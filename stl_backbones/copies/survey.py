"""Which files of a plan are there, and the manifest once all are."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from stl_backbones.copies.manifest import HEADER_NAME, ROWS_NAME, Row
from stl_backbones.copies.plan import Plan
from stl_backbones.copies.workplace import Workplace, replace_with
from stl_backbones.errors import InputError, some_of
from stl_backbones.records import Cell


def find_done(plan: Plan, place: Workplace) -> npt.NDArray[np.bool_]:
    """Find the files that a journal names and that have the size it says.

    Returns:
        ``(images, cells)`` bool.

    Raises:
        ValueError: If the copy holds files that the plan has not: fewer images or cells were asked
            for than before.
    """
    done = np.zeros((len(plan.sources), len(plan.cells)), dtype=np.bool_)
    sources = {source.id: index for index, source in enumerate(plan.sources)}
    cells = {cell: index for index, cell in enumerate(plan.cells)}
    unexpected: list[str] = []
    for row in place.rows():
        source, cell = sources.get(row.id), cells.get(row.cell)
        if not _is_there(place.out, row):
            continue
        if source is None or cell is None or plan.target(source, cell) != row.path:
            unexpected.append(row.path)
        else:
            done[source, cell] = True
    if unexpected:
        names = sorted(set(unexpected))
        raise InputError(
            f"'{place.out}' holds {len(names)} files that this run would not make "
            f"({some_of(names)}): ask for all images and cells that it holds, or more, or choose "
            "another output"
        )
    return done


def _is_there(out: Path, row: Row) -> bool:
    try:
        return (out / row.path).stat().st_size == row.size
    except OSError:
        return False


def write_manifest(plan: Plan, place: Workplace) -> int:
    """Write the manifest if every file of the plan is there.

    The rows are sorted cell by cell from files on disk, since those of ImageNet-C would fill some
    gigabytes of memory.

    Returns:
        How many files are still missing; 0 if the manifest is written.
    """
    with tempfile.TemporaryDirectory(prefix="rows-", dir=place.folder) as folder:
        rows_path = Path(folder) / ROWS_NAME
        total, checksum = _join_rows(rows_path, plan, place)
        if total < plan.files:
            return plan.files - total
        os.sync()  # a manifest that survives a power cut must not outlive its files
        rows_path.replace(place.out / ROWS_NAME)
    header = replace(plan.header(), files=total, rows_blake2b=checksum)
    replace_with(place.out / HEADER_NAME, header.to_json(), place.folder, is_synced=True)
    return 0


def _join_rows(path: Path, plan: Plan, place: Workplace) -> tuple[int, str]:
    """Write the sorted rows; returns their number and blake2b."""
    buckets = {cell: path.with_name(f"{cell.name}.jsonl") for cell in sorted(plan.cells)}
    _sort_into(buckets, plan, place)
    total, checksum = 0, hashlib.blake2b(digest_size=16)
    with path.open("wb") as file:
        for bucket in buckets.values():
            for line in _sorted_rows(bucket, place.out):
                file.write(line)
                checksum.update(line)
                total += 1
    return total, checksum.hexdigest()


def _sort_into(buckets: Mapping[Cell, Path], plan: Plan, place: Workplace) -> None:
    """Write each row into its cell's bucket; rows of other images or cells are passed over."""
    ids = {source.id for source in plan.sources}
    with contextlib.ExitStack() as stack:
        files: dict[Cell, IO[str]] = {
            cell: stack.enter_context(bucket.open("w", encoding="utf-8"))
            for cell, bucket in buckets.items()
        }
        for row in place.rows():
            if row.cell in files and row.id in ids:
                files[row.cell].write(row.to_line())


def _sorted_rows(bucket: Path, out: Path) -> Iterator[bytes]:
    """Yield one line per image that is there, by id; a later line replaces an earlier one."""
    latest: dict[str, Row] = {}
    with bucket.open(encoding="utf-8") as lines:
        for line in lines:
            row = Row.from_line(line)
            if _is_there(out, row):
                latest[row.id] = row
    for name in sorted(latest):
        yield latest[name].to_line().encode()
