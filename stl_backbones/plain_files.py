"""Files of plain data, JSON and NumPy's arrays: what a damaged one raises becomes one line."""

from __future__ import annotations

import json
import tokenize
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError

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
        with np.errstate(over="raise"):  # of the size in bytes
            found = np.lib.format.open_memmap(path, mode="r")  # refuses Python objects
    except (*NPY_DAMAGE, OSError) as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"'{path}' is no whole .npy file of numbers: {reason}") from error
    expected = found.offset + found.nbytes
    size = Path(path).stat().st_size
    if size != expected:
        raise InputError(f"'{path}' has {size} bytes, its header says {expected}: is it damaged?")
    return found


__all__ = ["NPY_DAMAGE", "map_array", "parse_json", "read_json"]
