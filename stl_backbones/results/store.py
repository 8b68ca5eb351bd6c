"""One atomically written file per finished cell; what is in the folder is whole, or refused.

Layout of a sweep's folder::

    DIR/run.json          the provenance all cells share
    DIR/cells/clean.npz   one file per finished cell, `fog-3.npz` and so on
    DIR/stopped/cells/    cells of a part of the images, where a sweep stopped before the last one
    DIR/timing.csv        wall time per cell; apart, so that cell files depend on results alone
    DIR/.lock             held by the process that writes
"""

from __future__ import annotations

import dataclasses
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.records import Cell, CellResult, Provenance
from stl_backbones.results.atomic import remove_partial_files, write_atomically
from stl_backbones.results.cell_file import REMEDY, DamagedCellError, decode_cell, encode_cell
from stl_backbones.results.lock import locked
from stl_backbones.results.run_record import decode_run, encode_run

# Hashes say nothing to a reader: what they are of.
_MEANING = {
    "checkpoint_sha256": "checkpoint_sha256, of the weights or the version of the model",
    "config_sha256": "config_sha256, of the config, or what decides predictions beside the weights",
    "dataset_fingerprint": "dataset_fingerprint, of the images and their truth",
}


class CellStore:
    """The finished cells of one model on one data set.

    Args:
        folder: The sweep's folder; need not exist before the first write.
        of_a_part: Whether its cells hold a part of the images; see `Provenance.sampling`.
    """

    def __init__(self, folder: str | Path, *, of_a_part: bool = False) -> None:
        self.folder, self._of_a_part = Path(folder), of_a_part

    def path(self, cell: Cell) -> Path:
        """The cell's file."""
        return self.folder / "cells" / f"{cell.name}.npz"

    @property
    def stopped(self) -> CellStore:
        """The cells of a part of the images; see `Provenance.sampling`."""
        return CellStore(self.folder / "stopped", of_a_part=True)

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
        try:
            recorded = self.provenance()
        except (FileNotFoundError, DamagedCellError):
            # None yet, or a power cut's: every cell says itself what it was measured with.
            self.finished(provenance)
            self.record(provenance)
            return
        differences = recorded.differences(provenance)
        if differences:
            listed = "; ".join(
                f"{_MEANING.get(name, name)}: there {_short(there)}, now {_short(now)}"
                for name, (there, now) in differences.items()
            )
            raise InputError(
                f"'{self.folder}' holds the results of another run ({listed}); "
                "choose another --work-dir, or delete that folder"
            )
        joined = dataclasses.replace(
            recorded,
            custom_versions={**recorded.custom_versions, **provenance.custom_versions},
            copy_digests={**recorded.copy_digests, **provenance.copy_digests},
            chosen=_joined(recorded.chosen, provenance.chosen),
        )
        if joined != recorded:  # cells of another protocol, or of a copy that has grown, join
            self.record(joined)

    def record(self, provenance: Provenance) -> None:
        """Write what the folder's cells are measured with; call it only while `writing`."""
        write_atomically(self.folder / "run.json", encode_run(provenance))

    def provenance(self) -> Provenance:
        """What the folder's cells were measured with.

        Raises:
            FileNotFoundError: If the folder holds no run.
            DamagedCellError: If the record is not what was written.
        """
        path = self.folder / "run.json"
        if not path.is_file():
            raise MissingFileError(
                f"'{self.folder}' holds no sweep: expected {path.name} in it, "
                "as tools/robustness.py --work-dir writes"
            )
        return decode_run(path)

    def write(self, result: CellResult) -> None:
        """Store a finished cell; the file appears whole or not at all.

        Its bytes do not depend on what other cells were asked for with it.
        """
        self.path(result.cell).parent.mkdir(parents=True, exist_ok=True)
        own = dataclasses.replace(result.provenance, chosen=())
        write_atomically(
            self.path(result.cell), encode_cell(dataclasses.replace(result, provenance=own))
        )

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
            DamagedCellError: If the file is not what was written, is another cell's, or its images
                are not as many as its provenance says, each once.
        """
        path = self.path(cell)
        if not path.is_file():
            raise MissingFileError(f"cell '{cell.name}' is not in '{self.folder}'")
        result = decode_cell(path)
        if result.cell != cell:
            raise DamagedCellError(
                f"'{path}' holds cell '{result.cell.name}', not '{cell.name}'; {REMEDY}"
            )
        if bool(result.provenance.sampling) != self._of_a_part:
            raise DamagedCellError(
                f"'{path}' lies in the wrong folder: cells of a sweep that stops early, and no "
                f"others, are kept in its folder 'stopped'; {REMEDY}"
            )
        _check_images(path, result)
        return result

    def finished(
        self, provenance: Provenance, *, image_ids: Sequence[str] | None = None
    ) -> set[Cell]:
        """The cells that are there, whole, and measured with this provenance.

        A damaged file (after a power cut, say) does not count as finished, nor does one of other
        images or of another order.

        Args:
            provenance: What they must have been measured with.
            image_ids: The images that they must hold, in order; ``None`` for any.

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
                raise InputError(
                    f"'{self.path(cell)}' was measured with another {', '.join(differences)} "
                    f"than the rest of its folder; {REMEDY}"
                )
            if image_ids is None or result.image_ids == tuple(image_ids):
                cells.add(cell)
        return cells

    def cells(self) -> tuple[Cell, ...]:
        """The cells that have a file, whole or not.

        Raises:
            DamagedCellError: If a file's name is no cell's.
        """
        return tuple(sorted(_cell_of(path) for path in (self.folder / "cells").glob("*.npz")))


def _joined(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """Cells that were asked for by any of two sweeps; none for all, if one asked for all."""
    return tuple(sorted({*first, *second})) if first and second else ()


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _cell_of(path: Path) -> Cell:
    try:
        cell = Cell.from_name(path.stem)
    except ValueError:
        cell = None
    if cell is None or cell.name != path.stem:
        raise DamagedCellError(f"'{path}' is not named like a cell (expected e.g. 'fog-3.npz')")
    return cell


def _check_images(path: Path, result: CellResult) -> None:
    record = result.provenance
    found, expected = len(result.image_ids), record.sampling.get("scored", record.num_images)
    if found != expected:
        raise DamagedCellError(f"'{path}' holds {found} images, expected {expected}; {REMEDY}")
    name, count = Counter(result.image_ids).most_common(1)[0] if result.image_ids else ("", 1)
    if count > 1:
        raise DamagedCellError(f"'{path}' holds image '{name}' {count} times; {REMEDY}")
