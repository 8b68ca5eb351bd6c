"""Tileable texture arrays, the same for every scene; a scene varies where it samples them."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

TILE = 256  # pixels; a power of two, so that coordinates wrap by a bit mask
_SEED = 20220426  # of the tiles alone: scenes differ by where they sample


@cache
def value_noise(cells: int) -> np.ndarray:
    """Return smooth noise with ``cells`` bumps per side.

    Returns:
        ``(TILE, TILE)`` float32, 0..1, seamless at its edges.
    """
    grid = np.random.default_rng((_SEED, cells)).random((cells, cells), np.float32)
    step = TILE // cells
    wide = cv2.resize(
        np.pad(grid, 2, mode="wrap"), None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC
    )
    return np.clip(wide[2 * step : 2 * step + TILE, 2 * step : 2 * step + TILE], 0.0, 1.0)


@cache
def fractal(coarse: int, octaves: int) -> np.ndarray:
    """Return noise of several sizes, stretched to 0..1.

    Args:
        coarse: Bumps per side of the largest component.
        octaves: Number of components, each half as large and half as strong.

    Returns:
        ``(TILE, TILE)`` float32, 0..1.
    """
    layers = [value_noise(coarse << k) * np.float32(0.5**k) for k in range(octaves)]
    total = np.sum(layers, axis=0)
    return ((total - total.min()) / (total.max() - total.min())).astype(np.float32)


@cache
def bricks() -> np.ndarray:
    """Return brickwork brightness, ``(TILE, TILE)`` float32 around 1; 32 pixels are one metre."""
    rows, columns = np.mgrid[0:TILE, 0:TILE]
    course = rows // 8
    along = columns + (course % 2) * 8
    joint = (rows % 8 == 0) | (along % 16 == 0)
    tone = np.random.default_rng((_SEED, 1)).uniform(0.82, 1.15, (TILE, TILE))
    return np.where(joint, 1.3, tone[course, (along // 16) % 16]).astype(np.float32)


@cache
def slabs() -> np.ndarray:
    """Return paving brightness, ``(TILE, TILE)`` float32 around 1; 32 pixels are one metre."""
    rows, columns = np.mgrid[0:TILE, 0:TILE]
    joint = (rows % 32 < 2) | ((columns + (rows // 32 % 2) * 16) % 32 < 2)
    tone = np.random.default_rng((_SEED, 2)).uniform(0.92, 1.08, (TILE, TILE))
    return np.where(joint, 0.72, tone[rows // 32, columns // 32]).astype(np.float32)


def sample(tile: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Look a tile up at broadcastable pixel coordinates, wrapping around."""
    size = TILE - 1
    first, second = rows.astype(np.intp) & size, columns.astype(np.intp) & size
    return tile.ravel().take(first * TILE + second)


def fade(pixels_per_cell: np.ndarray) -> np.ndarray:
    """Return how much of a pattern's contrast survives, 0 where it is finer than the pixels."""
    return np.clip((pixels_per_cell - 0.7) / 1.5, 0.0, 1.0).astype(np.float32)
