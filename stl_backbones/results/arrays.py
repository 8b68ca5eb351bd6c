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
        zipfile.BadZipFile: If the archive is damaged; zlib.error, EOFError or RuntimeError too.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        total = sum(entry.file_size for entry in archive.infolist())
        if total > MOST:
            raise ValueError(f"it unpacks to {total} bytes, expected at most {MOST}")
        return {name.removesuffix(".npy"): _read(archive, name) for name in archive.namelist()}


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


def _read(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    with archive.open(name) as stream:
        content = stream.read()  # to its end, where the checksum is compared
    try:
        return _array(content)
    except NPY_DAMAGE as error:
        raise ValueError(f"'{name}' is cut off, or holds no plain values: {error}") from error


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
