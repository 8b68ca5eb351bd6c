"""brightness and saturate, which change HSV's value or saturation, and contrast.

The largest channel's result depends on its level alone, the smallest one's on those two: both come
from tables made with scikit-image's arithmetic. The middle one is linear between them.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image, Indices
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.levels import FRACTIONS, to_byte, to_level
from stl_backbones.corruptions.parameters import TABLES_KEPT, Saturate

# The middle channel in float32, on levels: a few roundings of values below 512.
_EDGE = 2e-4
_BLOCK = 512  # pixels
# By the sixth of the colour circle; the seventh is the first again.
_MIDDLE = (1, 0, 2, 1, 0, 2, 1)  # the channel between the largest and the smallest


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
    near, middles, sixths = np.empty(_BLOCK, np.int64), np.empty(_BLOCK), np.empty(_BLOCK)
    for start in range(0, image.shape[0], _BLOCK):
        part, target, found = image[start : start + _BLOCK], out[start : start + _BLOCK], 0
        for i in range(part.shape[0]):
            red, green, blue = part[i, 0], part[i, 1], part[i, 2]
            high, low = max(red, max(green, blue)), min(red, min(green, blue))
            top, bottom = largest[high], smallest[high, low]
            if high == low:
                # Hue 0: what saturation a grey pixel is given makes it red.
                target[i, 0], target[i, 1], target[i, 2] = top, bottom, bottom
                continue
            both = np.int32(high) + np.int32(low)
            between = np.int32(red) + np.int32(green) + np.int32(blue) - both
            value = tops[high] - slopes[high, low] * np.float32(np.int32(high) - between)
            near[found] = i
            found += 1 if abs(value - np.rint(value)) < edge else 0
            middle = to_byte(max(value, np.float32(0)))
            target[i, 0] = top if red == high else (bottom if red == low else middle)
            target[i, 1] = top if green == high else (bottom if green == low else middle)
            target[i, 2] = top if blue == high else (bottom if blue == low else middle)
        _find_middles(part, near[:found], change, middles, sixths)
        for j in range(found):  # the largest and the smallest channel are right already
            target[near[j], _MIDDLE[int(sixths[j])]] = to_level(middles[j])


@kernel
def _find_middles(
    image: Image, chosen: Indices, change: _Change, middles: Doubles, sixths: Doubles
) -> None:
    """The middle channel by scikit-image's ``rgb2hsv`` and ``hsv2rgb``, in its order of operations.

    Without a branch, so in vectors.

    Args:
        image: ``(N, 3)``.
        chosen: Pixels whose channels differ.
        change: What is done to them.
        middles: Written, per chosen pixel: the new fraction.
        sixths: Written: the sixth of the colour circle, 0 to 6.
    """
    factor, offset, is_changed = change.factor, change.offset, change.factor != 1.0
    for j in range(chosen.shape[0]):
        i = chosen[j]
        red, green, blue = image[i, 0], image[i, 1], image[i, 2]
        high, low = max(red, max(green, blue)), min(red, min(green, blue))
        first, second, third = FRACTIONS[red], FRACTIONS[green], FRACTIONS[blue]
        top = FRACTIONS[high]
        span = top - FRACTIONS[low]
        saturation = span / top
        changed = min(max(saturation * factor + offset, 0.0), 1.0)
        saturation = changed if is_changed else saturation
        # Where two channels are largest the later one counts.
        is_blue, is_green = blue == high, green == high
        across = first - second if is_blue else (third - first if is_green else second - third)
        turn = 4.0 if is_blue else (2.0 if is_green else 0.0)
        hue = (turn + across / span) / 6.0
        hue = hue + 1.0 if hue < 0.0 else (hue - 1.0 if hue >= 1.0 else hue)
        sixth = math.floor(hue * 6)
        part = hue * 6 - sixth
        part = part if sixth % 2.0 == 1.0 else 1 - part
        middles[j] = change.values[high] * (1 - part * saturation)
        sixths[j] = sixth


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
