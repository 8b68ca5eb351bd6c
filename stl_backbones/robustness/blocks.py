"""What a sweep over images, rather than over cells, has finished: one file per block of images.

All cells of a sweep end together, so that no image is decoded anew for each cell. A killed sweep
would lose everything but for these files, which are gone once the cells are written.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.records import Cell, Provenance
from stl_backbones.results.arrays import read_arrays
from stl_backbones.results.atomic import remove_partial_files, write_atomically
from stl_backbones.results.cell_file import digest_of
from stl_backbones.robustness.tasks.base import Samples

_HEADER, _CELLS, _VALUES, _LENGTHS = "header", "cells", "values", "lengths"
_SAMPLES = 2  # raised when tasks keep other samples: blocks of before are scored again
_IN_MEMORY = 256 * 2**20  # bytes of samples while cells are put together
# Not what a block was measured with: where its cells belong, and what the tables print.
_PASSED_OVER = (
    "protocol", "dataset", "custom_versions", "parameters", "encoder_parameters", "macs", "notes",
    "imagenet_val", "copy_digests", "chosen",
)  # fmt: skip
_DAMAGE = (OSError, ValueError, KeyError, zipfile.BadZipFile)


class BlockStore:
    """The finished blocks of a sweep.

    Use it only while holding the folder of the sweep's `CellStore` for writing.

    Args:
        folder: The sweep's folder.
        provenance: What the blocks are measured with.
        order: Digest of the images in the order that blocks count; empty for the data set's.
    """

    def __init__(self, folder: str | Path, provenance: Provenance, *, order: str = "") -> None:
        self.folder = Path(folder) / ("sampled" if order else "blocks")
        plain = {k: v for k, v in provenance.to_dict().items() if k not in _PASSED_OVER}
        if order:
            plain["order"] = order
        text = json.dumps([_SAMPLES, plain], sort_keys=True)
        self._digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def has(self, block: range, cells: Sequence[Cell]) -> bool:
        """Whether a block is there, whole, in all of these cells."""
        try:
            return set(cells) <= self._read(block).keys()
        except _DAMAGE:
            return False

    def whole(self, cells: Sequence[Cell]) -> list[range]:
        """The blocks that are there, whole, in all of these cells; of overlapping ones the first.

        They may have been cut otherwise than a sweep of now would cut them.
        """
        found: list[range] = []
        for path in sorted(self.folder.glob("*.npz")):
            first, _, last = path.stem.partition("-")
            if first.isdecimal() and last.isdecimal():
                block = range(int(first), int(last))
                after = found[-1].stop if found else 0
                if block.start >= after and self.has(block, cells):
                    found.append(block)
        return found

    def read(self, block: range) -> dict[Cell, Samples]:
        """A block's samples.

        Raises:
            InputError: If it belongs to another run, or was altered.
            FileNotFoundError: If it is not there.
        """
        return self._read(block)

    def write(self, block: range, results: Mapping[Cell, Samples]) -> None:
        """Keep a finished block; the file appears whole or not at all."""
        self.folder.mkdir(exist_ok=True)
        cells = list(results)
        arrays: dict[str, Any] = {
            _CELLS: np.array([(cell.corruption, str(cell.severity)) for cell in cells]),
        }
        for name in results[cells[0]]:
            parts = [results[cell][name] for cell in cells]
            arrays[f"{name}/{_VALUES}"] = np.concatenate(parts)
            arrays[f"{name}/{_LENGTHS}"] = np.array([len(part) for part in parts], np.int64)
        buffer = io.BytesIO()
        np.savez(buffer, **{_HEADER: np.array(self._header(block, arrays)), **arrays})
        write_atomically(self._path(block), buffer.getvalue())

    def join(
        self, blocks: Sequence[range], cells: Sequence[Cell]
    ) -> Iterator[tuple[Cell, Samples]]:
        """Put the blocks of each cell together, in order; each block is read once.

        What is more than 256 MiB waits in a nameless file beside the blocks, so that memory holds
        these, one block and twice one cell at most: of COCO-C, some 500 MiB of 9 GB.

        Raises:
            FileNotFoundError: If a block is missing.
        """
        if not cells:
            return
        with tempfile.TemporaryFile(dir=self.folder, suffix=".partial") as file:
            spool = _Spool(file, cells)
            for block in blocks:
                spool.add(self._read(block))
            for cell in cells:
                yield cell, spool.take(cell)

    def clear(self) -> None:
        """Remove all blocks."""
        if self.folder.is_dir():
            remove_partial_files(self.folder)
            for path in self.folder.glob("*.npz"):
                path.unlink()
            self.folder.rmdir()

    def _path(self, block: range) -> Path:
        return self.folder / f"{block.start:08d}-{block.stop:08d}.npz"

    def _header(self, block: range, arrays: Mapping[str, npt.NDArray[Any]]) -> str:
        """A hash over the run, the block's place and its numbers."""
        return digest_of({"run": self._digest, "block": [block.start, block.stop]}, arrays)

    def _read(self, block: range) -> dict[Cell, Samples]:
        path = self._path(block)
        arrays = read_arrays(path.read_bytes())
        if str(arrays.pop(_HEADER)) != self._header(block, arrays):
            raise InputError(f"'{path}' belongs to another run, or was altered")
        cells = [Cell(str(name), json.loads(str(level))) for name, level in arrays.pop(_CELLS)]
        found: dict[Cell, Samples] = {cell: {} for cell in cells}
        for title in arrays:
            name, _, kind = title.rpartition("/")
            if kind == _VALUES:
                edges = np.cumsum(arrays[f"{name}/{_LENGTHS}"])
                parts = np.split(arrays[title], edges[:-1])
                for cell, part in zip(cells, parts, strict=True):
                    found[cell][name] = part
        return found


class _Spool:
    """Samples by cell, as many in memory as may be, and the rest in a file.

    Args:
        file: The file, empty.
        cells: The cells; others are passed over.
    """

    def __init__(self, file: IO[bytes], cells: Sequence[Cell]) -> None:
        self.file = file
        self.parts: dict[Cell, list[Samples]] = {cell: [] for cell in cells}
        self.places: dict[Cell, list[int]] = {cell: [] for cell in cells}
        self.bytes = 0

    def add(self, found: Mapping[Cell, Samples]) -> None:
        """Put a block's samples behind those that are there."""
        for cell, parts in self.parts.items():
            parts.append(found[cell])
            self.bytes += sum(array.nbytes for array in found[cell].values())
        if self.bytes > _IN_MEMORY:
            self._write()

    def take(self, cell: Cell) -> Samples:
        """All samples of a cell; they are in memory no longer."""
        return _joined([*map(self._read, self.places.pop(cell)), *self.parts.pop(cell)])

    def _write(self) -> None:
        self.file.seek(0, os.SEEK_END)
        for cell, parts in self.parts.items():
            self.places[cell].append(self.file.tell())
            samples = _joined(parts)
            np.save(self.file, np.array(list(samples)))
            for array in samples.values():
                np.save(self.file, array)
            parts.clear()
        self.bytes = 0

    def _read(self, place: int) -> Samples:
        self.file.seek(place)
        names = np.load(self.file, allow_pickle=False)
        return {str(name): np.load(self.file, allow_pickle=False) for name in names}


def _joined(parts: Sequence[Samples]) -> Samples:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


__all__ = ["BlockStore"]
