"""The arrays of an ``.npz`` archive, read by several threads at once.

numpy reads the header of an array with `ast`, whose depth counter the threads of Python 3.11 share:
two that parse at once end in ``SystemError: AST constructor recursion depth mismatch``.
"""

from __future__ import annotations

import functools
import io
import math
import threading
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from numpy.lib import format as _npy

from stl_backbones.plain_files import NPY_DAMAGE

npy: Any = _npy  # it has no types
MOST = 1 << 31  # bytes that an archive may unpack to
_parsing = threading.Lock()


def read_arrays(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of an archive that `numpy.savez` wrote.

    Args:
        content: The archive's bytes.

    Returns:
        Name -> array.

    Raises:
        ValueError: If a member is no array of plain values, or is cut off, or all are too large.
        zipfile.BadZipFile: If the archive is damaged.
        NotImplementedError: If it is of a later version of the format than zipfile reads.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        total = sum(entry.file_size for entry in archive.infolist())
        if total > MOST:
            raise ValueError(f"it unpacks to {total} bytes, expected at most {MOST}")
        return {
            entry.filename.removesuffix(".npy"): _read(entry, content)
            for entry in archive.infolist()
        }


@functools.lru_cache(maxsize=64)  # the cells of a sweep have the same few
def _header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of an array."""
    stream = io.BytesIO(header)
    with _parsing:
        version = npy.read_magic(stream)
        is_short = version == (1, 0)
        read_header = npy.read_array_header_1_0 if is_short else npy.read_array_header_2_0
        shape, is_fortran, dtype = read_header(stream)
    return shape, is_fortran, dtype


def _read(entry: zipfile.ZipInfo, archive: bytes) -> npt.NDArray[Any]:
    content = _unpacked(entry, archive)
    try:
        return _array(content)
    except NPY_DAMAGE as error:
        name = entry.filename
        raise ValueError(f"'{name}' is cut off, or holds no plain values: {error}") from error


def _unpacked(entry: zipfile.ZipInfo, archive: bytes) -> bytes:
    """A member's bytes, which ISA-L inflates in two fifths of the time of `zipfile` and its zlib.

    The local header: 30 bytes, of which the last four are the lengths of a name and of more fields.
    """
    start = entry.header_offset + 30
    header = archive[start - 30 : start]
    start += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:], "little")
    packed = memoryview(archive)[start : start + entry.compress_size]
    content = bytes(packed)
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        try:
            content = isal_zlib.decompressobj(-15).decompress(packed, entry.file_size + 1)
        except isal_zlib.error as error:  # type: ignore[misc]  # its stub says: an instance
            raise zipfile.BadZipFile(f"'{entry.filename}' is damaged: {error}") from error
    if len(content) != entry.file_size or isal_zlib.crc32(content) != entry.CRC:
        raise zipfile.BadZipFile(f"'{entry.filename}' does not have its checksum")
    return content


def _array(content: bytes) -> npt.NDArray[Any]:
    # Version 1 has two bytes for the length of the header, the later ones four.
    begin = 10 if content[6:7] == b"\x01" else 12
    begin += int.from_bytes(content[8:begin], "little")
    shape, is_fortran, dtype = _header(content[:begin])
    data = bytearray(memoryview(content)[begin:])
    # Values of no bytes each, of which NumPy makes some of one character, could be any number.
    if dtype.hasobject or not dtype.itemsize or len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(data)} bytes for {shape} values of type {dtype}")
    flat = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if is_fortran else "C")


__all__ = ["MOST", "read_arrays"]
