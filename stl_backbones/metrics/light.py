"""How bright an image is, and how much its levels differ: properties by which reports cut."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LIGHT = ("brightness", "contrast")  # samples of the clean cell, whatever the task
_SIDE = 256  # pixels of the grid along the shorter side, at least: more change no third


def brightness_and_contrast(image: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Mean and standard deviation of an image's grey levels, the mean of its three channels.

    Args:
        image: ``(H, W, 3)`` uint8, channels in any order; of large images every n-th row and
            column is read.

    Returns:
        Brightness and RMS contrast, fractions of the full level.

    References:
        Peli 1990, "Contrast in complex images", equation 3.
    """
    step = max(min(image.shape[:2]) // _SIDE, 1)
    grey = image[::step, ::step].sum(axis=2, dtype=np.float32) / (3 * 255)
    return float(grey.mean(dtype=np.float64)), float(grey.std(dtype=np.float64))


__all__ = ["LIGHT", "brightness_and_contrast"]
