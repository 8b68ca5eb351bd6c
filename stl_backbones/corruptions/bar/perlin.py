"""perlin_noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stl_backbones.corruptions.bar.rows import blend, interleave
from stl_backbones.corruptions.native.arrays import Floats, Image, Indices
from stl_backbones.corruptions.native.compiled import kernel

_PERIOD = 256
_OCTAVES = (1, 2, 4, 8, 16)
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


class _Axis(NamedTuple):
    """Where the pixels of an axis lie in the lattice of an octave."""

    nodes: Indices  # the node before a pixel
    parts: Floats  # distance to it, 0 to 1
    fades: Floats  # 3 t^2 - 2 t^3 of it


def perlin_noise(image: Image, level: float, rng: np.random.Generator) -> Image:
    """Cover the image with grey turbulence, by a share of 0.05 ``level``.

    The lattice's cells have 32 S / 224 pixels; five octaves of gradient noise.

    Draws: 256 gradients, two whole numbers of -256..255 each (y and x), scaled to unit length;
    then a permutation of 256.
    """
    height, width = image.shape[:2]
    gradients = rng.integers(-256, 256, (_PERIOD, 2)) / 256
    lengths = np.hypot(gradients[:, 0], gradients[:, 1])
    gradients /= np.where(lengths == 0, 1, lengths)[:, None]
    order = np.tile(rng.permutation(_PERIOD), 2)
    cell = 32 * min(height, width) / 224
    noise = np.empty((height, width), np.float32)
    for octave in _OCTAVES:
        rows, columns = _axis(height, octave / cell), _axis(width, octave / cell)
        _add_octave(noise, gradients.astype(np.float32), order, (rows, columns), np.float32(octave))
    out = np.empty_like(image)
    _cover(image, noise, np.float32(0.05 * level), out)
    return out


def _axis(size: int, scale: float) -> _Axis:
    places = np.arange(size) * scale
    nodes = places.astype(np.int64)
    parts = places - nodes
    fades = parts * parts * (3 - 2 * parts)
    return _Axis(nodes, parts.astype(np.float32), fades.astype(np.float32))


@kernel
def _blend_nodes(
    gradients: Floats, order: Indices, node: int, columns: _Axis, out: tuple[Floats, Floats]
) -> None:
    """What the gradients of a row of nodes are worth at its pixels.

    The noise of an edge of the lattice is ``out[0] + y * out[1]`` at a distance y from it.
    """
    first = order[node % 256]
    across, down = out
    for i in range(across.shape[0]):
        left = gradients[order[first + columns.nodes[i] % 256]]
        right = gradients[order[first + (columns.nodes[i] + 1) % 256]]
        x, fade = columns.parts[i], columns.fades[i]
        across[i] = (_ONE - fade) * left[1] * x + fade * right[1] * (x - _ONE)
        down[i] = (_ONE - fade) * left[0] + fade * right[0]


@kernel
def _add_octave(
    noise: Floats, gradients: Floats, order: Indices, axes: tuple[_Axis, _Axis], octave: float
) -> None:
    """Add ``abs(noise) / octave``, noise 1.5 times the gradient noise."""
    rows, columns = axes
    width, known = noise.shape[1], -1
    above = np.empty(width, np.float32), np.empty(width, np.float32)
    below = np.empty(width, np.float32), np.empty(width, np.float32)
    gain = np.float32(1.5) / octave
    for row in range(noise.shape[0]):
        node, y, fade = rows.nodes[row], rows.parts[row], rows.fades[row]
        if node != known:
            _blend_nodes(gradients, order, node, columns, above)
            _blend_nodes(gradients, order, node + 1, columns, below)
            known = node
        line = noise[row]
        if octave == _ONE:
            line[:] = _ZERO
        for i in range(width):
            upper = above[0][i] + y * above[1][i]
            lower = below[0][i] + (y - _ONE) * below[1][i]
            line[i] += gain * abs(upper + fade * (lower - upper))


@kernel
def _cover(image: Image, noise: Floats, share: float, out: Image) -> None:
    width = image.shape[1]
    values, tripled = np.empty(width, np.float32), np.empty(3 * width, np.float32)
    white, kept = np.float32(255) * share, _ONE - share
    for row in range(image.shape[0]):
        for i in range(width):
            values[i] = min(_HALF * noise[row, i] + _HALF, _ONE)
        interleave(values, values, values, tripled)
        blend(image[row].reshape(-1), kept, tripled, white, out[row].reshape(-1))
