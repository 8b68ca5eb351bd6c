"""What a checkpoint may hold beside tensors and plain data, and what is taken for it.

Training scripts put options, metrics and histories beside the weights. Nothing that a file names is
run: a stand-in checks what it is given, and keeps plain data.
"""

from __future__ import annotations

import argparse
import math
import pickle
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

_STATISTICS = frozenset({"current", "data", "exponential_moving_average", "max", "mean", "min"})
_PLAIN_CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


class PickledDtype:
    """Stands in for a pickled ``np.dtype``, whose ``__setstate__`` a crafted file could crash.

    Args:
        code: Kind and size, for example ``'f8'``.
    """

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        del align, copy  # pickled, always these
        if code not in _PLAIN_CODES:
            raise pickle.UnpicklingError(f"GLOBAL numpy.dtype {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, order, *rest = state
        if (version, rest) != (3, [None, None, None, -1, -1, 0]) or order not in "<>|=":
            raise pickle.UnpicklingError("GLOBAL numpy.dtype of no plain number")
        self.dtype = self.dtype.newbyteorder(order)


def _plain_scalar(dtype: PickledDtype | np.dtype, data: bytes) -> np.generic:
    plain = dtype.dtype if isinstance(dtype, PickledDtype) else np.dtype(dtype)
    if plain.hasobject or len(data) != plain.itemsize:
        raise pickle.UnpicklingError("a numpy scalar of another size than its type")
    return np.frombuffer(data, plain)[0]


class PickledArray:
    """Stands in for a pickled ``np.ndarray`` of plain numbers.

    Attributes:
        array: The array, once its bytes are checked; empty in a file that gives none.
    """

    array: np.ndarray = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, kind, is_fortran, data = state
        plain = version == 1 and isinstance(kind, PickledDtype) and isinstance(data, bytes)
        if not plain or len(data) != math.prod(shape) * kind.dtype.itemsize:
            raise pickle.UnpicklingError("GLOBAL numpy.ndarray of no plain numbers")
        order: Any = "F" if is_fortran else "C"
        self.array = np.frombuffer(data, kind.dtype).reshape(shape, order=order).copy()


def _empty_array(kind: type, shape: tuple[int, ...], code: bytes) -> PickledArray:
    if not issubclass(kind, PickledArray) or shape != (0,) or code != b"b":
        raise pickle.UnpicklingError("GLOBAL numpy array of no plain numbers")
    return kind()


class PickledHistory:
    """Stands in for mmengine's ``HistoryBuffer``, the values of a logged scalar.

    Attributes:
        state: Its attributes, without its methods, which it pickles too.
    """

    state: Mapping[str, Any] = MappingProxyType({})

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = {k: v for k, v in state.items() if k != "statistics_methods"}


def _history_statistic(owner: type, name: str) -> str:
    """Stands in for the ``getattr`` by which a pickled history names its own methods."""
    is_history = isinstance(owner, type) and issubclass(owner, PickledHistory)
    if not is_history or name not in _STATISTICS:
        raise pickle.UnpicklingError(f"GLOBAL builtins.getattr of {owner!r}, {name!r}")
    return name


# By the name a file calls it. NumPy 1 and 2 pickle an array and a scalar under two names.
SAFE_TYPES: dict[str, Any] = {
    "argparse.Namespace": argparse.Namespace,
    "builtins.getattr": _history_statistic,
    "mmengine.logging.history_buffer.HistoryBuffer": PickledHistory,
    "numpy.dtype": PickledDtype,
    "numpy.ndarray": PickledArray,
    "numpy.core.multiarray._reconstruct": _empty_array,
    "numpy._core.multiarray._reconstruct": _empty_array,
    "numpy.core.multiarray.scalar": _plain_scalar,
    "numpy._core.multiarray.scalar": _plain_scalar,
}


@contextmanager
def trusting_only() -> Iterator[None]:
    """Let ``weights_only`` take `SAFE_TYPES`, and nothing else that the process trusts."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals([_named(kind, name) for name, kind in SAFE_TYPES.items()])
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # the refusal says it
            yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _named(kind: Any, name: str) -> Any:
    """What acts as `kind` and bears the name: torch 2.5 has no other way to give it one."""
    if f"{kind.__module__}.{kind.__qualname__}" == name:
        return kind
    bearer: Any = type(kind.__name__, (kind,), {}) if isinstance(kind, type) else partial(kind)
    bearer.__module__, _, bearer.__name__ = name.rpartition(".")
    bearer.__qualname__ = bearer.__name__
    return bearer


__all__ = ["SAFE_TYPES", "PickledArray", "PickledHistory", "trusting_only"]
