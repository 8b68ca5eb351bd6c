"""rain: streaks of the drops that are near, and the veil of all the others."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from scipy.optimize import nnls

from stl_backbones.corruptions.driving.camera import (
    RAIN_APERTURE,
    RAIN_EXPOSURE,
    RAIN_FOCUS,
    SPEED,
    focal_px,
    road_depth,
    shift_px,
)
from stl_backbones.corruptions.driving.light import LEVELS, LINEAR, check_level, write_levels
from stl_backbones.corruptions.driving.spread import WIDTHS, spread
from stl_backbones.corruptions.native.arrays import Floats, Image
from stl_backbones.corruptions.native.compiled import quick_kernel

DROPS = 8000.0  # per m^3 and mm of diameter, at diameter 0
SIZES = 0.5, 6.0  # mm: smaller drops make no streak, larger ones break up
FORWARD = 0.97  # g of Henyey and Greenstein's phase function
_NARROWEST = 0.75  # pixels: streaks of what is narrower are left to the veil
_NEAREST = 0.5  # m, a drop's distance from the lens


def rain(image: Image, level: float, rng: np.random.Generator) -> Image:
    """``t I + (1 - t) (I * HG)``, and streaks over it: ``(1 - a) J + a S``.

    t falls by 0.312 R^0.67 per km (Tremblay et al. 2020, arXiv:2009.03683) over the depth of a
    flat road, at most 50 m; what is scattered comes from near its direction (Henyey-Greenstein,
    g 0.97). Streaks are drops of Marshall and Palmer's sizes, at random places, falling by
    Atlas' speeds past a camera at 50 km/h while the shutter is open for 5 ms. A streak w pixels
    wide and l long covers a pixel for w / (l + w) of that time, and by min(w, 1). Its light S is
    that of the veil's brightest tenth, for drops show the sky (ours); its width that of drop and
    defocus. Drops less than 0.75 pixels wide are part of t.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        level: R, the rain's rate in mm/h, 0.1..300.
        rng: Its source of randomness.

    Raises:
        InputError: If the level is not in that range.
    """
    rate = check_level("rain", level, (0.1, 300), "mm/h")
    height, width = image.shape[:2]
    per_metre = attenuation(rate) / 1000
    through = np.exp(-per_metre * road_depth(height, width)).astype(np.float32)
    veil = spread(image, forward_weights())
    veil += np.float32(1 - sum(forward_weights())) * veil.mean(axis=(0, 1))  # from out of sight
    sky = _brightest(veil)
    veil = cv2.resize(veil, (width, height), interpolation=cv2.INTER_LINEAR)
    clear = np.ones((height, width), np.float32)
    _draw(streaks(draw_drops(rate, rng, height, width), height, width), clear)
    out = np.empty_like(image)
    flat = height, width * 3
    layers = image.reshape(flat), veil.reshape(flat), through, clear, sky
    _cover(*layers, (LINEAR, LEVELS), out.reshape(flat))
    return out


def attenuation(rate: float) -> float:
    """Extinction per km at a rate in mm/h."""
    return float(0.312 * rate**0.67)


def slope(rate: float) -> float:
    """Marshall and Palmer 1948: drops per m^3 and mm are ``8000 exp(-slope D)``, D in mm."""
    return float(4.1 * rate**-0.21)


def fall_speed(diameter: Floats) -> Floats:
    """Of a drop in mm, in m/s (Atlas et al. 1973)."""
    return np.asarray(9.65 - 10.3 * np.exp(-0.6 * diameter))


@lru_cache(maxsize=1)
def forward_weights() -> tuple[float, ...]:
    """The Gaussians of `WIDTHS` that are nearest to Henyey and Greenstein's share within an angle.

    The rest, to a sum of 1, is scattered farther.
    """
    angles = np.geomspace(0.5, 30, 60)
    cosine = np.cos(np.radians(angles))
    root = np.sqrt(1 + FORWARD**2 - 2 * FORWARD * cosine)
    within = (1 - FORWARD**2) / (2 * FORWARD) * (1 / (1 - FORWARD) - 1 / root)
    gaussians = 1 - np.exp(-0.5 * (angles[:, None] / np.array(WIDTHS)) ** 2)
    weights, _ = nnls(gaussians, within)
    return tuple(weights / max(weights.sum(), 1.0))


def _brightest(veil: Floats) -> Floats:
    """The mean colour of the tenth of the pixels that are brightest."""
    pixels = veil.reshape(-1, 3)
    light, count = pixels.sum(axis=1), max(len(pixels) // 10, 1)
    chosen = pixels[light >= np.partition(light, -count)[-count]]
    return np.asarray(chosen.mean(axis=0))


class Drops(NamedTuple):
    """Drops whose streaks are seen; arrays of one length."""

    diameter: Floats  # mm
    depth: Floats  # m, in the middle of the exposure, as the next two
    across: Floats  # pixels from the image's middle
    down: Floats


def draw_drops(rate: float, rng: np.random.Generator, height: int, width: int) -> Drops:
    """Draw the drops in view that are near enough to be 0.75 pixels wide.

    A drop of diameter D is up to ``fx D / 0.75 px`` away, in a pyramid whose volume grows with the
    third power: diameters in it have a gamma distribution of shape 4, cut to `SIZES`.
    """
    focal, falling = focal_px(width), slope(rate)
    reach = focal / 1000 / _NARROWEST  # m per mm of diameter
    pyramid = height * width / focal**2 / 3 * reach**3  # m^3 for a drop of 1 mm
    count = int(rng.poisson(DROPS * pyramid * 6 / falling**4))
    diameter = rng.standard_gamma(4, count, dtype=np.float32) / np.float32(falling)
    depth = diameter * np.cbrt(rng.random(count, dtype=np.float32)) * np.float32(reach)
    across = (rng.random(count, dtype=np.float32) - np.float32(0.5)) * np.float32(width)
    # Uniform numbers that come sorted: streaks drawn from the top down stay in the cache.
    steps = np.cumsum(rng.standard_exponential(count + 1))
    down = ((steps[:-1] / steps[-1] - 0.5) * height).astype(np.float32)
    low, high = SIZES
    seen = (depth > _NEAREST) & (low <= diameter) & (diameter <= high)
    return Drops(diameter[seen], depth[seen], across[seen], down[seen])


def streaks(drops: Drops, height: int, width: int) -> Floats:
    """What each drop leaves on the picture.

    Returns:
        ``(N, 6)``: x and y of both ends, width in pixels, opacity.
    """
    focal = focal_px(width)
    half = RAIN_EXPOSURE / 2
    fallen = focal * fall_speed(drops.diameter) * half / drops.depth
    ends = []
    for sign in (-1, 1):  # before and after the middle: higher and farther, lower and nearer
        nearer = drops.depth / (drops.depth - sign * SPEED * half)
        ends += [drops.across * nearer, (drops.down + sign * fallen) * nearer]
    x0, y0, x1, y1 = ends
    own = shift_px(focal, drops.diameter / 1000, drops.depth)
    defocus = focal * RAIN_APERTURE * np.abs(1 / drops.depth - 1 / RAIN_FOCUS)
    wide = own + defocus
    opacity = np.minimum(own, 1) * own / (np.hypot(x1 - x0, y1 - y0) + own)
    opacity *= np.maximum(own, 1) / np.maximum(wide, 1)
    middle = (width / 2, height / 2)
    table = [x0 + middle[0], y0 + middle[1], x1 + middle[0], y1 + middle[1],
             np.maximum(wide, 1), opacity]  # fmt: skip
    return np.stack(table, axis=1).astype(np.float32)


@quick_kernel
def _draw(lines: Floats, clear: Floats) -> None:
    """Darken ``clear``, the share of background, along each line."""
    turned = clear.T
    for k in range(lines.shape[0]):
        x0, y0, x1, y1 = lines[k, 0], lines[k, 1], lines[k, 2], lines[k, 3]
        wide, opacity = lines[k, 4], lines[k, 5]
        if abs(y1 - y0) >= abs(x1 - x0):
            _draw_line(clear, (x0, y0, x1, y1), wide, opacity)
        else:
            _draw_line(turned, (y0, x0, y1, x1), wide, opacity)


@quick_kernel
def _draw_line(
    clear: Floats, ends: tuple[float, float, float, float], wide: float, opacity: float
) -> None:
    """A line that is rather along the first axis; pixels at its border count by their share."""
    x0, y0, x1, y1 = ends
    if y1 < y0:
        x0, y0, x1, y1 = x1, y1, x0, y0
    none, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    rows, columns = clear.shape
    tall: Any = max(y1 - y0, np.float32(1e-6))
    lean: Any = (x1 - x0) / tall
    if y1 - y0 < one:  # at least a pixel long
        y0 = (y0 + y1) * half - half
        y1 = y0 + one
    side: Any = wide * half * np.float32(np.sqrt(one + min(lean * lean, one)))
    for row in range(max(int(y0), 0), min(int(y1) + 1, rows)):
        low: Any = max(np.float32(row), y0)
        long: Any = min(np.float32(row) + one, y1) - low
        if long <= none:
            continue
        centre = x0 + (np.float32(row) + half - y0) * lean
        left, right = centre - side, centre + side
        dark = opacity * long
        for column in range(max(int(left), 0), min(int(right) + 1, columns)):
            first: Any = max(np.float32(column), left)
            part: Any = min(np.float32(column) + one, right) - first
            clear[row, column] *= one - dark * max(part, none)


@quick_kernel
def _cover(
    image: Image,
    veil: Floats,
    through: Floats,
    clear: Floats,
    sky: Floats,
    tables: tuple[Floats, Image],
    out: Image,
) -> None:
    linear, levels = tables
    height, size = image.shape
    light, places = np.empty(size, np.float32), np.empty(size, np.int32)
    for row in range(height):
        share, behind = through[row], veil[row]
        for i in range(size):
            light[i] = linear[image[row, i]]
        for i in range(size):
            light[i] = behind[i] + share * (light[i] - behind[i])
        for i in range(size // 3):
            seen = clear[row, i]
            for channel in range(3):
                at = 3 * i + channel
                light[at] = sky[channel] + seen * (light[at] - sky[channel])
        write_levels(light, levels, places, out[row])
