"""The pictures of frost that come with the imagecorruptions package."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from stl_backbones.errors import MissingFileError
from stl_backbones.packages import require

_FILES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg", "frost6.jpg")
FROST_PICTURES = len(_FILES)
FIRST_FROST_PICTURES = 5  # imagecorruptions 1.1.2 and CIFAR-10-C draw from these only
_ENLARGED = 1.1  # room for a random crop


def frost_picture(
    index: int, height: int, width: int, *, scale: float = 0.0
) -> npt.NDArray[np.uint8]:
    """A picture of frost, larger than an image as the package makes it, or scaled.

    Args:
        index: 0 to 5.
        height: Of the image to be covered.
        width: Of the image to be covered.
        scale: Of the picture, as CIFAR-10-C makes it: bilinear, whatever the image's size; 0 means
            by the image's size, bicubic.

    Returns:
        ``(h, w, 3)`` uint8 RGB, at least a tenth larger than the image unless scaled; read-only.

    Raises:
        ImportError: If the package is missing.
        FileNotFoundError: If its pictures are.
    """
    rows, columns = _picture(index).shape[:2]
    if scale:
        return _scaled(index, scale)
    scale = 1.0
    if rows < height or columns < width:
        # The package looks only at the sides that are too short.
        scale = max(
            height / rows if rows < height else 0.0, width / columns if columns < width else 0.0
        )
    scale *= _ENLARGED
    return _resized(index, int(np.ceil(rows * scale)), int(np.ceil(columns * scale)))


@lru_cache(maxsize=12)
def _resized(index: int, rows: int, columns: int) -> npt.NDArray[np.uint8]:
    return _as_rgb(cv2.resize(_picture(index), (columns, rows), interpolation=cv2.INTER_CUBIC))


@lru_cache(maxsize=FROST_PICTURES)
def _scaled(index: int, scale: float) -> npt.NDArray[np.uint8]:
    return _as_rgb(cv2.resize(_picture(index), None, fx=scale, fy=scale))


def _as_rgb(picture: cv2.typing.MatLike) -> npt.NDArray[np.uint8]:
    rgb = np.ascontiguousarray(picture[..., ::-1], dtype=np.uint8)
    rgb.flags.writeable = False
    return rgb


@lru_cache(maxsize=FROST_PICTURES)
def _picture(index: int) -> npt.NDArray[np.uint8]:
    path = _folder() / _FILES[index]
    picture = cv2.imread(str(path)) if path.is_file() else None
    if picture is None:
        raise MissingFileError(
            f"frost needs '{path}', which comes with the imagecorruptions package; install it anew"
        )
    return np.asarray(picture, dtype=np.uint8)


def _folder() -> Path:
    require("frost, for its pictures,", "imagecorruptions")
    found = importlib.util.find_spec("imagecorruptions")
    return Path(str(found and found.origin)).parent / "frost"
