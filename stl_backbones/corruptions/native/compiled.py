"""Numba kernels: compiled once per machine, kept on disk, announced the first time.

Every kernel runs without the GIL, holds no state, and touches no global generator, so that threads
can share it. Only modules of this package import numba, and only when a mode needs them.

Numba notices a change of the file that a kernel is in, not of the files whose kernels it calls. So
all kernels are kept in a folder that is named by the source of all of them.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

_PACKAGE = Path(__file__).parents[2]
SOURCES = tuple(
    _PACKAGE / name
    for name in (
        "corruptions/bar", "corruptions/driving", "corruptions/native",
        "corruptions/parameters.py", "copies/png_kernels.py",
    )
)  # fmt: skip
_PREFIX = "kernels-"
_config: Any = numba.config


def kernel(function: Function) -> Function:
    """Compile with IEEE arithmetic in the order written: the exact mode depends on it."""
    return _compile(function, fastmath=False)


def quick_kernel(function: Function) -> Function:
    """Compile with multiply-add contraction and reordering: float32 results to a few ulp."""
    return _compile(function, fastmath={"contract", "reassoc", "nsz", "arcp"})


def _compile(function: Function, *, fastmath: Any) -> Function:
    chosen = _config.CACHE_DIR
    _config.CACHE_DIR = str(cache_folder())  # read while a function is decorated, only then
    try:
        decorate = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=fastmath)
        return cast("Function", decorate(function))
    finally:
        _config.CACHE_DIR = chosen


@lru_cache(maxsize=1)
def cache_folder() -> Path:
    """Where the kernels of this source are kept; made, and announced, if it is not there.

    ``NUMBA_CACHE_DIR`` is heeded; else it is beside the bytecode, or in the user's cache folder
    where that cannot be written.
    """
    name = _PREFIX + stamp(SOURCES)
    for root in _roots():
        folder = root / name
        if folder.is_dir() and os.access(folder, os.W_OK):
            return folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        for old in root.glob(f"{_PREFIX}*"):
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)
        logging.getLogger("stl_backbones").warning(
            "compiling the corruption kernels for this machine, once, as they are used "
            "(up to a minute in all); kept in '%s'",
            folder,
        )
        return folder
    raise OSError(
        errno.EACCES,
        f"no folder for compiled kernels can be written, tried {', '.join(map(str, _roots()))}; "
        "set NUMBA_CACHE_DIR to one that can",
    )


def stamp(sources: Iterable[Path]) -> str:
    """16 hexadecimal digits that change with any of these Python files, or any in these folders."""
    digest = hashlib.blake2b(digest_size=8)
    for source in sources:
        for path in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
            content = path.read_bytes()
            name = path.relative_to(source.parent).as_posix()
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _roots() -> list[Path]:
    if _config.CACHE_DIR:
        return [Path(_config.CACHE_DIR)]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [Path(__file__).parent / "__pycache__", home / "stl_backbones"]
