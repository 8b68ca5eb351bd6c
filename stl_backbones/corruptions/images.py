"""Which images can be corrupted."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt
import PIL.Image

from stl_backbones.errors import InputError

MIN_SIDE = 32  # imagecorruptions fails below it
MAX_RATIO = 200  # of an image's sides; a strip resized by its shorter side would fill the memory

# What Pillow raises on damaged files, by format and by what is damaged.
IMAGE_DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, EOFError,
    ArithmeticError, AssertionError, RuntimeError, MemoryError, struct.error, zlib.error,
    PIL.Image.DecompressionBombError,
)  # fmt: skip

Image = npt.NDArray[np.uint8]


class UnfitImageError(InputError):
    """An image that is whole, but of a kind that cannot be used as it is."""


def as_rgb(image: Image) -> Image:
    """Three channels, or an error that says what came.

    Args:
        image: ``(H, W, 3)``, ``(H, W, 1)`` or ``(H, W)`` uint8.

    Raises:
        ValueError: If it is of another type or shape, or too small.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise InputError(f"image must be a uint8 array, got {_describe_other(image)}")
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in {1, 3}:
        raise InputError(
            f"image must be (H, W, 3) RGB or (H, W) grey, got shape {image.shape}; "
            f"{_advise_shape(image.shape)}"
        )
    check_sides(*image.shape[:2])
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _describe_other(image: object) -> str:
    """What came instead of an array of bytes, and how to make one of it."""
    kind = type(image)
    if kind.__module__.partition(".")[0] == "torch":
        shape = tuple(getattr(image, "shape", ()))
        return (
            f"a torch tensor of shape {shape}; give one image of it as an array, "
            "image.permute(1, 2, 0).cpu().numpy(), with values 0..255"
        )
    if kind.__module__.partition(".")[0] == "PIL":
        return "a PIL image; give np.array(image.convert('RGB'))"
    dtype = getattr(image, "dtype", None)
    if dtype is None:
        return kind.__name__
    hint = "; round values of 0..255, or of 0..1 times 255" if dtype.kind == "f" else ""
    return f"{dtype}{hint}"


def _advise_shape(shape: tuple[int, ...]) -> str:
    if len(shape) == 4:
        return f"this is a batch of {shape[0]} images: corrupt one after the other"
    if len(shape) == 3 and shape[0] in {1, 3}:
        return "its channels come first (C, H, W): give image.transpose(1, 2, 0)"
    return "drop an alpha channel first"


def check_sides(height: int, width: int) -> None:
    """Refuse an image that is too small to be corrupted.

    Raises:
        ValueError: If a side is below `MIN_SIDE`.
    """
    if min(height, width) < MIN_SIDE:
        raise InputError(
            f"image sides must be at least {MIN_SIDE} pixels to be corrupted, got {width}x{height}"
        )
