"""The bytes of a finished cell: damage, and a change by hand or by a tool, is noticed.

A zip archive of NumPy arrays: the samples, the images' ids, and a record as JSON with the number of
the format, the cell, its provenance and a hash over all of it. The archive's comment is a hash over
the file's bytes, so that what zip readers skip (time stamps, say) is covered too. Files of format 1
have no comment. The hashes have no key: who computes them anew can write any file, so they are no
proof against forgery.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.plain_files import parse_json
from stl_backbones.records import Cell, CellResult, Provenance
from stl_backbones.results.arrays import read_arrays

FORMAT = 2
STOPPED_FORMAT = 3  # of a sweep that stops early: versions without such sweeps refuse it
REMEDY = "delete that file and measure it again"
_UNSEALED = 1  # the format without a hash over the file's bytes
_RECORD, _IDS = "record", "image_ids"
_SEAL = 32  # hexadecimal digits


class DamagedCellError(InputError):
    """A cell's file is truncated, altered, or no cell at all."""


class NewerFormatError(InputError):
    """A file seems whole, but is of a format that this version does not know."""


def hash_of(content: bytes) -> str:
    """blake2b, 32 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=_SEAL // 2).hexdigest()


def check_format(number: object, path: Path) -> None:
    """Refuse a file that this version cannot know.

    Raises:
        NewerFormatError: If the format has another number than those that were ever written.
    """
    if number not in (_UNSEALED, FORMAT, STOPPED_FORMAT):
        raise NewerFormatError(
            f"'{path}' is of format {number}, expected {STOPPED_FORMAT} or less; was it written by "
            f"a newer stl_backbones? Install that one, or {REMEDY}"
        )


def format_of(provenance: Provenance) -> int:
    """The number of the format that a cell, or a run's record, is written in."""
    return STOPPED_FORMAT if provenance.sampling else FORMAT


def encode_cell(result: CellResult) -> bytes:
    """A cell as the bytes of its file; equal cells give equal bytes.

    Raises:
        ValueError: If a sample is no plain array.
    """
    for name, array in result.samples.items():
        if array.dtype.hasobject:
            raise InputError(f"sample '{name}' must be plain numbers, got dtype {array.dtype}")
    arrays: dict[str, npt.NDArray[np.generic]] = {
        **result.samples,
        _IDS: np.array(result.image_ids, dtype=np.str_),
    }
    record: dict[str, Any] = {
        "format": format_of(result.provenance),
        "corruption": result.cell.corruption,
        "severity": result.cell.severity,
        "provenance": result.provenance.to_dict(),
    }
    record["digest"] = digest_of(record, arrays)
    text = np.frombuffer(json.dumps(record, sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    contents: dict[str, Any] = {_RECORD: text, **arrays}  # numpy's stub takes no mapping here
    np.savez_compressed(buffer, **contents)
    return _sealed(buffer.getvalue())


def decode_cell(path: Path) -> CellResult:
    """Read a cell's file.

    Raises:
        DamagedCellError: If it is not what was written.
        NewerFormatError: If a newer version wrote it.
    """
    try:
        content = path.read_bytes()
        arrays = read_arrays(content)
        record = parse_json(arrays.pop(_RECORD).tobytes())
        check_format(record["format"], path)
        digest = record.pop("digest")
        is_unsealed = record["format"] == _UNSEALED  # only then the arrays are hashed once more
        if digest != digest_of(record, arrays) if is_unsealed else not _is_sealed(content):
            raise DamagedCellError(f"'{path}' was altered after it was written; {REMEDY}")
        ids = tuple(map(str, arrays.pop(_IDS).tolist()))
        cell = Cell(record["corruption"], record["severity"])
        Cell.from_name(cell.name)  # a severity that is none is refused
        provenance = Provenance.from_dict(record["provenance"])
    except (KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DamagedCellError(f"'{path}' is truncated or no cell: {error}; {REMEDY}") from error
    except (DamagedCellError, NewerFormatError):
        raise
    except ValueError as error:
        raise DamagedCellError(f"'{path}' cannot be read: {error}; {REMEDY}") from error
    return CellResult(cell, provenance, ids, arrays)


def digest_of(record: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    """blake2b over a record and arrays, their names, types and shapes; 32 hexadecimal digits."""
    digest = hashlib.blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _sealed(archive: bytes) -> bytes:
    """The archive with a hash over its bytes as its comment, of which it has none yet."""
    body = archive[:-2] + _SEAL.to_bytes(2, "little")  # an archive ends with its comment's length
    return body + hash_of(body).encode()


def _is_sealed(content: bytes) -> bool:
    return content[-_SEAL:] == hash_of(content[:-_SEAL]).encode()
