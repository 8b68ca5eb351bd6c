"""snow: enlarged noise, drawn out into flakes, over a whitened image."""

from __future__ import annotations

import cv2
import numpy as np

from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image
from stl_backbones.corruptions.native.certify import CHANNELS, for_channels, round_down
from stl_backbones.corruptions.native.compiled import kernel, quick_kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.levels import FRACTIONS, fraction_32, to_byte, to_level
from stl_backbones.corruptions.native.motion import Taps, add_taps, pad_columns, taps_along
from stl_backbones.corruptions.native.noise import normal_quantiles
from stl_backbones.corruptions.native.scratch import scratch
from stl_backbones.corruptions.native.streams import legacy_key, window_of_normals
from stl_backbones.corruptions.native.zoom import Axis, enlarge, enlarged_axis, enlarged_value
from stl_backbones.corruptions.parameters import SNOW_ANGLES, Snow

_STRIP = 16  # rows that are whitened together
_EDGE = 1e-4  # levels: the product and the sum round values below 1024 once each


def exact_snow(image: Image, snow: Snow, draws: Draws) -> Image:
    """The package's snow; only the part of its noise that is enlarged is computed."""
    height, width = image.shape[:2]
    rows, columns = enlarged_axis(height, snow.zoom), enlarged_axis(width, snow.zoom)
    noise = scratch("noise", (rows.length, columns.length))
    corner = rows.start, columns.start
    uniform = window_of_normals(legacy_key(draws.seed), noise, width, corner, height * width)
    noise *= snow.scale
    noise += snow.mean
    low, high = SNOW_ANGLES
    taps = taps_along(snow.motion, low + (high - low) * uniform, (rows.outputs, columns.outputs))
    flakes = _fall(noise, (rows, columns), snow, taps, (height, width), taps.error)
    out = np.empty_like(image)
    strip = scratch("strip", (_STRIP, width * CHANNELS), np.float32)
    rows = height, width * CHANNELS
    for top in range(0, height, _STRIP):
        part = slice(top, min(top + _STRIP, height))
        fractions = strip[: part.stop - top]
        _take_fractions(image.reshape(rows)[part], fractions)
        grey = cv2.cvtColor(fractions.reshape(-1, width, CHANNELS), cv2.COLOR_RGB2GRAY)
        _cover(fractions, grey, flakes, top, snow.weight, out.reshape(rows)[part])
    return out


def fast_snow(image: Image, snow: Snow, draws: Draws) -> Image:
    """The same in float32 with its own stream."""
    height, width = image.shape[:2]
    rows, columns = enlarged_axis(height, snow.zoom), enlarged_axis(width, snow.zoom)
    noise = scratch("noise", (rows.length, columns.length))
    bits = draws.bits(noise.size + 1)
    np.take(snow.mean + snow.scale * normal_quantiles(), bits[1:].reshape(noise.shape), out=noise)
    low, high = SNOW_ANGLES
    angle = low + (high - low) * (float(bits[0]) + 0.5) / 65536
    taps = taps_along(snow.motion, angle, (rows.outputs, columns.outputs))
    flakes = _fall(noise, (rows, columns), snow, taps, (height, width), 0.0)
    out = np.empty_like(image)
    _cover_quickly(image, flakes, np.float32(snow.weight), out)
    return out


def _fall(
    noise: Doubles,
    axes: tuple[Axis, Axis],
    snow: Snow,
    taps: Taps,
    shape: tuple[int, int],
    edge: float,
) -> Image:
    """Flakes, ``shape`` uint8 in a work array: enlarged noise, blurred along the taps, rounded."""
    enlarged = enlarge(noise, *axes, snow.threshold)
    padded = pad_columns(enlarged, taps.reach, 1)
    flakes = scratch("flakes", shape, np.uint8)
    _blur(padded, (noise, *axes, snow.threshold), taps, taps.reach, edge, flakes)
    return flakes


@kernel
def _blur(
    padded: Floats,
    layer: tuple[Doubles, Axis, Axis, float],
    taps: Taps,
    reach: int,
    edge: float,
    flakes: Image,
) -> None:
    values = np.empty(flakes.shape[1], np.float32)
    for row in range(flakes.shape[0]):
        add_taps(padded, row, reach, taps, 1, values)
        for i in range(values.shape[0]):
            values[i] *= np.float32(255)
            flakes[row, i] = to_byte(values[i] + np.float32(0.5))
        if edge == 0.0:
            continue
        for i in range(values.shape[0]):
            if abs(values[i] - np.floor(values[i]) - np.float32(0.5)) < edge:
                value = 0.0
                for tap in range(taps.weights.shape[0]):
                    at = row - taps.rows[tap], i - taps.columns[tap]
                    value += taps.weights[tap] * enlarged_value(layer, at)
                flakes[row, i] = np.uint8(np.rint(value * 255))


@kernel
def _take_fractions(image: Image, fractions: Floats) -> None:
    for row in range(image.shape[0]):
        for i in range(image.shape[1]):
            fractions[row, i] = fraction_32(image[row, i])


@kernel
def _cover(strip: Floats, grey: Floats, flakes: Image, top: int, weight: float, out: Image) -> None:
    """Whiten ``strip`` (rows from ``top`` on) and add the flakes and the flakes upside down.

    The last sum, in float64 in the package, is certified in float32.
    """
    height, width = flakes.shape
    image_weight, white_weight = np.float32(weight), np.float32(1 - weight)
    line, white = np.empty(width, np.float32), np.empty(width * CHANNELS, np.float32)
    fallen, values = np.empty_like(white), np.empty_like(white)
    near = np.empty(values.shape[0], np.int64)
    for row in range(strip.shape[0]):
        upright, turned = flakes[top + row], flakes[height - 1 - top - row]
        for column in range(width):
            line[column] = grey[row, column] * np.float32(1.5) + np.float32(0.5)
        for_channels(line, white)
        for column in range(width):
            line[column] = np.float32(upright[column]) + np.float32(turned[width - 1 - column])
        for_channels(line, fallen)
        source, target = strip[row], out[row]
        for i in range(values.shape[0]):
            white[i] = image_weight * source[i] + white_weight * max(source[i], white[i])
            # More than white is white, and no close call.
            values[i] = min(white[i] * np.float32(255) + fallen[i], np.float32(255.5))
        for j in range(round_down(values, target, np.float32(_EDGE), near)):
            i = near[j]
            column = i // CHANNELS
            first, second = FRACTIONS[upright[column]], FRACTIONS[turned[width - 1 - column]]
            target[i] = to_level(np.float64(white[i]) + first + second)


@quick_kernel
def _cover_quickly(image: Image, flakes: Image, weight: float, out: Image) -> None:
    height, width = flakes.shape
    white_weight = np.float32(1) - weight
    for row in range(height):
        upright, turned = flakes[row], flakes[height - 1 - row]
        for column in range(width):
            red, green = np.float32(image[row, column, 0]), np.float32(image[row, column, 1])
            blue = np.float32(image[row, column, 2])
            grey = red * np.float32(0.299) + green * np.float32(0.587) + blue * np.float32(0.114)
            whitened = grey * np.float32(1.5) + np.float32(127.5)
            flake = np.float32(upright[column]) + np.float32(turned[width - 1 - column])
            for channel in range(3):
                value = np.float32(image[row, column, channel])
                value = weight * value + white_weight * max(value, whitened) + flake
                out[row, column, channel] = to_byte(min(value, np.float32(255)))
