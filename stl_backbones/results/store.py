"""One atomically written file per finished cell; what is in the folder is whole, or refused.

Layout of a sweep's folder::

    DIR/run.json          the provenance all cells share
    DIR/cells/clean.npz   one file per finished cell, `fog-3.npz` and so on
    DIR/timing.csv        wall time per cell; apart, so that cell files depend on results alone
    DIR/.lock             held by the process that writes
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import socket
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.records import CLEAN_NAME, Cell, CellResult, Provenance
from stl_backbones.results.atomic import remove_partial_files, write_atomically
from stl_backbones.results.lock import locked

FORMAT = 1
_RECORD, _IDS = "record", "image_ids"
# RuntimeError: a flipped bit asks for a password, or for a compression that zipfile lacks.
_BAD_ZIP = (zipfile.BadZipFile, zlib.error, RuntimeError)


class DamagedCellError(ValueError):
    """A cell's file is truncated, altered, or no cell at all."""


class CellStore:
    """The finished cells of one model on one data set.

    Args:
        folder: The sweep's folder; need not exist before the first write.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, cell: Cell) -> Path:
        """The cell's file."""
        return self.folder / "cells" / f"{cell.name}.npz"

    @contextmanager
    def writing(self, provenance: Provenance) -> Iterator[None]:
        """Hold the folder for writing: one process at a time, one provenance for good.

        Raises:
            ValueError: If the folder belongs to another run, naming the fields that differ, or
                if another process writes into it.
            PermissionError: If the folder cannot be written.
        """
        (self.folder / "cells").mkdir(parents=True, exist_ok=True)
        with locked(self.folder):
            self._claim(provenance)
            for folder in (self.folder, *(path for path in self.folder.iterdir() if path.is_dir())):
                remove_partial_files(folder)
            yield

    def _claim(self, provenance: Provenance) -> None:
        if not (self.folder / "run.json").exists():
            self._record(provenance)
            return
        recorded = self.provenance()
        differences = recorded.differences(provenance)
        if differences:
            told = "; ".join(
                f"{name}: there {_short(there)}, now {_short(now)}"
                for name, (there, now) in differences.items()
            )
            raise ValueError(
                f"'{self.folder}' holds the results of another run ({told}); "
                "choose another --work-dir, or delete that folder"
            )
        versions = {**recorded.custom_versions, **provenance.custom_versions}
        if versions != recorded.custom_versions:  # cells of another protocol join the folder's
            self._record(dataclasses.replace(recorded, custom_versions=versions))

    def _record(self, provenance: Provenance) -> None:
        text = json.dumps(provenance.to_dict(), indent=2, sort_keys=True) + "\n"
        write_atomically(self.folder / "run.json", text.encode())

    def provenance(self) -> Provenance:
        """What the folder's cells were measured with.

        Raises:
            FileNotFoundError: If the folder holds no run.
            DamagedCellError: If the record cannot be read.
        """
        path = self.folder / "run.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"'{self.folder}' holds no sweep: expected {path.name} in it, "
                "as tools/robustness.py --work-dir writes"
            )
        try:
            return Provenance.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedCellError(f"'{path}' cannot be read: {error}") from error

    def write(self, result: CellResult) -> None:
        """Store a finished cell; the file appears whole or not at all."""
        write_atomically(self.path(result.cell), _encode(result))

    def log_time(self, cell: Cell, seconds: float, *, resumed: bool) -> None:
        """Append the wall time of a cell to ``timing.csv``."""
        path = self.folder / "timing.csv"
        header = "" if path.exists() else "cell,seconds,host,resumed\n"
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{header}{cell.name},{seconds:.3f},{socket.gethostname()},{resumed}\n")

    def read(self, cell: Cell) -> CellResult:
        """Read a cell back.

        Raises:
            FileNotFoundError: If it was not finished.
            DamagedCellError: If the file is not what was written.
        """
        path = self.path(cell)
        if not path.is_file():
            raise FileNotFoundError(f"cell '{cell.name}' is not in '{self.folder}'")
        result = _decode(path)
        if result.cell != cell:
            raise DamagedCellError(f"'{path}' holds cell '{result.cell.name}', not '{cell.name}'")
        return result

    def finished(self, provenance: Provenance) -> set[Cell]:
        """The cells that are there, whole, and measured with this provenance.

        A damaged file (after a power cut, say) does not count as finished.

        Raises:
            ValueError: If a whole file was measured with something else.
        """
        cells = set()
        for cell in self.cells():
            try:
                result = self.read(cell)
            except DamagedCellError:
                continue
            differences = result.provenance.differences(provenance)
            if differences:
                raise ValueError(
                    f"'{self.path(cell)}' was measured with another {', '.join(differences)} "
                    "than the rest of its folder; delete that file to measure it again"
                )
            cells.add(cell)
        return cells

    def cells(self) -> tuple[Cell, ...]:
        """The cells that have a file, whole or not.

        Raises:
            DamagedCellError: If a file's name is no cell's.
        """
        return tuple(sorted(_cell_of(path) for path in (self.folder / "cells").glob("*.npz")))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _cell_of(path: Path) -> Cell:
    name, _, severity = path.stem.rpartition("-")
    if path.stem == CLEAN_NAME:
        return Cell(CLEAN_NAME, 0)
    if not name or not severity.isdecimal():
        raise DamagedCellError(f"'{path}' is not named like a cell (expected e.g. 'fog-3.npz')")
    return Cell(name, int(severity))


def _digest(record: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    digest = hashlib.blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _encode(result: CellResult) -> bytes:
    for name, array in result.samples.items():
        if array.dtype.hasobject:
            raise ValueError(f"sample '{name}' must be plain numbers, got dtype {array.dtype}")
    arrays: dict[str, npt.NDArray[np.generic]] = {
        **result.samples,
        _IDS: np.array(result.image_ids, dtype=np.str_),
    }
    record: dict[str, Any] = {
        "format": FORMAT,
        "corruption": result.cell.corruption,
        "severity": result.cell.severity,
        "provenance": result.provenance.to_dict(),
    }
    record["digest"] = _digest(record, arrays)
    text = np.frombuffer(json.dumps(record, sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    contents: dict[str, Any] = {_RECORD: text, **arrays}  # numpy's stub takes no mapping here
    np.savez_compressed(buffer, **contents)
    return buffer.getvalue()


def _decode(path: Path) -> CellResult:
    try:
        # numpy leaves a damaged file open when it opened it itself.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        record = json.loads(arrays.pop(_RECORD).tobytes())
        if record["format"] != FORMAT:
            raise DamagedCellError(f"'{path}': format {record['format']}, expected {FORMAT}")
        digest = record.pop("digest")
        if digest != _digest(record, arrays):
            raise DamagedCellError(f"'{path}' was altered after it was written")
        ids = tuple(str(name) for name in arrays.pop(_IDS))
        cell = Cell(record["corruption"], record["severity"])
        provenance = Provenance.from_dict(record["provenance"])
    except (KeyError, TypeError, EOFError, OSError, *_BAD_ZIP) as error:
        raise DamagedCellError(f"'{path}' is truncated or no cell: {error}") from error
    except ValueError as error:
        if isinstance(error, DamagedCellError):
            raise
        raise DamagedCellError(f"'{path}' cannot be read: {error}") from error
    return CellResult(cell, provenance, ids, arrays)
