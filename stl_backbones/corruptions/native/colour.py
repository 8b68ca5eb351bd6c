"""brightness and saturate, which change HSV's value or saturation, and contrast.

The largest channel's result depends on its level alone, the smallest one's on those two: both come
from tables made with scikit-image's arithmetic. The middle one is linear between them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.levels import FRACTIONS, to_byte, to_level
from stl_backbones.corruptions.parameters import TABLES_KEPT, Saturate

# The middle channel in float32, on levels: a few roundings of values below 512.
_EDGE = 2e-4
# By the sixth of the colour circle; the seventh is the first again.
_LARGEST, _MIDDLE, _SMALLEST = (0, 1, 1, 2, 2, 0, 0), (1, 0, 2, 1, 0, 2, 1), (2, 2, 0, 0, 1, 1, 2)


class _Change(NamedTuple):
    """A change of value and saturation, and what becomes of the extreme channels."""

    values: Doubles  # (256,) new value, by the largest level
    factor: float  # of the saturation
    offset: float
    largest: Image  # (256,)
    smallest: Image  # (256, 256) by largest and smallest level
    tops: Floats  # (256,) new value in levels
    slopes: Floats  # (256, 256) levels lost per level below the largest


def _change(values: Doubles, factor: float, offset: float) -> _Change:
    largest, smallest = np.ogrid[:256, :256]
    span = np.maximum(largest - smallest, 0)
    saturation = (FRACTIONS[largest] - FRACTIONS[smallest]) / np.maximum(FRACTIONS[largest], 1e-300)
    saturation = np.where(span > 0, saturation, 0.0)
    if (factor, offset) != (1.0, 0.0):
        saturation = np.clip(saturation * factor + offset, 0, 1)
    low = values[:, None] * (1 - saturation)
    return _Change(
        values=values,
        factor=factor,
        offset=offset,
        largest=np.uint8(np.clip(values, 0, 1) * 255),
        smallest=np.uint8(np.clip(low, 0, 1) * 255),
        tops=(values * 255).astype(np.float32),
        slopes=(values[:, None] * 255 * saturation / np.maximum(span, 1)).astype(np.float32),
    )


@lru_cache(maxsize=TABLES_KEPT)
def _brightness(added: float) -> _Change:
    return _change(np.clip(FRACTIONS + added, 0, 1), 1.0, 0.0)


@lru_cache(maxsize=TABLES_KEPT)
def _saturate(saturate: Saturate) -> _Change:
    return _change(FRACTIONS, float(saturate.factor), saturate.offset)


def exact_brightness(image: Image, added: float, draws: Draws) -> Image:
    """HSV's value plus a constant."""
    return _apply(image, _brightness(added), _EDGE)


def fast_brightness(image: Image, added: float, draws: Draws) -> Image:
    """The same with the middle channel in float32."""
    return _apply(image, _brightness(added), 0.0)


def exact_saturate(image: Image, saturate: Saturate, draws: Draws) -> Image:
    """HSV's saturation times a factor plus a constant."""
    return _apply(image, _saturate(saturate), _EDGE)


def fast_saturate(image: Image, saturate: Saturate, draws: Draws) -> Image:
    """The same with the middle channel in float32."""
    return _apply(image, _saturate(saturate), 0.0)


def _apply(image: Image, change: _Change, edge: float) -> Image:
    out = np.empty_like(image)
    _change_pixels(image.reshape(-1, 3), out.reshape(-1, 3), change, np.float32(edge))
    return out


@kernel
def _change_pixels(image: Image, out: Image, change: _Change, edge: float) -> None:
    largest, smallest, tops, slopes = change.largest, change.smallest, change.tops, change.slopes
    for i in range(image.shape[0]):
        red, green, blue = image[i, 0], image[i, 1], image[i, 2]
        high, low = max(red, max(green, blue)), min(red, min(green, blue))
        top, bottom = largest[high], smallest[high, low]
        if high == low:
            # Hue 0: what saturation a grey pixel is given makes it red.
            out[i, 0], out[i, 1], out[i, 2] = top, bottom, bottom
            continue
        between = np.int32(red) + np.int32(green) + np.int32(blue) - np.int32(high) - np.int32(low)
        value = tops[high] - slopes[high, low] * np.float32(np.int32(high) - between)
        if abs(value - np.rint(value)) < edge:
            _change_in_order(red, green, blue, change, out[i])
            continue
        middle = to_byte(max(value, np.float32(0)))
        out[i, 0] = top if red == high else (bottom if red == low else middle)
        out[i, 1] = top if green == high else (bottom if green == low else middle)
        out[i, 2] = top if blue == high else (bottom if blue == low else middle)


@kernel
def _change_in_order(red: Any, green: Any, blue: Any, change: _Change, out: Image) -> None:
    """One pixel through scikit-image's ``rgb2hsv`` and ``hsv2rgb``, in its order of operations."""
    high, low = max(red, max(green, blue)), min(red, min(green, blue))
    value, span = FRACTIONS[high], FRACTIONS[high] - FRACTIONS[low]
    saturation = span / value
    if change.factor != 1.0:
        saturation = min(max(saturation * change.factor + change.offset, 0.0), 1.0)
    value = change.values[high]
    hue = _hue(red, green, blue, span)
    sector = int(hue * 6)
    part = hue * 6 - sector
    part = part if sector % 2 else 1 - part
    top, bottom = to_level(value), to_level(value * (1 - saturation))
    middle = to_level(value * (1 - part * saturation))
    # Which channel is the largest, the middle and the smallest in a sixth of the colour circle.
    out[_LARGEST[sector]], out[_MIDDLE[sector]], out[_SMALLEST[sector]] = top, middle, bottom


@kernel
def _hue(red: Any, green: Any, blue: Any, span: float) -> float:
    """0 to 1; where two channels are largest the later one counts."""
    high = max(red, max(green, blue))
    if blue == high:
        hue = 4.0 + (FRACTIONS[red] - FRACTIONS[green]) / span
    elif green == high:
        hue = 2.0 + (FRACTIONS[blue] - FRACTIONS[red]) / span
    else:
        hue = (FRACTIONS[green] - FRACTIONS[blue]) / span
    hue = hue / 6.0
    if hue < 0.0:
        hue += 1.0
    elif hue >= 1.0:
        hue -= 1.0
    return float(hue)


def exact_contrast(image: Image, left: float, draws: Draws) -> Image:
    """Each channel drawn towards its mean."""
    return _contrast(image, left, round_ties=True)


def fast_contrast(image: Image, left: float, draws: Draws) -> Image:
    """The same with means from histograms."""
    return _contrast(image, left, round_ties=False)


def _contrast(image: Image, left: float, *, round_ties: bool) -> Image:
    counts = np.stack(
        [cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel() for channel in range(3)]
    ).astype(np.float64)
    means = counts @ FRACTIONS / counts.sum(axis=1)
    levels = ((FRACTIONS - means[:, None]) * left + means[:, None]) * 255
    if round_ties and np.any((np.abs(levels - np.rint(levels)) < 1e-6) & (counts > 0)):
        # A close call: the mean's last digits count, and they depend on numpy's order of adding.
        means = np.mean(image / 255.0, axis=(0, 1))
        levels = np.clip((FRACTIONS - means[:, None]) * left + means[:, None], 0, 1) * 255
    table = np.clip(levels, 0, 255).astype(np.uint8).T.copy()
    return np.asarray(cv2.LUT(image, table[None]), dtype=np.uint8)
