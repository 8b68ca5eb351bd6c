"""Python's collector of reference cycles, while a command starts.

Importing torch and OpenMMLab makes half a million objects that stay. By default the collector goes
through them again and again: a fifth of what a command takes to start, once more at its end, and
0.4 s for each data set of mmengine, which asks for a collection.
"""

from __future__ import annotations

import gc

_USUAL = gc.get_threshold()
_RARE = (100_000, 10, 10)  # objects made and not freed between two collections; Python's are 700


def collect_rarely() -> None:
    """Have the collector run rarely until `collect_as_usual`: a command's first step."""
    if gc.isenabled() and gc.get_threshold() == _USUAL:
        gc.set_threshold(*_RARE)


def collect_as_usual() -> None:
    """Have the collector run as usual, and pass over what is there: libraries, which stay.

    Tensors in cycles are freed in time again. Without `collect_rarely`, nothing changes.
    """
    if gc.get_threshold() == _RARE:
        gc.freeze()
        gc.set_threshold(*_USUAL)


__all__ = ["collect_as_usual", "collect_rarely"]
