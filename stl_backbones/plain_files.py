"""Files of plain data, JSON and NumPy's arrays: what a damaged one raises becomes one line."""

from __future__ import annotations

import functools
import io
import json
import math
import threading
import tokenize
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as _npy

from stl_backbones.errors import InputError

npy: Any = _npy  # it has no types
_parsing = threading.Lock()
# What NumPy raises on the header of a damaged array: it is read as Python's own literals.
NPY_DAMAGE = (ValueError, TypeError, LookupError, AttributeError, EOFError, SyntaxError,
              ArithmeticError, MemoryError, RecursionError, tokenize.TokenError)  # fmt: skip


def parse_json(content: str | bytes) -> Any:
    """What a text of JSON holds.

    Raises:
        InputError: If it is no JSON, no UTF-8, or nested deeper than Python reads.
    """
    try:
        return json.loads(content if isinstance(content, str) else content.decode("utf-8"))
    except ValueError as error:  # a number of more digits than Python reads is one, too
        raise InputError(f"truncated or no JSON in UTF-8: {error}") from error
    except RecursionError as error:
        raise InputError("nested too deep to be read as JSON") from error


def read_json(path: str | Path) -> Any:
    """What a file of JSON holds.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: If it is no JSON, no UTF-8, or nested deeper than Python reads.
    """
    content = Path(path).read_bytes()
    try:
        return parse_json(content)
    except InputError as error:
        raise InputError(f"'{path}' is {error}") from error


def map_array(path: str | Path) -> npt.NDArray[Any]:
    """The array of a ``.npy`` file, mapped from disk; nothing in it is run as code.

    Raises:
        InputError: If it holds anything but numbers, or is not whole.
    """
    try:
        return view_array(np.memmap(path, np.uint8, mode="r"))
    except (*NPY_DAMAGE, OSError) as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"'{path}' is no whole .npy file of numbers: {reason}") from error


def view_array(content: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """The array that the bytes of a ``.npy`` file are, in the same memory.

    Raises:
        Exception: One of `NPY_DAMAGE`, if they are no whole array of plain values.
    """
    # Version 1 has two bytes for the length of the header, the later ones four.
    start = content[:12].tobytes()
    begin = 10 if start[6:7] == b"\x01" else 12
    begin += int.from_bytes(start[8:begin], "little")
    shape, is_fortran, dtype = _header(content[:begin].tobytes())
    data = content[begin:]
    # Values of no bytes each, of which NumPy makes some of one character, could be any number.
    if dtype.hasobject or not dtype.itemsize or data.size != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{data.size} bytes for {shape} values of type {dtype}")
    return data.view(dtype).reshape(shape, order="F" if is_fortran else "C")


@functools.lru_cache(maxsize=64)  # the cells of a sweep have the same few
def _header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of an array."""
    stream = io.BytesIO(header)
    # NumPy reads it with `ast`, whose depth counter the threads of Python 3.11 share: two that
    # parse at once end in "SystemError: AST constructor recursion depth mismatch".
    with _parsing:
        version = npy.read_magic(stream)
        is_short = version == (1, 0)
        read_header = npy.read_array_header_1_0 if is_short else npy.read_array_header_2_0
        shape, is_fortran, dtype = read_header(stream)
    return shape, is_fortran, dtype


__all__ = ["NPY_DAMAGE", "map_array", "parse_json", "read_json", "view_array"]
