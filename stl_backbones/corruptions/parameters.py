"""What each corruption does at severity 1 to 5: the constants of imagecorruptions 1.1.x.

Every tuple has five entries, one per severity; `exact`, `fast` and the torch backend read the same
ones. Source of all numbers: Hendrycks & Dietterich 2019 (ImageNet-C), as packaged by Michaelis et
al. 2019 in ``imagecorruptions``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Glass(NamedTuple):
    """Blur, move pixels about, blur again."""

    sigma: float  # of both Gaussian blurs, in pixels
    reach: int  # pixels move by -reach .. reach - 1
    passes: int


class Defocus(NamedTuple):
    """A disk of light per pixel."""

    radius: int
    alias_sigma: float  # softens the disk's edge


class Motion(NamedTuple):
    """Half a Gaussian along a line."""

    radius: int  # the line has 2 * radius + 1 taps
    sigma: float


class Snow(NamedTuple):
    """Normal noise, enlarged, thresholded and drawn out into flakes."""

    mean: float
    scale: float
    zoom: float
    threshold: float  # values below become 0
    motion: Motion
    weight: float  # of the image against its whitened copy


class Frost(NamedTuple):
    """A weighted sum with a picture of frost."""

    image_weight: float
    frost_weight: float


class Fog(NamedTuple):
    """A plasma fractal added as haze."""

    thickness: float
    decay: float  # of the fractal's roughness per octave


class Spatter(NamedTuple):
    """Drops of water (severity 1 to 3) or mud (4 and 5) from smoothed normal noise."""

    mean: float
    scale: float
    sigma: float  # smoothing of the noise
    threshold: float
    strength: float  # water: opacity; mud: smoothing of the drops, in pixels
    is_mud: bool


class Saturate(NamedTuple):
    """``clip(saturation * factor + offset)``."""

    factor: float
    offset: float


GAUSSIAN_NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)  # standard deviation, of a range of 1
SHOT_NOISE = (60, 25, 12, 5, 3)  # photons of a white pixel
IMPULSE_NOISE = (0.03, 0.06, 0.09, 0.17, 0.27)  # share of the values replaced
SPECKLE_NOISE = (0.15, 0.2, 0.35, 0.45, 0.6)  # standard deviation, relative to the value

GAUSSIAN_BLUR = (1, 2, 3, 4, 6)  # sigma in pixels
GLASS_BLUR = (
    Glass(0.7, 1, 2), Glass(0.9, 2, 1), Glass(1.0, 2, 3), Glass(1.1, 3, 2), Glass(1.5, 4, 2),
)  # fmt: skip
DEFOCUS_BLUR = (
    Defocus(3, 0.1), Defocus(4, 0.5), Defocus(6, 0.5), Defocus(8, 0.5), Defocus(10, 0.5),
)  # fmt: skip
MOTION_BLUR = (Motion(10, 3), Motion(15, 5), Motion(15, 8), Motion(15, 12), Motion(20, 15))
MOTION_BLUR_ANGLES = (-45.0, 45.0)  # degrees, uniform
ZOOM_BLUR = tuple(
    np.arange(1, end, step)
    for end, step in ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))
)  # the factors that are averaged with the image

SNOW = (
    Snow(0.1, 0.3, 3, 0.5, Motion(10, 4), 0.8),
    Snow(0.2, 0.3, 2, 0.5, Motion(12, 4), 0.7),
    Snow(0.55, 0.3, 4, 0.9, Motion(12, 8), 0.7),
    Snow(0.55, 0.3, 4.5, 0.85, Motion(12, 8), 0.65),
    Snow(0.55, 0.3, 2.5, 0.85, Motion(12, 12), 0.55),
)
SNOW_ANGLES = (-135.0, -45.0)  # degrees, uniform
FROST = (Frost(1, 0.4), Frost(0.8, 0.6), Frost(0.7, 0.7), Frost(0.65, 0.7), Frost(0.6, 0.75))
FOG = (Fog(1.5, 2), Fog(2.0, 2), Fog(2.5, 1.7), Fog(2.5, 1.5), Fog(3.0, 1.4))
BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)  # added to the HSV value
SPATTER = (
    Spatter(0.65, 0.3, 4, 0.69, 0.6, False),
    Spatter(0.65, 0.3, 3, 0.68, 0.6, False),
    Spatter(0.65, 0.3, 2, 0.68, 0.5, False),
    Spatter(0.65, 0.3, 1, 0.65, 1.5, True),
    Spatter(0.67, 0.4, 1, 0.65, 1.5, True),
)
WATER = (175, 238, 238)  # RGB, pale turquoise
MUD = (63, 42, 20)  # RGB, brown

CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # distance from the mean that is left
ELASTIC_TRANSFORM = (250 * 0.05, 250 * 0.065, 250 * 0.085, 250 * 0.1, 250 * 0.12)
# The displacement field: uniform in +-0.005 of the height, smoothed by 0.01 of each side.
ELASTIC_RANGE, ELASTIC_SIGMA, ELASTIC_TRUNCATE = 0.005, 0.01, 3.0
PIXELATE = (0.6, 0.5, 0.4, 0.3, 0.25)  # share of the sides that is kept
JPEG_COMPRESSION = (25, 18, 15, 10, 7)  # Pillow's quality
SATURATE = (
    Saturate(0.3, 0.0), Saturate(0.1, 0.0), Saturate(2, 0.0), Saturate(5, 0.1), Saturate(20, 0.2),
)  # fmt: skip
