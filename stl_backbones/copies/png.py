"""A PNG encoder for speed: three times OpenCV's, with smaller files.

Writing corrupted street scenes as PNG costs about as much as computing them, most of it in zlib.
Here Paeth's filter is compiled, and Intel's ISA-L deflates. Its bytes depend on ISA-L's version,
which is in every manifest, and on the kind of processor (x86 or ARM). Figures:
benchmarks/generation.py.

References:
    PNG (Third Edition), W3C 2025, sections 9 (filters) and 10 (compression).
"""

from __future__ import annotations

import struct
import zlib
from importlib.metadata import version
from types import ModuleType

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from stl_backbones.corruptions.decoding import PNG_START

# In every manifest: a change of the bytes must change it.
ENCODER = f"isal {version('isal')}, level 1"

_RGB8 = (8, 2, 0, 0, 0)  # bit depth, colour type RGB, then the only methods there are
_NO_FILTER = 0  # PNG, section 9.2
_SAMPLED_ROWS = 16  # one in so many decides about the filter

Bytes = npt.NDArray[np.uint8]


def encode_png(image: Bytes) -> bytes:
    """Encode an image as an 8-bit RGB PNG file.

    Args:
        image: ``(H, W, 3)`` uint8 RGB, at least one pixel.

    Returns:
        The file.
    """
    height, width, _ = image.shape
    rows = np.ascontiguousarray(image).reshape(height, 3 * width)
    filtered = _kernels().scratch("png filtered", (height, 1 + 3 * width), np.uint8)
    _filter(rows, filtered)
    packed = isal_zlib.compress(filtered.data, level=1)
    header = struct.pack(">II5B", width, height, *_RGB8)
    return b"".join(
        (PNG_START, _chunk(b"IHDR", header), _chunk(b"IDAT", packed), _chunk(b"IEND", b""))
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
