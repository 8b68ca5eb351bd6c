"""A sweep in one file, to be read elsewhere: numbers of cells, provenance, hashes, records.

A zip archive: ``bundle.json`` with the number of the format, the version that wrote it, a hash of
every other file, and each cell's numbers; then, unless they are left out, the files of the sweep's
folder as they are. On reading, hashes are checked and the numbers of the cells are computed anew
from the records: one that does not follow from them is refused. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import stl_backbones
from stl_backbones.errors import InputError, MissingFileError, some_of
from stl_backbones.plain_files import parse_json
from stl_backbones.records import Cell, Provenance
from stl_backbones.report.read.cells import Draws, Measured, measure
from stl_backbones.report.read.metrics import TaskMetrics, find_task
from stl_backbones.report.read.sets import find_sets
from stl_backbones.results import CellStore
from stl_backbones.results.atomic import write_atomically
from stl_backbones.results.cell_file import DamagedCellError, NewerFormatError

FORMAT = 1
SUFFIX = ".bundle.zip"
INDEX = "bundle.json"
_STAMP = (1980, 1, 1, 0, 0, 0)  # equal sweeps give equal bundles
# What a bundle may hold; nothing that leads out of a folder.
_MEMBER = re.compile(
    r"(?:[a-z0-9][a-z0-9.-]*/)?(?:stopped/)?"
    r"(?:run\.json|conditions\.csv|cells/[\w.-]+\.npz|detections/[\w.-]+\.json\.gz)"
)
# Bytes that an archive may unpack to: this much, and so many times its own size.
_FREE, _MOST_RATIO = 1 << 26, 100
_MOST = 1e300  # a number's size: beyond it charts run over
_SAME = 1e-9  # by which a number may differ on another machine
_NOTE = "UNVERIFIED: numbers of a bundle without records, which cannot be computed anew"


def write_bundle(folder: str | Path, out: str | Path, *, records: bool = True) -> Path:
    """Write a finished sweep, and its sets of other images, into one file.

    Args:
        folder: The sweep's folder.
        out: The file; its name ends in ``.bundle.zip``.
        records: Put the records of all images in, from which the numbers can be computed anew.

    Returns:
        The file.

    Raises:
        MissingFileError: If the folder holds no sweep.
        InputError: If the name ends otherwise, or a cell is damaged.
    """
    folder, out = Path(folder), Path(out)
    if not out.name.endswith(SUFFIX):
        raise InputError(f"a bundle's name ends in {SUFFIX}, got '{out.name}'")
    provenance = CellStore(folder).provenance()
    task = find_task(provenance.task)
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    files = {name: path for name, path in files.items() if _MEMBER.fullmatch(name)}
    if not records:
        files = {name: path for name, path in files.items() if name.endswith("run.json")}
    index = {
        "format": FORMAT,
        "stl_backbones": stl_backbones.__version__,
        "records": records,
        "sha256": {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in files.items()},
        "cells": _numbers(folder, task),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f"{out.name}.part")
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            text = json.dumps(index, indent=1, sort_keys=True)
            archive.writestr(_entry(INDEX), text, zipfile.ZIP_DEFLATED)
            for name, path in files.items():
                archive.writestr(_entry(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return out


def _entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, _STAMP)


def _stores(folder: Path, task: TaskMetrics) -> Iterator[tuple[str, CellStore]]:
    yield "", CellStore(folder)
    for name, path in find_sets(folder, task).items():
        yield name, CellStore(path)


def _numbers(folder: Path, task: TaskMetrics) -> dict[str, dict[str, dict[str, float]]]:
    """Set, or nothing for the sweep -> cell -> metric -> number of all its images."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for place, store in _stores(folder, task):
        record, cells = store.provenance(), store.cells()
        measured = measure(
            store, cells, record, task=task, counts=Draws(resamples=0).counts(record.num_images)
        )
        found[place] = {
            cell.name: {
                key: float(scores[cell][0])
                for key, scores in measured.replicates.items()
                if cell in scores and np.isfinite(scores[cell][0])
            }
            for cell in cells
        }
    return found


def open_bundle(path: Path, into: Path) -> Path:
    """Unpack a bundle, and check it.

    Args:
        path: The file.
        into: A folder to unpack below.

    Returns:
        A sweep's folder, named as the bundle.

    Raises:
        NewerFormatError: If a newer version wrote it.
        DamagedCellError: If it is no bundle, was altered, or its numbers are not its records'.
    """
    folder = into / (path.name.removesuffix(SUFFIX).strip(".") or "bundle")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(archive.infolist(), path.stat().st_size)
            index = _read_index(archive, path)
            for name, expected in index["sha256"].items():
                if _unpacked(archive, name, folder / name) != expected:
                    raise DamagedCellError(f"'{path}': '{name}' was altered after it was written")
    except (KeyError, TypeError, AttributeError, EOFError, OSError, zipfile.BadZipFile, zlib.error,
            RuntimeError, OverflowError) as error:  # fmt: skip
        raise DamagedCellError(f"'{path}' is no bundle, or cut short: {error}") from error
    except (DamagedCellError, NewerFormatError):
        raise
    except ValueError as error:
        raise DamagedCellError(f"'{path}' is no bundle: {error}") from error
    if index["records"]:
        _check_numbers(path, folder, index["cells"])
    else:
        _check_fractions(path, folder, index["cells"])
        write_atomically(folder / INDEX, json.dumps(index["cells"]).encode())
    return folder


def _read_index(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    """What a bundle states of itself, checked against what it holds."""
    index: dict[str, Any] = parse_json(archive.read(INDEX))
    if index["format"] != FORMAT:
        raise NewerFormatError(
            f"'{path}' is a bundle of format {index['format']}, expected {FORMAT}; was it "
            "written by a newer stl_backbones? Install that one"
        )
    names = [name for name in archive.namelist() if name != INDEX]
    unknown = [name for name in names if not _MEMBER.fullmatch(name)]
    if unknown or sorted(names) != sorted(index["sha256"]):
        raise DamagedCellError(
            f"'{path}' holds other files than it lists ({some_of(unknown or names)})"
        )
    index["records"] = bool(index["records"])
    for place, cells in index["cells"].items():
        if f"{place}/run.json".removeprefix("/") not in names:
            raise ValueError(f"it states numbers of '{place}', whose run.json it lacks")
        for name, own in cells.items():
            _check_name(name)
            if not all(type(one) in (int, float) and abs(one) < _MOST for one in own.values()):
                raise ValueError(f"cell '{name}' has values that are no numbers")
    if "" not in index["cells"]:
        raise ValueError("it states no numbers of a sweep")
    return index


def _check_name(name: str) -> None:
    try:
        Cell.from_name(name)
    except InputError as error:
        raise ValueError(str(error)) from error


def _check_sizes(entries: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Refuse an archive made to fill memory or disk, before anything of it is unpacked."""
    total = sum(entry.file_size for entry in entries)
    most = _FREE + _MOST_RATIO * size
    if total > most or any(e.filename == INDEX and e.file_size > _FREE for e in entries):
        raise ValueError(f"its {size} bytes unpack to {total}, expected at most {most}")
    if any(e.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for e in entries):
        raise ValueError("it is compressed otherwise than by deflate")


def _unpacked(archive: zipfile.ZipFile, name: str, path: Path) -> str:
    """Write a file of a bundle, a piece at a time; its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with archive.open(name) as source, path.open("wb") as target:
        while piece := source.read(1 << 20):
            digest.update(piece)
            target.write(piece)
    return digest.hexdigest()


def open_bundles(paths: Sequence[str | Path]) -> list[Path]:
    """Folders as they are, and bundles unpacked for as long as the process lives."""
    return [_opened(Path(path)) for path in paths]


def _opened(path: Path) -> Path:
    if not path.is_file():
        return path
    into = Path(tempfile.mkdtemp(prefix="stl_backbones_"))
    atexit.register(shutil.rmtree, into, ignore_errors=True)
    return open_bundle(path, into)


def report_place(path: str | Path) -> Path:
    """Where a report goes if nothing else is said: into the folder, or beside the bundle."""
    path = Path(path)
    if path.is_file():
        return path.with_name(f"{path.name.removesuffix(SUFFIX)}_report")
    return path / "report"


def _check_numbers(path: Path, folder: Path, stated: Mapping[str, Any]) -> None:
    """Refuse numbers that do not follow from the records."""
    try:
        numbers = _numbers(folder, find_task(CellStore(folder).provenance().task))
    except (InputError, MissingFileError) as error:
        inner = str(error).replace(f"{folder}/", "")
        raise DamagedCellError(f"'{path}' does not hold together: {inner}") from error
    found = {(place, cell, key): value for place, cells in numbers.items()
             for cell, own in cells.items() for key, value in own.items()}  # fmt: skip
    given = {(place, cell, key): value for place, cells in stated.items()
            for cell, own in cells.items() for key, value in own.items()}  # fmt: skip
    for one in sorted(found.keys() | given.keys()):
        mine, theirs = found.get(one), given.get(one)
        if mine is None or theirs is None or abs(mine - theirs) > _SAME:
            place, cell, key = one
            where = f"{place} {cell}".strip()
            raise DamagedCellError(
                f"'{path}' states {key} {theirs} for cell '{where}', its records come to {mine}; "
                "one of them was altered"
            )


def _check_fractions(path: Path, folder: Path, stated: Mapping[str, Any]) -> None:
    """Refuse fractions outside of 0..1; without records nothing else can be checked."""
    task = find_task(CellStore(folder).provenance().task)
    fractions = {one.key for one in task.cells if one.unit == "fraction"}
    for cells in stated.values():
        for cell, own in cells.items():
            for key in sorted(fractions & own.keys()):
                if not 0 <= own[key] <= 1:
                    raise DamagedCellError(
                        f"'{path}' states {key} {own[key]} for cell '{cell}', expected a fraction "
                        "from 0 to 1; was it altered?"
                    )


def stated_numbers(folder: Path) -> dict[str, Measured]:
    """The numbers of a bundle without records: set, or nothing for the sweep -> its scores.

    Empty for a folder with records.
    """
    path = folder / INDEX
    if not path.is_file():
        return {}
    found = {}
    for place, cells in json.loads(path.read_text(encoding="utf-8")).items():
        store = CellStore(folder / place)
        record = store.provenance()
        by_metric: dict[str, dict[Cell, Any]] = {}
        for name, own in cells.items():
            for key, value in own.items():
                by_metric.setdefault(key, {})[Cell.from_name(name)] = np.array([float(value)])
        found[place] = Measured(
            folder=store.folder, provenance=_noted(record), replicates=by_metric
        )
    return found


def _noted(record: Provenance) -> Provenance:
    return replace(record, notes=(*record.notes, _NOTE))


__all__ = [
    "SUFFIX",
    "open_bundle",
    "open_bundles",
    "report_place",
    "stated_numbers",
    "write_bundle",
]
