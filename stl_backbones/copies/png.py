"""A PNG encoder for speed: more than twice OpenCV's, with smaller files.

Writing corrupted street scenes as PNG costs more than computing them, most of it in zlib's search
for matches. Photographs hardly have any, so this encoder looks for runs alone, as zlib's ``Z_RLE``
does, and codes the rest with one Huffman table per image. Its bytes depend on the pixels alone, not
on the versions of OpenCV, libpng or zlib. Figures: benchmarks/generation.py.

References:
    PNG (Third Edition), W3C 2025, sections 9 (filters) and 10 (compression).
    RFC 1950 (zlib), RFC 1951 (deflate).
"""

from __future__ import annotations

import struct
import zlib
from types import ModuleType
from typing import cast

import numpy as np
import numpy.typing as npt

from stl_backbones.copies.huffman import (
    CODE_LENGTHS_HEADER,
    EXTRA_BITS,
    canonical_codes,
    code_lengths,
    join,
    run_codes,
)

ENCODER = "stl-1"  # in every manifest: a change of the bytes must change it

_START = b"\x89PNG\r\n\x1a\n"
_ZLIB_HEADER = b"\x78\x01"  # RFC 1950: deflate, window of 32 KiB, fastest
_RGB8 = (8, 2, 0, 0, 0)  # bit depth, colour type RGB, then the only methods there are
_NO_FILTER = 0  # PNG, section 9.2
_SAMPLED_ROWS = 16  # one in so many decides about the filter

Bytes = npt.NDArray[np.uint8]


def encode_png(image: Bytes) -> bytes:
    """Encode an image as an 8-bit RGB PNG file.

    Args:
        image: ``(H, W, 3)`` uint8 RGB, at least one pixel.

    Returns:
        The file, the same bytes for the same pixels everywhere.
    """
    height, width, _ = image.shape
    rows = np.ascontiguousarray(image).reshape(height, 3 * width)
    filtered = _kernels().scratch("png filtered", (height, 1 + 3 * width), np.uint8)
    _filter(rows, filtered)
    packed = deflate_runs(filtered.reshape(-1))
    header = struct.pack(">II5B", width, height, *_RGB8)
    return b"".join(
        (_START, _chunk(b"IHDR", header), _chunk(b"IDAT", packed), _chunk(b"IEND", b""))
    )


def _kernels() -> ModuleType:
    """The compiled loops; numba is slow to import, so only what encodes does."""
    from stl_backbones.copies import png_kernels

    return png_kernels


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(content, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(content)), kind, content, struct.pack(">I", check)))


def _filter(rows: Bytes, filtered: Bytes) -> None:
    """Predict each byte from its neighbours, unless noise makes that worse.

    Args:
        rows: ``(H, 3 * W)`` uint8.
        filtered: ``(H, 1 + 3 * W)`` uint8, written: the filter's number, then what is to be coded.
    """
    _kernels().paeth(rows, filtered)
    if _entropy(rows[::_SAMPLED_ROWS]) < _entropy(filtered[::_SAMPLED_ROWS, 1:]):
        filtered[:, 0] = _NO_FILTER
        filtered[:, 1:] = rows


def _entropy(values: Bytes) -> float:
    counts = np.bincount(values.reshape(-1), minlength=256)
    shares = counts[counts > 0] / values.size
    return float(-(shares * np.log2(shares)).sum())


def deflate_runs(data: Bytes) -> bytes:
    """Compress bytes into a zlib stream: runs, and one Huffman table for all.

    Args:
        data: ``(N,)`` uint8, contiguous.
    """
    kernels = _kernels()
    runs = _find_runs(data)
    counts = kernels.count_symbols(data, runs)
    lengths = code_lengths(counts)
    codes = canonical_codes(lengths)
    head, head_bits = _block_header(lengths)
    bits = head_bits + int(counts @ (lengths + EXTRA_BITS))
    words = kernels.scratch("png words", (bits // 32 + 2,), np.uint32)
    words[: head.size] = head
    kernels.emit(data, runs, join(codes, lengths), run_codes(codes, lengths), words, head_bits)
    body = words.astype("<u4", copy=False).tobytes()[: (bits + 7) // 8]
    return b"".join((_ZLIB_HEADER, body, struct.pack(">I", zlib.adler32(data.data))))


def _find_runs(data: Bytes) -> npt.NDArray[np.int64]:
    kernels = _kernels()
    size = (data.size + 7) // 8 * 8
    equal = kernels.scratch("png equal", (size + 8,), np.uint8)
    starts = kernels.scratch("png starts", (size,), np.uint8)
    kernels.compare_neighbours(data, equal)
    kernels.mark_starts(equal, starts)
    words = starts.view(np.uint64)
    runs = kernels.collect_runs(equal, words, np.flatnonzero(words))
    return cast("npt.NDArray[np.int64]", runs)


def _block_header(lengths: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint32], int]:
    """The last block's header with its table, as words and a number of bits."""
    value, bits = CODE_LENGTHS_HEADER
    for length in (*lengths.tolist(), 1):  # the last: distance 1, the only one used
        reversed_nibble = int(f"{length:04b}"[::-1], 2)  # the table's own code: 4 bits for each
        value |= reversed_nibble << bits
        bits += 4
    size = bits // 32 + 1
    return np.frombuffer(value.to_bytes(4 * size, "little"), dtype="<u4").astype(np.uint32), bits
