"""Python's collector of reference cycles, while a command starts.

Importing torch and OpenMMLab makes half a million objects that stay. By default the collector goes
through them again and again: a fifth of what a command takes to start, once more at its end, and
0.4 s for each data set of mmengine, which asks for a collection.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_USUAL = gc.get_threshold()
_RARE = (100_000, 10, 10)  # objects made and not freed between two collections; Python's are 700


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Have the collector run rarely, until `collect_as_usual` or the end of the block.

    Nothing changes where the process has thresholds of its own.
    """
    if gc.isenabled() and gc.get_threshold() == _USUAL:
        gc.set_threshold(*_RARE)
    try:
        yield
    finally:
        collect_as_usual()


def collect_as_usual() -> None:
    """Have the collector run as usual, and pass over what is there: libraries, which stay.

    From here on tensors in cycles are freed in time. Outside of `collecting_rarely` nothing
    changes.
    """
    if gc.get_threshold() == _RARE:
        gc.freeze()
        gc.set_threshold(*_USUAL)


__all__ = ["collect_as_usual", "collecting_rarely"]
