"""The compiled filter of the PNG encoder."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.native.scratch import scratch

Bytes = npt.NDArray[np.uint8]
_SUB, _PAETH = 1, 4  # PNG, section 9.2


@kernel
def paeth(rows: Bytes, filtered: Bytes) -> None:
    """PNG's Paeth filter; the first row, which has none above, is filtered by its left neighbours.

    Args:
        rows: ``(H, 3 * W)`` uint8.
        filtered: ``(H, 1 + 3 * W)`` uint8, written.
    """
    width = rows.shape[1]
    filtered[0, 0] = _SUB
    filtered[0, 1:4] = rows[0, :3]
    filtered[0, 4:] = rows[0, 3:] - rows[0, :-3]
    # Rows of int16 let the compiler use vectors: 20 times faster than from uint8 directly.
    left, above, corner = (
        np.empty(width, np.int16),
        np.empty(width, np.int16),
        np.empty(width, np.int16),
    )
    for y in range(1, rows.shape[0]):
        row, upper, result = rows[y], rows[y - 1], filtered[y]
        result[0] = _PAETH
        result[1:4] = row[:3] - upper[:3]
        for x in range(3, width):
            left[x], above[x], corner[x] = row[x - 3], upper[x], upper[x - 3]
        for x in range(3, width):
            a, b, c = left[x], above[x], corner[x]
            to_left = np.int16(b - c)
            to_above = np.int16(a - c)
            to_corner = np.int16(to_left + to_above)
            to_left = np.int16(max(to_left, np.int16(-to_left)))
            to_above = np.int16(max(to_above, np.int16(-to_above)))
            to_corner = np.int16(max(to_corner, np.int16(-to_corner)))
            guess = b if to_above <= to_corner else c
            guess = a if (to_left <= to_above) & (to_left <= to_corner) else guess
            result[1 + x] = np.uint8(np.int16(row[x]) - guess)


__all__ = ["paeth", "scratch"]
