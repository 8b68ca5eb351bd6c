"""Daylight: how bright a surface is, and how haze swallows it with distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Color = tuple[float, float, float]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Weather:
    """A kind of day, before its random variation.

    Attributes:
        ambient: Light from all sides, per channel; 1 keeps a surface's own colour.
        sun: Light from the sun on a surface that faces it, per channel.
        sky_top: Colour of the zenith.
        sky_low: Colour at the horizon, which is also the colour of haze.
        clouds: Covered part of the sky, 0..1.
        visibility: Distance in metres at which haze has swallowed 63 % of a colour.
        lamps: Whether windows and lamps are lit.
    """

    ambient: Color
    sun: Color
    sky_top: Color
    sky_low: Color
    clouds: float
    visibility: float
    lamps: bool = False


WEATHERS = (
    Weather((0.62, 0.66, 0.74), (0.52, 0.48, 0.40), (70, 125, 205), (180, 208, 232), 0.25, 260.0),
    Weather((0.66, 0.68, 0.72), (0.40, 0.38, 0.34), (96, 142, 200), (205, 218, 230), 0.55, 190.0),
    Weather((0.88, 0.90, 0.93), (0.08, 0.08, 0.08), (168, 176, 186), (212, 216, 220), 0.95, 110.0),
    Weather((0.60, 0.56, 0.56), (0.62, 0.46, 0.28), (104, 132, 184), (246, 206, 156), 0.40, 150.0),
    Weather(
        (0.50, 0.52, 0.64), (0.12, 0.10, 0.10), (62, 78, 122), (182, 158, 160), 0.60, 130.0, True
    ),
)


@dataclass(frozen=True)
class Light:
    """The light of one scene.

    Attributes:
        weather: The kind of day, with this scene's variation applied.
        direction: Unit vector towards the sun; x to the right, y up, z ahead.
    """

    weather: Weather
    direction: Vector

    def incident(self, normal: Vector) -> Color:
        """Return the light that falls on a surface, per channel."""
        (x, y, z), (sun_x, sun_y, sun_z) = normal, self.direction
        facing = max(0.0, x * sun_x + y * sun_y + z * sun_z)
        ambient, sun = self.weather.ambient, self.weather.sun
        return (
            ambient[0] + sun[0] * facing,
            ambient[1] + sun[1] * facing,
            ambient[2] + sun[2] * facing,
        )

    def clearness(self, distance: float) -> float:
        """Return the part of a colour that haze leaves at ``distance`` metres."""
        return math.exp(-distance / self.weather.visibility)

    def shade(self, color: Color, distance: float, normal: Vector) -> Color:
        """Return the colour that the camera sees of a flat surface."""
        clear = self.clearness(distance)
        red, green, blue = self.incident(normal)
        haze = self.weather.sky_low
        return (
            color[0] * red * clear + haze[0] * (1.0 - clear),
            color[1] * green * clear + haze[1] * (1.0 - clear),
            color[2] * blue * clear + haze[2] * (1.0 - clear),
        )

    def shade_many(
        self, colors: np.ndarray, distance: np.ndarray | float, normal: Vector
    ) -> np.ndarray:
        """Return the colours that the camera sees of a textured surface.

        Args:
            colors: ``(H, W, 3)`` float32 surface colours, 0..255.
            distance: Metres to each pixel; broadcasts against ``(H, W)``.
            normal: Unit normal of the surface.

        Returns:
            ``(H, W, 3)`` float32 colours.
        """
        clear = np.exp(np.asarray(-distance / self.weather.visibility, np.float32))[..., None]
        # Depth varies along one axis at most, so the factors are small arrays.
        seen = colors * (rgb(self.incident(normal)) * clear)
        seen += rgb(self.weather.sky_low) * (1.0 - clear)
        return seen


def rgb(color: Color) -> np.ndarray:
    """Return a colour as a ``(3,)`` float32 array."""
    return np.array(color, np.float32)


def sample_light(rng: np.random.Generator) -> Light:
    """Draw the light of a scene: a kind of day, its exposure and the place of the sun."""
    base = WEATHERS[rng.choice(len(WEATHERS), p=(0.3, 0.25, 0.2, 0.15, 0.1))]
    exposure = rng.uniform(0.82, 1.12)
    tint = rng.uniform(0.95, 1.05, 3)
    weather = Weather(
        ambient=_scale(base.ambient, exposure * tint),
        sun=_scale(base.sun, exposure * tint * rng.uniform(0.7, 1.2)),
        sky_top=_scale(base.sky_top, exposure * tint),
        sky_low=_scale(base.sky_low, (0.5 + 0.5 * exposure) * tint),
        clouds=float(np.clip(base.clouds + rng.uniform(-0.2, 0.2), 0.0, 1.0)),
        visibility=base.visibility * rng.uniform(0.7, 1.6),
        lamps=base.lamps,
    )
    azimuth, elevation = rng.uniform(-math.pi, math.pi), rng.uniform(0.45, 1.1)
    level = math.cos(elevation)
    direction = (level * math.sin(azimuth), math.sin(elevation), level * math.cos(azimuth))
    return Light(weather, direction)


def _scale(color: Color, factors: np.ndarray) -> Color:
    red, green, blue = (float(c * f) for c, f in zip(color, factors, strict=True))
    return red, green, blue
