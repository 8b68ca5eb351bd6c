"""What a sweep over images, rather than over cells, has finished: one file per block of images.

All cells of a classification sweep end together, so that each image is decoded once. A killed sweep
would lose everything but for these files, which are gone once the cells are written.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.records import Cell, Provenance
from stl_backbones.results.atomic import remove_partial_files, write_atomically

Samples = dict[str, npt.NDArray[np.generic]]

_HEADER = "header"
# Not what a block was measured with: where its cells belong, and what the tables print.
_PASSED_OVER = ("protocol", "custom_versions", "parameters", "macs", "notes")
_DAMAGE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


class BlockStore:
    """The finished blocks of a sweep.

    Use it only while holding the folder of the sweep's `CellStore` for writing.

    Args:
        folder: The sweep's folder.
        provenance: What the blocks are measured with.
    """

    def __init__(self, folder: str | Path, provenance: Provenance) -> None:
        self.folder = Path(folder) / "blocks"
        plain = {k: v for k, v in provenance.to_dict().items() if k not in _PASSED_OVER}
        text = json.dumps(plain, sort_keys=True)
        self._digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def has(self, block: range, cells: Sequence[Cell]) -> bool:
        """Whether a block is there, whole, in all of these cells."""
        try:
            return set(cells) <= self._read(block).keys()
        except _DAMAGE:
            return False

    def write(self, block: range, results: Mapping[Cell, Samples]) -> None:
        """Keep a finished block; the file appears whole or not at all."""
        self.folder.mkdir(exist_ok=True)
        arrays: dict[str, Any] = {
            f"{cell.name}/{cell.severity}/{name}": values
            for cell, samples in results.items()
            for name, values in samples.items()
        }
        arrays[_HEADER] = np.array(self._header(block))
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(self._path(block), buffer.getvalue())

    def join(self, blocks: Sequence[range], cells: Sequence[Cell]) -> dict[Cell, Samples]:
        """Put the blocks of each cell together, in order.

        Raises:
            FileNotFoundError: If a block is missing.
        """
        parts = [self._read(block) for block in blocks]
        return {
            cell: {
                name: np.concatenate([part[cell][name] for part in parts])
                for name in parts[0][cell]
            }
            for cell in cells
        }

    def clear(self) -> None:
        """Remove all blocks."""
        if self.folder.is_dir():
            remove_partial_files(self.folder)
            for path in self.folder.glob("*.npz"):
                path.unlink()
            self.folder.rmdir()

    def _path(self, block: range) -> Path:
        return self.folder / f"{block.start:08d}-{block.stop:08d}.npz"

    def _header(self, block: range) -> str:
        return f"{self._digest} {block.start} {block.stop}"

    def _read(self, block: range) -> dict[Cell, Samples]:
        path = self._path(block)
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if str(arrays.pop(_HEADER)) != self._header(block):
            raise ValueError(f"'{path}' belongs to another run")
        found: dict[Cell, Samples] = {}
        for title, values in arrays.items():
            cell, severity, name = title.split("/")
            corruption = cell.removesuffix(f"-{severity}")
            found.setdefault(Cell(corruption, int(severity)), {})[name] = values
        return found


__all__ = ["BlockStore"]
