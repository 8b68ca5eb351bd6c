"""pinch_and_twirl, ripple."""

from __future__ import annotations

import math

import numpy as np

from stl_backbones.corruptions.bar.rows import level_of
from stl_backbones.corruptions.bar.sampling import bilinear
from stl_backbones.corruptions.native.arrays import Doubles, Floats, Image, Indices
from stl_backbones.corruptions.native.compiled import kernel

_LARGE = 224  # from this side on, a side has five whirls, else three
_ONE = np.float32(1)


def pinch_and_twirl(image: Image, level: float, rng: np.random.Generator) -> Image:
    """Whirls in square cells that touch: each pulls its middle together and turns it.

    Draws: which way a cell turns, cell by cell, in rows.
    """
    height, width = image.shape[:2]
    side = min(height, width) // (5 if min(height, width) >= _LARGE else 3)
    turns = 1 - 2 * rng.integers(2, size=(height // side, width // side))
    values = image.astype(np.float32)
    clockwise = _whirl(side, math.pi / 20 * level, 0.04 * level + 0.1)
    other = _whirl(side, -math.pi / 20 * level, 0.04 * level + 0.1)
    for row, column in np.ndindex(turns.shape):
        _whirl_cell(
            values, row * side, column * side, clockwise if turns[row, column] > 0 else other
        )
    return values.astype(np.uint8)


def _whirl(side: int, angle: float, pinch: float) -> Doubles:
    """Where in a cell its pixels come from, ``(side, side, 2)``, y and x."""
    y, x = np.mgrid[:side, :side] - side / 2
    distance = np.clip(np.hypot(y, x) / (side / 2), 1e-12, 1)  # 1 from the circle on: no change
    pull = np.sin(math.pi / 2 * distance) ** -pinch
    turn = angle * (1 - distance) ** 2
    cosine, sine = pull * np.cos(turn), pull * np.sin(turn)
    return np.stack([cosine * y - sine * x, sine * y + cosine * x], 2) + side / 2


@kernel
def _whirl_cell(values: Floats, top: int, left: int, places: Doubles) -> None:
    """Change one cell of ``(H, W, 3)`` float32; its neighbours' next pixels are read."""
    side = places.shape[0]
    first, before = max(top - 1, 0), max(left - 1, 0)
    kept = values[first : top + side + 2, before : left + side + 2].copy()
    for row in range(side):
        for column in range(side):
            y, x = places[row, column, 0], places[row, column, 1]
            if y == row and x == column:
                continue  # outside the circle
            y, x = y + (top - first), x + (left - before)
            red, green, blue = bilinear(kept, y, x)
            pixel = values[top + row, left + column]
            pixel[0], pixel[1], pixel[2] = red, green, blue


def ripple(image: Image, level: float, rng: np.random.Generator) -> Image:
    """Displace columns and rows by sines of amplitude 0.0025 ``level`` S pixels.

    Draws: along x the wavelength of U(0.1, 0.3) S and the phase of U(0, 2 pi); then along y.
    """
    side = min(image.shape[:2])
    places = []
    for size in (image.shape[1], image.shape[0]):
        wavelength, phase = rng.uniform(0.1, 0.3) * side, rng.uniform(0, 2 * math.pi)
        axis = np.arange(size)
        places.append(
            axis + 0.0025 * level * side * np.sin(2 * math.pi * axis / wavelength + phase)
        )
    out = np.empty_like(image)
    _displace(image, _neighbours(places[1]), _neighbours(places[0]), out)
    return out


def _neighbours(places: Doubles) -> tuple[Indices, Floats]:
    """The pixel before a place, and the share of the one after it."""
    before = np.floor(places).astype(np.int64)
    return before, (places - before).astype(np.float32)


@kernel
def _displace(
    image: Image, down: tuple[Indices, Floats], across: tuple[Indices, Floats], out: Image
) -> None:
    """Bilinear, an axis at a time; what is outside the image counts as 0."""
    height, width = image.shape[:2]
    nothing = np.zeros(3 * width, np.uint8)
    line = np.empty(3 * width, np.float32)
    for row in range(height):
        place, share = down[0][row], down[1][row]
        above = image[place].reshape(-1) if 0 <= place < height else nothing
        below = image[place + 1].reshape(-1) if 0 <= place + 1 < height else nothing
        for i in range(line.shape[0]):
            line[i] = (_ONE - share) * np.float32(above[i]) + share * np.float32(below[i])
        for i in range(width):
            place, after = across[0][i], across[1][i]
            before = _ONE - after if 0 <= place < width else np.float32(0)
            after = after if 0 <= place + 1 < width else np.float32(0)
            left, right = 3 * min(max(place, 0), width - 1), 3 * min(max(place + 1, 0), width - 1)
            for channel in range(3):
                value = before * line[left + channel] + after * line[right + channel]
                out[row, i, channel] = level_of(value)
