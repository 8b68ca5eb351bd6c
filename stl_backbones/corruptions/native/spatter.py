"""spatter: drops of water or mud."""

from __future__ import annotations

import cv2
import numpy as np

from stl_backbones.corruptions.native.arrays import Image, Reals
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.field import smooth, smooth_as_float32
from stl_backbones.corruptions.native.levels import FRACTIONS_32, to_level, to_level_32
from stl_backbones.corruptions.native.noise import normal_quantiles
from stl_backbones.corruptions.native.scratch import scratch
from stl_backbones.corruptions.parameters import MUD, WATER, Spatter

_DROP_EDGE = 0.8  # mud thinner than this is not seen
_RIPPLE = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])  # the package's emboss filter
_WATER = tuple(np.float32(level / 255.0) for level in WATER)
_MUD = tuple(level / 255.0 for level in MUD)


def exact_spatter(image: Image, spatter: Spatter, draws: Draws) -> Image:
    """Smoothed noise above a threshold: through edges and distances to water, or as mud."""
    shape = image.shape[:2]
    noise = scratch("noise", shape)
    np.multiply(draws.normals(noise.size).reshape(shape), spatter.scale, out=noise)
    noise += spatter.mean
    layer = smooth(noise, (spatter.sigma, spatter.sigma))
    out = np.empty_like(image)
    if spatter.is_mud:
        drops = scratch("drops", shape)
        np.greater(layer, spatter.threshold, out=drops)
        _splash_mud(image, smooth_as_float32(drops, spatter.strength), out)
    else:
        liquid = scratch("liquid", shape, np.uint8)
        _take_liquid(layer, spatter.threshold, liquid)
        _splash_water(image, liquid, _ripples(liquid), spatter.strength, out)
    return out


def fast_spatter(image: Image, spatter: Spatter, draws: Draws) -> Image:
    """The same in float32 with its own stream."""
    shape = image.shape[:2]
    noise = scratch("noise", shape, np.float32)
    table = (spatter.mean + spatter.scale * normal_quantiles()).astype(np.float32)
    np.take(table, draws.bits(noise.size).reshape(shape), out=noise, mode="clip")
    layer = smooth(noise, (spatter.sigma, spatter.sigma))
    out = np.empty_like(image)
    if spatter.is_mud:
        np.greater(layer, np.float32(spatter.threshold), out=noise)
        drops = smooth(noise, (spatter.strength, spatter.strength))
        _splash_mud(image, drops, out)
    else:
        liquid = scratch("liquid", shape, np.uint8)
        _take_liquid(layer, np.float32(spatter.threshold), liquid)
        _splash_water(image, liquid, _ripples(liquid), spatter.strength, out)
    return out


@kernel
def _take_liquid(layer: Reals, threshold: float, liquid: Image) -> None:
    for row in range(layer.shape[0]):
        for column in range(layer.shape[1]):
            value = layer[row, column]
            # Truncated and wrapped at 256 as numpy's astype does.
            whole = np.int64(value * 255) if value >= threshold else np.int64(0)
            liquid[row, column] = np.uint8(whole)


def _ripples(liquid: Image) -> Image:
    """How the water catches the light: the package's chain of OpenCV filters."""
    distance = cv2.distanceTransform(255 - cv2.Canny(liquid, 50, 150), cv2.DIST_L2, 5)
    _, distance = cv2.threshold(distance, 20, 20, cv2.THRESH_TRUNC)
    ripple = cv2.equalizeHist(cv2.blur(distance, (3, 3)).astype(np.uint8))
    ripple = cv2.filter2D(ripple, cv2.CV_8U, _RIPPLE)
    return np.asarray(cv2.blur(ripple, (3, 3)), dtype=np.uint8)


@kernel
def _splash_water(image: Image, liquid: Image, ripple: Image, strength: float, out: Image) -> None:
    """Add water in proportion to ``liquid * ripple``, in float32 as the package does."""
    height, width = liquid.shape
    most = 0
    for row in range(height):
        for column in range(width):
            most = max(most, np.int32(liquid[row, column]) * np.int32(ripple[row, column]))
    if most == 0:
        out[:] = 0  # no water at all: the package divides 0 by 0, and its image is black
        return
    red, green, blue = _WATER
    for row in range(height):
        for column in range(width):
            amount = np.int32(liquid[row, column]) * np.int32(ripple[row, column])
            water = np.float32(amount) / np.float32(most) * np.float32(strength)
            first = FRACTIONS_32[image[row, column, 0]] + water * red
            second = FRACTIONS_32[image[row, column, 1]] + water * green
            third = FRACTIONS_32[image[row, column, 2]] + water * blue
            out[row, column, 0] = to_level_32(first)
            out[row, column, 1] = to_level_32(second)
            out[row, column, 2] = to_level_32(third)


@kernel
def _splash_mud(image: Image, drops: Reals, out: Image) -> None:
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            drop = np.float32(drops[row, column])
            # The package compares in float32.
            if drop < np.float32(_DROP_EDGE):
                for channel in range(3):
                    out[row, column, channel] = image[row, column, channel]
                continue
            left = np.float32(1) - drop
            for channel in range(3):
                value = FRACTIONS_32[image[row, column, channel]] * left
                mud = _MUD[channel] * np.float64(drop)
                out[row, column, channel] = to_level(np.float64(value) + mud)
