"""The painter's algorithm on one array that holds colours and owners together.

A canvas has four channels: red, green, blue, and the number of the thing that owns the pixel. One
drawing call then sets all four, so picture, labels and instance masks cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from stl_backbones.datasets.street_scenes.camera import Camera
from stl_backbones.datasets.street_scenes.light import Color, Light

NUM_CLASSES = 19  # Cityscapes trainIds
GROUND = (0, 1, 9)  # road, sidewalk, terrain
IGNORE = 255
OWNER_IGNORE = NUM_CLASSES
FIRST_THING = NUM_CLASSES + 1

_SHIFT = 3  # drawing coordinates carry this many fractional bits
_FIXED = 1 << _SHIFT
_FAR = 30000.0  # pixels; OpenCV's fixed-point coordinates overflow far beyond this

Point = tuple[float, float]


class Canvas:
    """What has been painted so far.

    Owners below ``NUM_CLASSES`` are the uncounted surfaces of that trainId, ``OWNER_IGNORE`` is
    ignored, and every counted thing has a number of its own from ``FIRST_THING`` on.

    Args:
        camera: The camera; its size is the canvas's size.
        light: The light of the scene.
    """

    def __init__(self, camera: Camera, light: Light) -> None:
        self.camera = camera
        self.light = light
        self.pixels = np.zeros((camera.height, camera.width, 4), np.float32)
        self.categories = [*range(NUM_CLASSES), IGNORE]
        self._owner = 0
        self._columns: Point = (np.inf, -np.inf)
        self._rows: Point = (np.inf, -np.inf)

    def begin_surface(self, owner: int) -> None:
        """Paint an uncounted surface from here on."""
        self._owner = owner
        self._forget_extent()

    def begin_thing(self, category: int) -> None:
        """Paint a new counted thing of ``category`` from here on."""
        self.categories.append(category)
        self._owner = len(self.categories) - 1
        self._forget_extent()

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        """Fill a convex polygon."""
        corners = self._fixed(points)
        cv2.fillConvexPoly(self.pixels, corners, (*color, self._owner), cv2.LINE_8, _SHIFT)

    def disc(self, center: Point, radius: float, color: Color) -> None:
        """Fill a disc."""
        column, row = center
        self._grow_extent((column - radius, column + radius), (row - radius, row + radius))
        where = (_fix(column), _fix(row))
        size = max(_fix(radius), 1)
        cv2.circle(self.pixels, where, size, (*color, self._owner), -1, cv2.LINE_8, _SHIFT)

    def claim(self, points: Sequence[Point]) -> None:
        """Own a convex polygon without painting it, as a bicycle owns the gaps of its wheels."""
        corners = self._fixed(points)
        rows, columns = self._region(corners)
        owners = np.ascontiguousarray(self.pixels[rows, columns, 3])
        if owners.size:
            shift = np.array((columns.start * _FIXED, rows.start * _FIXED), np.int32)
            cv2.fillConvexPoly(owners, corners - shift, (self._owner,), cv2.LINE_8, _SHIFT)
            self.pixels[rows, columns, 3] = owners

    def patch(self, rows: slice, columns: slice, colors: np.ndarray, *, owners: np.ndarray) -> None:
        """Replace a rectangle.

        Args:
            rows: Where the rectangle is, inside the canvas.
            columns: Where the rectangle is, inside the canvas.
            colors: ``(H, W, 3)`` float32 colours, 0..255.
            owners: ``(H, W)`` integers, the surfaces that own the pixels.
        """
        region = self.pixels[rows, columns]
        region[..., :3] = colors
        region[..., 3] = owners

    def stencil(
        self,
        rows: slice,
        columns: slice,
        colors: np.ndarray,
        *,
        owned: np.ndarray,
        opaque: np.ndarray | None = None,
    ) -> None:
        """Paint a part of a rectangle.

        Args:
            rows: Where the rectangle is, inside the canvas.
            columns: Where the rectangle is, inside the canvas.
            colors: ``(H, W, 3)`` float32 colours, 0..255.
            owned: ``(H, W)`` bool, the pixels that the surface owns.
            opaque: ``(H, W)`` bool, the pixels that are painted; ``owned`` if None.
        """
        region = self.pixels[rows, columns]
        region[..., 3][owned] = self._owner
        painted = owned if opaque is None else opaque
        np.copyto(region[..., :3], colors, where=painted[..., None])

    def darken(self, shadows: Sequence[tuple[Sequence[Point], float]]) -> None:
        """Cast shadows on the ground.

        Args:
            shadows: Convex polygons and how much light each takes away, 0..1; where they overlap
                the last one counts.
        """
        top = min(max(int(self.camera.horizon), 0), self.camera.height)
        region = self.pixels[top:]
        if not region.size:
            return
        taken = np.zeros(region.shape[:2], np.float32)
        for points, strength in shadows:
            corners = self._fixed(points) - np.array((0, top * _FIXED), np.int32)
            cv2.fillConvexPoly(taken, corners, (strength,), cv2.LINE_8, _SHIFT)
        rows, columns = np.nonzero(taken)
        ground = np.isin(region[rows, columns, 3], GROUND)
        rows, columns = rows[ground], columns[ground]
        region[rows, columns, :3] *= (1.0 - taken[rows, columns])[:, None]

    def roughen(self, tile: np.ndarray, strength: float) -> None:
        """Vary the brightness of what was painted last, darker towards its foot."""
        rows = _span(self._rows, self.camera.height)
        columns = _span(self._columns, self.camera.width)
        region = self.pixels[rows, columns]
        if min(region.shape[:2]) < 6:
            return
        height, width = region.shape[:2]
        grain = np.resize(tile[: min(height, len(tile)), : min(width, len(tile))], (height, width))
        fall = np.linspace(0.5 * strength, -0.5 * strength, height, dtype=np.float32)
        factor = 1.0 + strength * (grain - 0.5) + fall[:, None]
        mine = region[..., 3] == self._owner
        region[..., :3] *= np.where(mine, factor, np.float32(1.0))[..., None]

    def _fixed(self, points: Sequence[Point]) -> np.ndarray:
        # Plain numbers: for a handful of corners NumPy's calls cost more than the drawing.
        columns, rows = zip(*points, strict=True)
        left, right, top, bottom = min(columns), max(columns), min(rows), max(rows)
        self._grow_extent((left, right), (top, bottom))
        array = np.array(points)
        if left < -_FAR or top < -_FAR or right > _FAR or bottom > _FAR:
            array = np.clip(array, -_FAR, _FAR)
        return (array * _FIXED).astype(np.int32)

    def _region(self, corners: np.ndarray) -> tuple[slice, slice]:
        low, high = corners.min(0) / _FIXED, corners.max(0) / _FIXED
        rows = _span((low[1], high[1]), self.camera.height)
        return rows, _span((low[0], high[0]), self.camera.width)

    def _forget_extent(self) -> None:
        self._columns = self._rows = (np.inf, -np.inf)

    def _grow_extent(self, columns: Point, rows: Point) -> None:
        (left, right), (top, bottom) = self._columns, self._rows
        self._columns = min(left, columns[0]), max(right, columns[1])
        self._rows = min(top, rows[0]), max(bottom, rows[1])


def _fix(value: float) -> int:
    return int((-_FAR if value < -_FAR else _FAR if value > _FAR else value) * _FIXED)


def _span(bounds: Point, size: int) -> slice:
    """Return the pixels of ``0..size`` that touch ``bounds``, none if it lies outside."""
    low, high = bounds
    if not (low < size and high >= 0):
        return slice(0, 0)
    return slice(max(int(low) - 1, 0), min(int(high) + 2, size))
