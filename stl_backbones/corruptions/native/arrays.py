"""Names of array types in the kernels' signatures; shapes are in the docstrings."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Shorts = npt.NDArray[np.int16]
Bits = npt.NDArray[np.uint16]
Words = npt.NDArray[np.uint32]
Longs = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Reals = npt.NDArray[np.floating[Any]]
