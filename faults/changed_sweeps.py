"""Copies of a finished sweep with something changed in them, and who notices it."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stl_backbones.records import CLEAN, Cell, CellResult, Provenance
from stl_backbones.report.read.runs import read_runs
from stl_backbones.report.write import make_report
from stl_backbones.results import CellStore
from stl_backbones.results.cell_file import encode_cell
from stl_backbones.results.detections import DETECTIONS, has_its_detections

_KEPT = ("run.json", "cells", DETECTIONS)


@dataclass(frozen=True)
class Mutation:
    """A change to a copy of a sweep's folder.

    Args:
        name: What is changed; unique in its kind.
        change: Makes the change; returns the folders to report, if not the copy alone.
        says: One of these must be in the line that refuses it.
        stale: Cells that a sweep may not take for finished; empty where that does not apply.
        marks: All of these must be in the report, where it may be written.
        compare: Report with ``--compare``.
    """

    name: str
    change: Callable[[Path], Sequence[Path] | None]
    says: tuple[str, ...]
    stale: frozenset[Cell] = frozenset()
    marks: tuple[str, ...] = ()
    compare: bool = False


@dataclass(frozen=True)
class Sweep:
    """A finished sweep.

    Args:
        folder: Its folder; it is not changed.
    """

    folder: Path

    @cached_property
    def measured(self) -> tuple[int, int]:
        """Cells of its protocol that are there, and all of them."""
        protocol, (run,) = read_runs([self.folder], partial=True)
        total = len(protocol.cells())
        return total - len(run.missing(protocol)), total

    @property
    def partial(self) -> bool:
        """Whether cells of its protocol are missing."""
        found, total = self.measured
        return found < total

    @property
    def store(self) -> CellStore:
        """Its cells."""
        return CellStore(self.folder)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Clean, then two others."""
        corrupted = [cell for cell in self.store.cells() if not cell.is_clean]
        return (CLEAN, corrupted[0], corrupted[-1])

    def copy(self, folder: Path) -> Path:
        """Copy what a sweep writes."""
        folder.mkdir(parents=True)
        for path in self.folder.iterdir():
            if path.is_dir() and (path.name in _KEPT or (path / "run.json").exists()):
                shutil.copytree(path, folder / path.name)
            elif path.name in _KEPT:
                shutil.copy(path, folder)
        return folder


def unnoticed_by_report(mutation: Mutation, folders: Sequence[Path], *, partial: bool) -> str:
    """What a report made of it, in words; empty if it refused it, or said what was mixed."""
    resamples = 2 if mutation.compare else 0
    try:
        with tempfile.TemporaryDirectory() as out:
            made = make_report(
                folders, out=out, partial=partial, resamples=resamples, compare=mutation.compare
            )
    except (ValueError, FileNotFoundError, KeyError) as error:
        line = str(error)
        if "\n" in line or not any(text in line for text in mutation.says):
            return f"refused without {mutation.says}: {line}"
        return ""
    missing = [text for text in mutation.marks if text not in made.text]
    return f"reported without {missing}" if missing or not mutation.marks else ""


def unnoticed_by_sweep(mutation: Mutation, folder: Path, sweep: Sweep) -> str:
    """What a sweep that goes on takes for finished, in words; empty if it measures that again."""
    store, original, record = CellStore(folder), sweep.store.read(CLEAN), sweep.store.provenance()
    try:
        with store.writing(record):
            finished = store.finished(record, image_ids=original.image_ids)
    except (ValueError, FileNotFoundError):
        return ""
    if record.task == "detection" and (sweep.folder / DETECTIONS).exists():
        finished = {c for c in finished if has_its_detections(store.read(c), folder)}
    if store.provenance() != record:
        return "run.json is believed"
    taken = sorted(cell.name for cell in mutation.stale & finished)
    return f"taken for finished: {', '.join(taken)}" if taken else ""


def try_mutation(mutation: Mutation, sweep: Sweep) -> str:
    """Make a change to a copy, and report how it went unnoticed; empty if it did not."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = sweep.copy(Path(scratch, "sweep"))
        folders = mutation.change(folder) or (folder,)
        found = unnoticed_by_report(mutation, folders, partial=sweep.partial)
        if not found:
            found = unnoticed_by_sweep(mutation, folder, sweep)
    return found and f"{mutation.name}: {found}"


def of_cell(name: str, change: Callable[[Path], None], cell: Cell) -> Mutation:
    """A change to a cell's file."""
    return Mutation(name, change, (f"{cell.name}.npz",), frozenset({cell}))


def file_of(folder: Path, cell: Cell) -> Path:
    """A cell's file in a folder."""
    return CellStore(folder).path(cell)


def put(folder: Path, result: CellResult) -> None:
    """Write a cell as a sweep would: its hashes are right."""
    file_of(folder, result.cell).write_bytes(encode_cell(result))


def swap_files(one: Path, other: Path) -> None:
    """Exchange two files or folders."""
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def arrays_of(path: Path) -> dict[str, Any]:
    """The arrays of a cell's file."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def save_arrays(path: Path, arrays: Mapping[str, Any], *, keep_comment: bool) -> None:
    """Write arrays by NumPy's own means, so that the zip's checksums are right."""
    with zipfile.ZipFile(path) as archive:
        comment = archive.comment if keep_comment else b""
    np.savez_compressed(path, **arrays)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = comment


def remove_array(path: Path, name: str) -> None:
    """Write a cell's file without one of its arrays."""
    arrays = arrays_of(path)
    del arrays[name]
    save_arrays(path, arrays, keep_comment=True)


def other_value(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, str):
        return f"more {value}"
    if value is None or isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, Mapping):
        return {**value, "more": "1"}
    return type(value)((*value, "more"))


def replaced(record: Provenance, name: str) -> Provenance:
    """The record with another value of one field."""
    return dataclasses.replace(record, **{name: other_value(getattr(record, name))})


def with_value(array: Any, value: Any) -> Any:
    """The array with its first number changed, of a type that holds it."""
    kind = array.dtype
    if isinstance(value, float):
        largest = float(np.finfo(kind).max) if kind.kind == "f" else 0.0
        kind = np.float64 if largest == 0 or largest < abs(value) < np.inf else kind
    elif not np.can_cast(np.min_scalar_type(value), kind):
        kind = np.uint64 if value > 2**63 else np.int64
    changed = array.astype(kind)
    changed.reshape(-1)[0] = value
    return changed
