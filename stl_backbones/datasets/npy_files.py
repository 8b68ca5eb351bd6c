"""``.npy`` files of images and of labels, mapped from disk and never run as code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.image_files import is_clutter
from stl_backbones.paths import check_file
from stl_backbones.plain_files import map_array

LABELS = "labels.npy"
CLEAN_IMAGES = ("clean.npy", "images.npy")


def image_files(root: Path) -> list[Path]:
    """The ``.npy`` files of a corrupted copy: all of a folder but clean images and labels."""
    others = (LABELS, *CLEAN_IMAGES)
    files = (file for file in root.glob("*.npy") if not is_clutter(file.name))
    return sorted(file for file in files if file.name not in others)


def map_images(path: str | Path) -> npt.NDArray[np.uint8]:
    """Map ``(N, H, W, 3)`` uint8 images.

    Raises:
        MissingFileError: If there is no such file.
        InputError: If it holds anything else, or is not whole.
    """
    found = map_array(check_file(path, "file"))
    if found.dtype != np.uint8 or found.ndim != 4 or found.shape[3] != 3 or not found.size:
        raise InputError(
            f"'{path}' holds {_described(found)}; expected images as (N, H, W, 3) uint8, RGB"
        )
    return found


def read_labels(path: str | Path) -> npt.NDArray[np.int64]:
    """Read ``(N,)`` labels, whole numbers from 0 on.

    Raises:
        MissingFileError: If there is no such file.
        InputError: If it holds anything else, or is not whole.
    """
    found = map_array(check_file(path, "file"))
    if found.dtype.kind not in "iu" or found.ndim != 1 or not found.size:
        raise InputError(f"'{path}' holds {_described(found)}; expected whole numbers as (N,)")
    if int(found.min()) < 0:
        raise InputError(f"'{path}' holds label {found.min()}; expected labels from 0 on")
    return np.array(found, np.int64)


def _described(found: npt.NDArray[Any]) -> str:
    return f"an array {found.shape} {found.dtype}"


__all__ = ["CLEAN_IMAGES", "LABELS", "image_files", "map_images", "read_labels"]
