"""spatter: drops of water or mud."""

from __future__ import annotations

import cv2
import numpy as np

from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image, Reals
from stl_backbones.corruptions.native.certify import CHANNELS
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.field import smooth, smooth_as_float32, smooth_point
from stl_backbones.corruptions.native.gaussian import Weights, gaussian_weights, rounding_error
from stl_backbones.corruptions.native.levels import (
    FRACTIONS_32,
    fraction_32,
    to_level,
    to_level_32,
)
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
    normals = draws.normals(shape[0] * shape[1]).reshape(shape)
    out = np.empty_like(image)
    if spatter.is_mud:
        noise = scratch("noise", shape)
        np.multiply(normals, spatter.scale, out=noise)
        noise += spatter.mean
        layer = smooth(noise, (spatter.sigma, spatter.sigma))
        drops = scratch("drops", shape)
        np.greater(layer, spatter.threshold, out=drops)
        _splash_mud(image, smooth_as_float32(drops, spatter.strength), out)
    else:
        noise = scratch("noise", shape, np.float32)
        most = _stretch(normals, spatter.scale, spatter.mean, noise)
        layer = smooth(noise, (spatter.sigma, spatter.sigma))
        weights = gaussian_weights(spatter.sigma)
        liquid = scratch("liquid", shape, np.uint8)
        stretch, edge = (spatter.scale, spatter.mean), most * rounding_error(weights)
        _take_liquid_exactly(layer, (spatter.threshold, edge), (normals, stretch, weights), liquid)
        _splash_water(image, liquid, _ripples(liquid), spatter.strength, out)
    return out


@kernel
def _stretch(normals: Doubles, scale: float, mean: float, noise: Floats) -> float:
    """Fill ``noise`` with ``mean + scale * normals``; returns a bound of its size."""
    most = np.float32(0)
    for row in range(noise.shape[0]):
        source, target = normals[row], noise[row]
        for column in range(target.shape[0]):
            target[column] = mean + scale * source[column]
        for column in range(target.shape[0]):
            most = max(most, abs(target[column]))
    return most


@kernel
def _take_liquid_exactly(
    layer: Floats,
    limits: tuple[float, float],
    source: tuple[Doubles, tuple[float, float], Weights],
    liquid: Image,
) -> None:
    """`_take_liquid` of what a layer stands for: in float64 where float32 is a close call.

    Args:
        layer: ``(H, W)``.
        limits: The threshold, and the layer's largest possible error.
        source: The field, scale and mean, and weights that the layer was smoothed of.
        liquid: ``(H, W)``, written.
    """
    threshold, edge = limits
    field, stretch, weights = source
    # The conversion of the threshold, the product with 255 and its rounding.
    low, edge = np.float32(threshold - edge - 1e-7), edge + 1e-7
    high, level_edge = np.float32(threshold + edge), np.float32(255 * edge + 1e-4)
    for row in range(layer.shape[0]):
        values, target = layer[row], liquid[row]
        some = 0
        for column in range(values.shape[0]):
            value = values[column]
            level = value * np.float32(255)
            is_near = abs(level - np.rint(level)) < level_edge or value < high
            some += 1 if value > low and is_near else 0
            whole = np.int32(level) if value >= high else np.int32(0)
            target[column] = np.uint8(whole)  # wrapped at 256 as numpy's astype does
        if some == 0:
            continue
        for column in range(values.shape[0]):
            value = values[column]
            level = value * np.float32(255)
            if value > low and (abs(level - np.rint(level)) < level_edge or value < high):
                exact = smooth_point(field, stretch, (row, column), weights)
                target[column] = np.uint8(np.int64(exact * 255) if exact >= threshold else 0)


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
    distance = scratch("distance", liquid.shape, np.float32)
    smoothed = scratch("smoothed distance", liquid.shape, np.float32)
    first, second = (
        scratch("ripple", liquid.shape, np.uint8),
        scratch("light", liquid.shape, np.uint8),
    )
    cv2.Canny(liquid, 50, 150, edges=first)
    cv2.bitwise_not(first, dst=first)
    cv2.distanceTransform(first, cv2.DIST_L2, 5, dst=distance)
    cv2.threshold(distance, 20, 20, cv2.THRESH_TRUNC, dst=distance)
    cv2.blur(distance, (3, 3), dst=smoothed)
    np.copyto(first, smoothed, casting="unsafe")
    cv2.equalizeHist(first, dst=first)
    cv2.filter2D(first, cv2.CV_8U, _RIPPLE, dst=second)
    return np.asarray(cv2.blur(second, (3, 3), dst=first), dtype=np.uint8)


def _splash_water(image: Image, liquid: Image, ripple: Image, strength: float, out: Image) -> None:
    rows = image.shape[0], image.shape[1] * CHANNELS
    _splash_rows(image.reshape(rows), liquid, ripple, np.float32(strength), out.reshape(rows))


@kernel
def _splash_rows(image: Image, liquid: Image, ripple: Image, strength: float, out: Image) -> None:
    """Add water in proportion to ``liquid * ripple``, in float32 as the package does."""
    height, width = liquid.shape
    most = np.int32(0)
    for row in range(height):
        first, second = liquid[row], ripple[row]
        for column in range(width):
            most = max(most, np.int32(first[column]) * np.int32(second[column]))
    if most == 0:
        out[:] = 0  # no water at all: the package divides 0 by 0, and its image is black
        return
    red, green, blue = _WATER
    values = np.empty(width * CHANNELS, np.float32)
    for row in range(height):
        first, second, levels, target = liquid[row], ripple[row], image[row], out[row]
        for column in range(width):
            amount = np.int32(first[column]) * np.int32(second[column])
            water = np.float32(amount) / np.float32(most) * strength
            values[3 * column] = water * red
            values[3 * column + 1] = water * green
            values[3 * column + 2] = water * blue
        for i in range(width * CHANNELS):
            target[i] = to_level_32(fraction_32(levels[i]) + values[i])


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
