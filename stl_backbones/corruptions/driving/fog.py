"""fog_depth: homogeneous fog over a scene of known depth."""

from __future__ import annotations

import cv2
import numpy as np

from stl_backbones.corruptions.driving.light import check_level
from stl_backbones.corruptions.native.arrays import Floats, Image
from stl_backbones.corruptions.native.compiled import quick_kernel

CONTRAST = 2.996  # -ln(0.05): visibility is where 5 % of the contrast is left
_WINDOW = 15  # pixels, of the dark channel
_BRIGHTEST = 1000  # the airlight comes from one pixel in so many


def fog_depth(
    image: Image,
    level: float,
    rng: np.random.Generator,  # noqa: ARG001  every corruption takes one
    depth: Floats,
) -> Image:
    """``t I + (1 - t) L``, ``t = exp(-beta l)``, ``beta = 2.996 / visibility``.

    On sRGB values, not linear light, as Foggy Cityscapes is (Sakaridis et al. 2018,
    arXiv:1708.07819); unlike there, t is not refined by a guided filter. Nothing is drawn.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        level: The meteorological optical range in metres, 5..100000; fog means below 1000.
        rng: Unused.
        depth: ``(H, W)`` float32, distance along the ray in metres; infinite for the sky.

    Raises:
        InputError: If the level is not in that range.
    """
    visibility = check_level("fog_depth", level, (5, 1e5), "m of visibility")
    through = np.exp(depth * np.float32(-CONTRAST / visibility))
    out = np.empty_like(image)
    _mix(image, through, airlight(image).astype(np.float32), out)
    return out


def airlight(image: Image) -> Image:
    """The fog's colour: of the haziest pixels the one with the median grey.

    The haziest are one in a thousand, an odd number, with the largest dark channel (minimum over
    channels and 15x15 pixels); of equals those that come first.

    Returns:
        ``(3,)`` uint8 RGB.
    """
    least = cv2.min(cv2.min(*cv2.split(image)[:2]), cv2.extractChannel(image, 2))
    dark = cv2.erode(least, np.ones((_WINDOW, _WINDOW), np.uint8)).reshape(-1)
    count = max(dark.size // _BRIGHTEST, 1)
    count += 1 - count % 2
    counts = cv2.calcHist([dark], [0], None, [256], [0, 256]).reshape(-1)
    at_least = np.cumsum(counts[::-1])[::-1]
    limit = int(np.flatnonzero(at_least >= count)[-1])
    above = np.flatnonzero(dark > limit)
    equal = np.flatnonzero(dark == limit)[: count - len(above)]
    pixels = image.reshape(-1, 3)[np.concatenate([above, equal])]
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    chosen: Image = pixels[np.argsort(grey, kind="stable")[count // 2]]
    return chosen


@quick_kernel
def _mix(image: Image, through: Floats, air: Floats, out: Image) -> None:
    height, width = image.shape[:2]
    for row in range(height):
        for i in range(width):
            share = through[row, i]
            for channel in range(3):
                value = share * (np.float32(image[row, i, channel]) - air[channel]) + air[channel]
                out[row, i, channel] = np.uint8(value + np.float32(0.5))
