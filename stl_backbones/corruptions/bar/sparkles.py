"""sparkles, inverse_sparkles."""

from __future__ import annotations

import math

import numpy as np

from stl_backbones.corruptions.bar.elementary import arctangent, power
from stl_backbones.corruptions.bar.rows import fade, interleave
from stl_backbones.corruptions.native.arrays import Floats, Image, Indices, Shorts
from stl_backbones.corruptions.native.compiled import kernel

_COUNT = 5
_FEWEST_RAYS, _MOST_RAYS = 50, 200  # the second is excluded
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_PI, _WHITE = np.float32(math.pi), np.float32(255)


def sparkles(image: Image, level: float, rng: np.random.Generator) -> Image:
    """Five bright stars, their rays' mean length 0.01 ``level`` S.

    Draws, star by star: the centre's x and y over the image, the number of rays of 50..199, a
    standard normal per ray.
    """
    height, width = image.shape[:2]
    mean = 0.01 * level * min(height, width)
    centres, rays = np.empty((_COUNT, 2), np.float32), []
    for star in range(_COUNT):
        centres[star] = rng.uniform(0, width), rng.uniform(0, height)
        rays.append(_ray_lengths(mean, rng, shortest=1.0))
    out = np.empty_like(image)
    starts = np.cumsum([0, *map(len, rays)])
    _shine(image, centres, np.concatenate(rays), starts, out)
    return out


def inverse_sparkles(image: Image, level: float, rng: np.random.Generator) -> Image:
    """One star in which the image is left, white around it; the more so the higher the level.

    Draws: the centre's x and y in the middle half of the image, the number of rays of 50..199, a
    standard normal per ray.
    """
    height, width = image.shape[:2]
    centre = (
        np.float32(rng.uniform(0.25, 0.75) * width),
        np.float32(rng.uniform(0.25, 0.75) * height),
    )
    rays = _ray_lengths(0.25 * min(height, width), rng)
    out = np.empty_like(image)
    _veil(image, centre, rays, np.float32(0.13 * level), out)
    return out


def _ray_lengths(mean: float, rng: np.random.Generator, shortest: float = -math.inf) -> Floats:
    """The rays around a star, the first one repeated at the end."""
    count = int(rng.integers(_FEWEST_RAYS, _MOST_RAYS))
    lengths = np.maximum(mean + 0.25 * mean * rng.standard_normal(count), shortest)
    return np.append(lengths, lengths[0]).astype(np.float32)


@kernel
def _light(
    offsets: tuple[Floats, float], rays: Floats, work: tuple[Floats, Shorts], out: Floats
) -> None:
    """A row's squared lengths of rays over squared distances.

    Args:
        offsets: From the centre in pixels: ``(W,)`` x, and y.
        rays: ``(N + 1,)`` lengths.
        work: ``(W,)`` float32, at the end the distances to the rays' middles; ``(W,)`` int32.
        out: ``(W,)``.
    """
    xs, y = offsets
    parts, numbers = work
    count = rays.shape[0] - 1
    scale, last = np.float32(count) / (_PI + _PI), np.float32(count - 1)
    for i in range(out.shape[0]):
        parts[i] = (arctangent(xs[i], y) + _PI) * scale
    for i in range(out.shape[0]):
        ray = min(np.floor(parts[i]), last)
        numbers[i] = np.int32(ray)
        parts[i] -= ray
    for i in range(out.shape[0]):
        place = np.uint32(numbers[i])  # unsigned: no check for places from the end
        out[i] = rays[place] + parts[i] * (rays[place + np.uint32(1)] - rays[place])
    for i in range(out.shape[0]):
        out[i] = out[i] * out[i] / (xs[i] * xs[i] + y * y + np.float32(1e-4))
        parts[i] -= _HALF


@kernel
def _shine(image: Image, centres: Floats, rays: Floats, starts: Indices, out: Image) -> None:
    width = image.shape[1]
    kept, tripled = np.empty(width, np.float32), np.empty(3 * width, np.float32)
    light, parts = np.empty(width, np.float32), np.empty(width, np.float32)
    places, numbers = np.empty((_COUNT, width), np.float32), np.empty(width, np.int32)
    for star in range(_COUNT):
        for i in range(width):
            places[star, i] = np.float32(i) - centres[star, 0]
    for row in range(image.shape[0]):
        kept[:] = _ONE
        for star in range(_COUNT):
            offsets = places[star], np.float32(row) - centres[star, 1]
            own = rays[starts[star] : starts[star + 1]]
            _light(offsets, own, (parts, numbers), light)
            for i in range(width):
                share = (_ONE - parts[i] * parts[i]) * light[i]
                kept[i] *= _ONE - min(max(share, _ZERO), _ONE)
        interleave(kept, kept, kept, tripled)
        fade(image[row].reshape(-1), _WHITE, tripled, out[row].reshape(-1))


@kernel
def _veil(
    image: Image, centre: tuple[float, float], rays: Floats, exponent: float, out: Image
) -> None:
    width = image.shape[1]
    kept, tripled = np.empty(width, np.float32), np.empty(3 * width, np.float32)
    parts, numbers = np.empty(width, np.float32), np.empty(width, np.int32)
    places = np.empty(width, np.float32)
    for i in range(width):
        places[i] = np.float32(i) - centre[0]
    for row in range(image.shape[0]):
        _light((places, np.float32(row) - centre[1]), rays, (parts, numbers), kept)
        for i in range(width):
            share = (_ONE - parts[i] * parts[i]) * power(kept[i], exponent)
            kept[i] = min(max(share, _ZERO), _ONE)
        interleave(kept, kept, kept, tripled)
        fade(image[row].reshape(-1), _WHITE, tripled, out[row].reshape(-1))
