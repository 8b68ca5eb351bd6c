"""The test images of CIFAR-10 and CIFAR-100, as their authors' archives hold them.

References:
    Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"; the binary and the
    Python version, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.paths import check_file

SIDE = 32  # pixels
_PIXELS = 3 * SIDE * SIDE  # bytes of an image: all red values, all green ones, all blue ones


@dataclass(frozen=True)
class Archive:
    """A version of one of the two data sets.

    Attributes:
        title: The data set's name.
        file: The test images' file.
        names_file: The file of the classes' names.
        folder: What the archive's folder is called.
        images: Opens them, ``(N, 32, 32, 3)`` uint8 RGB, by the file's path.
        labels: Reads their labels ``(N,)``, by the file's path.
        names: Reads the classes' names, by their file's path.
    """

    title: str
    file: str
    names_file: str
    folder: str
    images: Callable[[Path], npt.NDArray[np.uint8]]
    labels: Callable[[Path], npt.NDArray[np.int64]]
    names: Callable[[Path], tuple[str, ...]]


def _binary_rows(path: Path, labels: int) -> npt.NDArray[np.uint8]:
    """Rows of labels, one byte each, and pixels; mapped."""
    size, row = check_file(path, "file").stat().st_size, labels + _PIXELS
    if not size or size % row:
        raise InputError(
            f"'{path}' has {size} bytes, which is no number of rows of {row} (label and image): "
            "is it damaged?"
        )
    return np.memmap(path, np.uint8, mode="r").reshape(-1, row)


def _as_images(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """``(N, 3072)`` as ``(N, 32, 32, 3)``, nothing copied."""
    return rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)


def binary_images_10(path: Path) -> npt.NDArray[np.uint8]:
    """Images of the binary version of CIFAR-10: rows of label, image."""
    return _as_images(_binary_rows(path, 1)[:, 1:])


def binary_images_100(path: Path) -> npt.NDArray[np.uint8]:
    """Images of the binary version of CIFAR-100: rows of coarse label, fine label, image."""
    return _as_images(_binary_rows(path, 2)[:, 2:])


def _binary_labels_10(path: Path) -> npt.NDArray[np.int64]:
    return _binary_rows(path, 1)[:, 0].astype(np.int64)


def _binary_labels_100(path: Path) -> npt.NDArray[np.int64]:
    return _binary_rows(path, 2)[:, 1].astype(np.int64)


def read_names(path: Path) -> tuple[str, ...]:
    """Class names, one a line; the archives' files end with an empty one.

    Raises:
        MissingFileError: If there is no such file.
        InputError: If it is no text, or a name is there twice.
    """
    hint = "expected the classes' names, one a line, as in the archive"
    try:
        text = check_file(path, "file", hint=hint).read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"'{path}' is no text; {hint}") from None
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(f"'{path}' names {len(set(names))} different classes; {hint}")
    return names


class _Kind:
    """Stands in for the pickled ``np.dtype`` of bytes."""

    def __init__(self, code: str | bytes, align: bool = False, copy: bool = True) -> None:
        del align, copy
        if code not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"numbers of type {code!r}")

    def __setstate__(self, state: Any) -> None:
        """The byte order, which bytes have not."""


class _Array:
    """Stands in for a pickled ``np.ndarray`` of bytes; empty in a file that gives none."""

    array: npt.NDArray[np.uint8] = np.empty(0, np.uint8)

    def __setstate__(self, state: Any) -> None:
        version, shape, kind, is_fortran, data = state
        if version != 1 or not isinstance(kind, _Kind) or is_fortran or type(data) is not bytes:
            raise pickle.UnpicklingError("an array of something else than bytes")
        self.array = np.frombuffer(data, np.uint8).reshape(shape)


def _empty_array(kind: Any, shape: Any, code: Any) -> _Array:
    del shape, code
    if kind is not _Array:
        raise pickle.UnpicklingError("an array of a type of its own")
    return _Array()


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Kind,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
}
_DAMAGE = (pickle.UnpicklingError, ValueError, TypeError, AttributeError, KeyError, IndexError,
           EOFError, MemoryError, OverflowError, RecursionError, AssertionError,
           struct.error)  # fmt: skip


class _PlainUnpickler(pickle._Unpickler):
    """Reads lists, dicts, strings, numbers and arrays of bytes; whatever else is named is refused.

    Python's own and not the one in C, which reserves as much memory as a crafted file says.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError(f"it names the object {pid!r}")

    def get_extension(self, code: int) -> None:
        raise pickle.UnpicklingError(f"it names the extension {code}")


def _unpickled(path: Path) -> dict[bytes, Any]:
    """What a file of the Python version holds.

    Raises:
        InputError: If it is more than plain data, or damaged.
    """
    content = check_file(path, "file").read_bytes()
    try:
        found = _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
        if type(found) is not dict:
            raise pickle.UnpicklingError(f"it holds a {type(found).__name__}")
    except _DAMAGE as error:
        raise InputError(
            f"'{path}' is no file of CIFAR's Python version, or damaged: {error}; the binary "
            "version (cifar-10-binary.tar.gz, cifar-100-binary.tar.gz) needs no pickle"
        ) from error
    return found


def _entry(path: Path, key: bytes) -> Any:
    found = _unpickled(path)
    if key not in found:
        raise InputError(f"'{path}' has no '{key.decode()}'; expected a file of CIFAR's archive")
    return found[key]


def python_images(path: Path) -> npt.NDArray[np.uint8]:
    """Images of the Python version, in memory."""
    data = _entry(path, b"data")
    if not isinstance(data, _Array) or data.array.ndim != 2 or data.array.shape[1] != _PIXELS:
        raise InputError(f"'{path}': expected 'data' as (N, {_PIXELS}) uint8")
    return _as_images(data.array)


def _python_labels(path: Path, key: bytes) -> npt.NDArray[np.int64]:
    found = _entry(path, key)
    if type(found) is not list or not all(type(one) is int and 0 <= one < 256 for one in found):
        raise InputError(f"'{path}': expected '{key.decode()}' as a list of class numbers")
    return np.array(found, np.int64)


def _python_names(path: Path, key: bytes) -> tuple[str, ...]:
    found = _entry(path, key)
    if type(found) is not list or not all(type(one) is bytes for one in found):
        raise InputError(f"'{path}': expected '{key.decode()}' as a list of names")
    return tuple(one.decode("ascii", errors="replace") for one in found)


def _labels_10(path: Path) -> npt.NDArray[np.int64]:
    return _python_labels(path, b"labels")


def _labels_100(path: Path) -> npt.NDArray[np.int64]:
    return _python_labels(path, b"fine_labels")


def _names_10(path: Path) -> tuple[str, ...]:
    return _python_names(path, b"label_names")


def _names_100(path: Path) -> tuple[str, ...]:
    return _python_names(path, b"fine_label_names")


# Of the two versions of a data set, which hold the same images, the first that is there is read.
ARCHIVES = (
    Archive("CIFAR-10", "test_batch.bin", "batches.meta.txt", "cifar-10-batches-bin",
            binary_images_10, _binary_labels_10, read_names),
    Archive("CIFAR-10", "test_batch", "batches.meta", "cifar-10-batches-py",
            python_images, _labels_10, _names_10),
    Archive("CIFAR-100", "test.bin", "fine_label_names.txt", "cifar-100-binary",
            binary_images_100, _binary_labels_100, read_names),
    Archive("CIFAR-100", "test", "meta", "cifar-100-python",
            python_images, _labels_100, _names_100),
)  # fmt: skip

__all__ = ["ARCHIVES", "SIDE", "Archive", "read_names"]
