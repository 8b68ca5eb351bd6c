"""Image files by OpenCV, which takes all the memory that a damaged PNG file asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

PNG_START = b"\x89PNG\r\n\x1a\n"
_FRAME = 12  # bytes of a chunk beside its data: length, name, checksum


def png_chunks(content: bytes | memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin and end of each chunk of a PNG file.

    The last one is named ``IEND``, or ends behind the content, which then is truncated or damaged.
    """
    name, begin = b"", len(PNG_START)
    while name != b"IEND" and begin <= len(content):
        name = bytes(content[begin + 4 : begin + 8])
        end = begin + _FRAME + int.from_bytes(content[begin : begin + 4])
        yield name, begin, end
        begin = end


def decode(content: bytes, flags: int) -> npt.NDArray[Any] | None:
    """What ``cv2.imdecode`` makes of a file's bytes.

    Args:
        content: The file.
        flags: OpenCV's, for example ``cv2.IMREAD_COLOR``.

    Returns:
        ``(H, W)`` or ``(H, W, C)``, in OpenCV's order; ``None`` where it is no image, has more
        pixels than OpenCV takes, or is a PNG file whose chunks state more bytes than it has.
    """
    if content.startswith(PNG_START) and any(e > len(content) for _, _, e in png_chunks(content)):
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    except cv2.error:  # of more pixels than OpenCV takes
        return None


__all__ = ["PNG_START", "decode", "png_chunks"]
