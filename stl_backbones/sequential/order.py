"""In which order images are visited: drawn once, the same for all models, processes and resumes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def visit_order(keys: Sequence[str], seed: int) -> npt.NDArray[np.int64]:
    """Images sorted by a hash of seed and id: a simple random order without replacement.

    Args:
        keys: The images' ids.
        seed: Decides the order. Chosen after looking at results, it voids every guarantee.

    Returns:
        ``(N,)`` indices into ``keys``.
    """
    digests = [hashlib.sha256(f"{seed}/{key}".encode()).digest() for key in keys]
    return np.array(sorted(range(len(keys)), key=digests.__getitem__), np.int64)


def order_digest(keys: Sequence[str]) -> str:
    """blake2b over ids in their order; 32 hexadecimal digits."""
    return hashlib.blake2b("\0".join(keys).encode(), digest_size=16).hexdigest()
