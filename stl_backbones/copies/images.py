"""Clean images in, encoded files out.

What is read: 8-bit images. Grey ones, palettes without transparency and CMYK JPEGs are turned into
RGB by the decoder, the way the data set's own loader does it; transparency, 16 bits per channel,
several frames and truncated files are refused.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import PIL.Image

from stl_backbones.copies.png import ENCODER, encode_png
from stl_backbones.corruptions.decoding import PNG_START, decode
from stl_backbones.corruptions.images import (
    IMAGE_DAMAGE,
    MAX_RATIO,
    MIN_SIDE,
    Image,
    UnfitImageError,
)

_RGB_MODES = frozenset({"RGB", "L", "P", "1", "CMYK", "YCbCr"})
_PNG_DEPTH = 24  # the byte of IHDR that holds the bit depth
# Who reads clean images, in tests of a model as in the making of a copy.
OPENCV = "OpenCV as in OpenMMLab, EXIF orientation followed"
PILLOW = "Pillow as in timm and torchvision, EXIF orientation not followed"
# Hendrycks & Dietterich 2019, make_imagenet_c.py: Resize(256), CenterCrop(224), quality 85.
IMAGENET_RESIZE, IMAGENET_CROP, IMAGENET_QUALITY = 256, 224, 85


@dataclass(frozen=True)
class Encoding:
    """How a corrupted image becomes a file.

    Attributes:
        kind: ``'png'`` or ``'jpeg'``.
        suffix: Ending of a file's name where the layout leaves it open.
        quality: JPEG's; ``None`` for PNG.
    """

    kind: str
    suffix: str
    quality: int | None = None

    @property
    def description(self) -> str:
        """For the manifest, for example ``'jpeg quality=85'``."""
        return f"{self.kind} " + (ENCODER if self.quality is None else f"quality={self.quality}")

    def encode(self, image: Image) -> bytes:
        """The file of an ``(H, W, 3)`` uint8 RGB image."""
        if self.quality is None:
            return encode_png(image)
        buffer = io.BytesIO()
        PIL.Image.fromarray(image).save(buffer, "JPEG", quality=self.quality, optimize=True)
        return buffer.getvalue()


PNG = Encoding("png", ".png")
JPEG = Encoding("jpeg", ".jpg", quality=95)  # the highest that Pillow advises
JPEG_HENDRYCKS = Encoding("jpeg", ".JPEG", quality=IMAGENET_QUALITY)


def read_image(path: Path, *, crop: bool = False, reader: str = OPENCV) -> Image:
    """Read a clean image as the data set's own loader does.

    Args:
        path: The file, any format that Pillow and OpenCV read.
        crop: Resize the shorter side to 256, and take the central 224x224, as torchvision does.
        reader: `OPENCV` or `PILLOW`.

    Returns:
        ``(H, W, 3)`` uint8 RGB, sides at least 32.

    Raises:
        UnfitImageError: If the image cannot be used: too small, transparent, 16-bit, animated,
            truncated, or no image at all.
        OSError: If the file cannot be read.
    """
    if not path.is_file():  # a broken link, or a pipe, which would be read for ever
        raise UnfitImageError("there is no such file")
    content = path.read_bytes()
    opened = _open_whole(content)
    width, height = opened.size
    if max(width, height) > MAX_RATIO * min(width, height):
        raise UnfitImageError(f"expected sides of at most {MAX_RATIO} to 1, got {width}x{height}")
    image = (
        _decode(content) if reader == OPENCV else np.array(opened.convert("RGB"), dtype=np.uint8)
    )
    image = _crop(PIL.Image.fromarray(image)) if crop else image
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise UnfitImageError(f"sides must be at least {MIN_SIDE} pixels, got {width}x{height}")
    return image


def _open_whole(content: bytes) -> PIL.Image.Image:
    if not content:
        raise UnfitImageError("the file is empty")
    try:
        image = PIL.Image.open(io.BytesIO(content))
        _check_kind(image, content)
        image.load()  # OpenCV hands out the half of a truncated JPEG, Pillow complains
        if image.mode == "P" and image.palette is None:
            raise UnfitImageError("its palette is missing")
    except UnfitImageError:
        raise
    except PIL.Image.UnidentifiedImageError:
        raise UnfitImageError("this is no image, or of an unknown format") from None
    except IMAGE_DAMAGE as error:
        raise UnfitImageError(f"the file is damaged ({error})") from error
    return image


def _check_kind(image: PIL.Image.Image, content: bytes) -> None:
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        raise UnfitImageError(
            f"it has transparency (mode {image.mode}); save it as RGB, on the background you want"
        )
    deep_png = content.startswith(PNG_START) and content[_PNG_DEPTH] == 16
    tiles = getattr(image, "tile", [])
    if image.mode not in _RGB_MODES or deep_png or any(";16" in str(tile) for tile in tiles):
        raise UnfitImageError(
            f"expected 8 bits per channel, got mode {image.mode}, 16 bits or more"
        )
    # A camera's MPO is a JPEG with further views behind it.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise UnfitImageError(f"it has {image.n_frames} frames")  # type: ignore[attr-defined]


def _decode(content: bytes) -> Image:
    decoded = decode(content, cv2.IMREAD_COLOR)
    if decoded is None:
        raise UnfitImageError("OpenCV cannot decode it")
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _crop(image: PIL.Image.Image) -> Image:
    """Torchvision's Resize(256) and CenterCrop(224) of a Pillow image."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    if short != IMAGENET_RESIZE:
        length = int(IMAGENET_RESIZE * long / short)
        size = (IMAGENET_RESIZE, length) if width <= height else (length, IMAGENET_RESIZE)
        image = image.resize(size, PIL.Image.Resampling.BILINEAR)
    left = round((image.size[0] - IMAGENET_CROP) / 2.0)
    top = round((image.size[1] - IMAGENET_CROP) / 2.0)
    cropped = image.crop((left, top, left + IMAGENET_CROP, top + IMAGENET_CROP))
    return np.array(cropped, dtype=np.uint8)
