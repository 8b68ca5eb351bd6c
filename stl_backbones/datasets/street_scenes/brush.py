"""Drawing in an object's own coordinates, in metres, turned and placed in the world."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stl_backbones.datasets.street_scenes.canvas import Canvas, Point
from stl_backbones.datasets.street_scenes.light import Color, Vector

_FACE_ON = 0.6  # cosine between the sun and round things, which have no single normal


class Brush:
    """Paints one object.

    Local coordinates are metres ``(forward, right, up)`` from the middle of the object's foot.

    Args:
        canvas: Where to paint.
        x: Where the object stands.
        z: Where the object stands.
        yaw: Heading in radians: 0 drives away from the camera, pi comes towards it.
        size: Factor on every length.
    """

    def __init__(
        self, canvas: Canvas, x: float, z: float, *, yaw: float = 0.0, size: float = 1.0
    ) -> None:
        self.canvas = canvas
        self.x, self.z, self.size = x, z, size
        self._sin, self._cos = math.sin(yaw), math.cos(yaw)
        eye = canvas.camera.eye
        # The camera in local coordinates decides which faces are seen.
        self.seen_from = (
            (-x * self._sin - z * self._cos) / size,
            (-x * self._cos + z * self._sin) / size,
            eye / size,
        )

    @property
    def detail(self) -> float:
        """Pixels per metre at the object, to leave out what nobody could see."""
        return self.canvas.camera.focal / max(self.z, 1.0) * self.size

    def place(self, point: Vector) -> Point:
        """Return where a local point is seen."""
        forward, right, up = point
        size = self.size
        x = self.x + size * (forward * self._sin + right * self._cos)
        z = self.z + size * (forward * self._cos - right * self._sin)
        return self.canvas.camera.project(x, size * up, z)

    def face(self, corners: Sequence[Vector], color: Color, normal: Vector) -> None:
        """Fill a convex flat face; ``normal`` is its local unit normal."""
        forward, right, up = normal
        turned = (
            forward * self._sin + right * self._cos,
            up,
            forward * self._cos - right * self._sin,
        )
        lit = self.canvas.light.shade(color, self.z, turned)
        self.canvas.polygon([self.place(corner) for corner in corners], lit)

    def stroke(self, start: Vector, stop: Vector, radius: float, color: Color) -> None:
        """Paint a round bar, or a limb, between two local points."""
        (u0, v0), (u1, v1) = self.place(start), self.place(stop)
        thick = max(radius * self.detail, 0.5)
        length = math.hypot(u1 - u0, v1 - v0) or 1.0
        du, dv = -(v1 - v0) / length * thick, (u1 - u0) / length * thick
        lit = self._round(color)
        corners = [(u0 + du, v0 + dv), (u1 + du, v1 + dv), (u1 - du, v1 - dv), (u0 - du, v0 - dv)]
        self.canvas.polygon(corners, lit)
        if thick > 2.0:
            self.canvas.disc((u0, v0), thick, lit)
            self.canvas.disc((u1, v1), thick, lit)

    def ball(self, center: Vector, radius: float, color: Color) -> None:
        """Paint a ball."""
        self.canvas.disc(self.place(center), max(radius * self.detail, 0.5), self._round(color))

    def glow(self, center: Vector, radius: float, color: Color) -> None:
        """Paint a light, which shade and sun do not change."""
        self.canvas.disc(self.place(center), max(radius * self.detail, 0.5), color)

    def wheel(self, center: Vector, radius: float, color: Color, hub: Color | None = None) -> None:
        """Paint a wheel that stands along the object's length, with a hub if given."""
        corners = 14 if self.detail > 30 else 8
        self.face(ring(center, radius, corners=corners), color, (0.0, 0.0, 1.0))
        if hub is not None and self.detail > 12:
            self.face(ring(center, 0.55 * radius, corners=corners), hub, (0.0, 0.0, 1.0))

    def prism(self, profile: Sequence[tuple[float, float, float]], color: Color) -> None:
        """Paint a solid with a convex side view.

        Args:
            profile: ``(forward, up, half width)`` around the side view, counter-clockwise as seen
                with forward to the right.
            color: Colour of all faces; light distinguishes them.
        """
        ahead, across, above = self.seen_from
        edges = []
        for (a0, c0, w0), (a1, c1, w1) in zip(profile, [*profile[1:], profile[0]], strict=True):
            length = math.hypot(a1 - a0, c1 - c0)
            normal = ((c1 - c0) / length, 0.0, -(a1 - a0) / length)
            if normal[0] * (ahead - a0) + normal[2] * (above - c0) > 0:
                gap = math.hypot((a0 + a1) / 2 - ahead, (c0 + c1) / 2 - above)
                corners = [(a0, -w0, c0), (a0, w0, c0), (a1, w1, c1), (a1, -w1, c1)]
                edges.append((gap, corners, normal))
        for _, corners, normal in sorted(edges, key=lambda edge: -edge[0]):
            self.face(corners, color, normal)
        widest = max(w for _, _, w in profile)
        if abs(across) > widest:
            side = math.copysign(1.0, across)
            self.face([(a, side * w, c) for a, c, w in profile], color, (0.0, side, 0.0))

    def _round(self, color: Color) -> Color:
        across, up, along = self.canvas.light.direction
        norm = math.sqrt(across**2 + up**2 + along**2) / _FACE_ON
        # Lit as a surface turned part of the way to the sun.
        return self.canvas.light.shade(color, self.z, (across / norm, up / norm, along / norm))


def ring(center: Vector, radius: float, *, corners: int = 14) -> list[Vector]:
    """Return the corners of an upright circle along the object's length; 8 or 14 of them."""
    forward, right, up = center
    return [(forward + radius * c, right, up + radius * s) for c, s in _CIRCLES[corners]]


_CIRCLES = {
    n: [(math.cos(2 * math.pi * k / n), math.sin(2 * math.pi * k / n)) for k in range(n)]
    for n in (8, 14)
}
