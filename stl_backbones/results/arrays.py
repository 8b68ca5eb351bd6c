"""The arrays of an ``.npz`` archive, read by several threads at once."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from stl_backbones.plain_files import NPY_DAMAGE, view_array

MOST = 1 << 31  # bytes that an archive may unpack to


def read_arrays(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of an archive that `numpy.savez` wrote.

    Args:
        content: The archive's bytes.

    Returns:
        Name -> array.

    Raises:
        ValueError: If a member is no array of plain values, or is cut off, or all are too large.
        zipfile.BadZipFile: If the archive is damaged.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except NotImplementedError as error:  # a flipped bit asks for a later version of the format
        raise zipfile.BadZipFile(str(error)) from error
    with archive:
        total = sum(entry.file_size for entry in archive.infolist())
        if total > MOST:
            raise ValueError(f"it unpacks to {total} bytes, expected at most {MOST}")
        return {
            entry.filename.removesuffix(".npy"): _read(entry, content)
            for entry in archive.infolist()
        }


def _read(entry: zipfile.ZipInfo, archive: bytes) -> npt.NDArray[Any]:
    content = _unpacked(entry, archive)
    try:
        return view_array(np.frombuffer(content, np.uint8)).copy(order="K")
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
    if entry.compress_type != zipfile.ZIP_DEFLATED:
        content = bytes(packed)  # stored as it is, or else of another size
    else:
        try:
            content = isal_zlib.decompressobj(-15).decompress(packed, entry.file_size + 1)
        except isal_zlib.error as error:  # type: ignore[misc]  # its stub says: an instance
            raise zipfile.BadZipFile(f"'{entry.filename}' is damaged: {error}") from error
    if len(content) != entry.file_size or isal_zlib.crc32(content) != entry.CRC:
        raise zipfile.BadZipFile(f"'{entry.filename}' does not have its checksum")
    return content


__all__ = ["MOST", "read_arrays"]
