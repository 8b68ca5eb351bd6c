"""A pinhole camera above a flat street."""

from __future__ import annotations

from dataclasses import dataclass

NEAREST = 1.0  # metres; what is closer is drawn as if it were here


@dataclass(frozen=True)
class Camera:
    """A camera that looks along the street.

    World coordinates are metres: x to the right of the camera, y up from the ground, z ahead.

    Attributes:
        width: Pixels per row of the canvas.
        height: Rows of the canvas.
        focal: Focal length in pixels.
        center: Column of the vanishing point.
        horizon: Row of the vanishing point.
        eye: Height of the camera above the ground in metres.
    """

    width: int
    height: int
    focal: float
    center: float
    horizon: float
    eye: float

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Return the column and row at which a point of the world is seen."""
        scale = self.focal / (z if z > NEAREST else NEAREST)
        return self.center + x * scale, self.horizon + (self.eye - y) * scale
