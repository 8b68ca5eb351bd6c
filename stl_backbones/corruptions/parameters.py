"""What each corruption does at a severity: the constants of ImageNet-C and of CIFAR-10-C.

The one place of these numbers: `strength` gives a corruption's constants at a severity, and
`exact`, `fast` and the torch backend take those. Between whole severities they are interpolated;
that is ours, no publication has it.

Sources: Hendrycks & Dietterich 2019, arXiv:1903.12261: ImageNet-C as packaged by Michaelis et al.
2019 in ``imagecorruptions`` 1.1.x; CIFAR-10-C as in the authors' script.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast, get_type_hints

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError

TABLES_KEPT = 16  # of one corruption: five severities, or more where fractions are asked for
CIFAR_SIDE = 32  # pixels; the CIFAR constants are defined for images of this size alone


class Glass(NamedTuple):
    """Blur, move pixels about, blur again."""

    sigma: float  # of both Gaussian blurs, in pixels
    reach: int  # pixels move by -reach .. reach - 1
    passes: int


class Defocus(NamedTuple):
    """A disk of light per pixel."""

    radius: float  # in pixels
    alias_sigma: float  # softens the disk's edge


class Motion(NamedTuple):
    """Half a Gaussian along a line."""

    radius: int  # the line has 2 * radius + 1 taps
    sigma: float


class Zoom(NamedTuple):
    """The image averaged with enlargements of its centre."""

    end: float
    step: float

    @property
    def factors(self) -> npt.NDArray[np.float64]:
        """Of the enlargements, from 1; rounding decides, as it does in numpy, about the end."""
        return np.arange(1, self.end, self.step, np.float64)


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
    scale: float = 0.0  # of the picture before a part is cut out; 0: by the size of the image


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


class Elastic(NamedTuple):
    """A random affine map, then every pixel moved by a smooth random field."""

    strength: float  # factor of the smoothed field
    reach: float  # of the field: uniform in +- this share of the height
    sigma: float  # of its smoothing, in sides
    affine: float = 0.0  # three points move by up to this share of a side


class Jpeg(NamedTuple):
    """Through a JPEG file."""

    quality: int  # Pillow's


MOTION_BLUR_ANGLES = (-45.0, 45.0)  # degrees, uniform
SNOW_ANGLES = (-135.0, -45.0)  # degrees, uniform
ELASTIC_TRUNCATE = 3.0  # sigmas of the field's smoothing
WATER = (175, 238, 238)  # RGB, pale turquoise
MUD = (63, 42, 20)  # RGB, brown

# Corruption -> its constants at severity 1 to 5.
_IMAGENET: Mapping[str, tuple[Any, ...]] = {
    "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),  # standard deviation, of a range of 1
    "shot_noise": (60, 25, 12, 5, 3),  # photons of a white pixel
    "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),  # share of the values replaced
    "speckle_noise": (0.15, 0.2, 0.35, 0.45, 0.6),  # standard deviation, relative to the value
    "gaussian_blur": (1, 2, 3, 4, 6),  # sigma in pixels
    "glass_blur": (
        Glass(0.7, 1, 2), Glass(0.9, 2, 1), Glass(1.0, 2, 3), Glass(1.1, 3, 2), Glass(1.5, 4, 2),
    ),
    "defocus_blur": (
        Defocus(3, 0.1), Defocus(4, 0.5), Defocus(6, 0.5), Defocus(8, 0.5), Defocus(10, 0.5),
    ),
    "motion_blur": (Motion(10, 3), Motion(15, 5), Motion(15, 8), Motion(15, 12), Motion(20, 15)),
    "zoom_blur": (
        Zoom(1.11, 0.01), Zoom(1.16, 0.01), Zoom(1.21, 0.02), Zoom(1.26, 0.02), Zoom(1.31, 0.03),
    ),
    "snow": (
        Snow(0.1, 0.3, 3, 0.5, Motion(10, 4), 0.8),
        Snow(0.2, 0.3, 2, 0.5, Motion(12, 4), 0.7),
        Snow(0.55, 0.3, 4, 0.9, Motion(12, 8), 0.7),
        Snow(0.55, 0.3, 4.5, 0.85, Motion(12, 8), 0.65),
        Snow(0.55, 0.3, 2.5, 0.85, Motion(12, 12), 0.55),
    ),
    "frost": (
        Frost(1, 0.4), Frost(0.8, 0.6), Frost(0.7, 0.7), Frost(0.65, 0.7), Frost(0.6, 0.75),
    ),
    "fog": (Fog(1.5, 2), Fog(2.0, 2), Fog(2.5, 1.7), Fog(2.5, 1.5), Fog(3.0, 1.4)),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),  # added to the HSV value
    "spatter": (
        Spatter(0.65, 0.3, 4, 0.69, 0.6, False),
        Spatter(0.65, 0.3, 3, 0.68, 0.6, False),
        Spatter(0.65, 0.3, 2, 0.68, 0.5, False),
        Spatter(0.65, 0.3, 1, 0.65, 1.5, True),
        Spatter(0.67, 0.4, 1, 0.65, 1.5, True),
    ),
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),  # distance from the mean that is left
    "elastic_transform": tuple(
        Elastic(250 * share, 0.005, 0.01) for share in (0.05, 0.065, 0.085, 0.1, 0.12)
    ),
    "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),  # share of the sides that is kept
    "jpeg_compression": (Jpeg(25), Jpeg(18), Jpeg(15), Jpeg(10), Jpeg(7)),
    "saturate": (
        Saturate(0.3, 0.0), Saturate(0.1, 0.0), Saturate(2, 0.0), Saturate(5, 0.1),
        Saturate(20, 0.2),
    ),
}  # fmt: skip
_CIFAR10: Mapping[str, tuple[Any, ...]] = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "shot_noise": (500, 250, 100, 75, 50),
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
    "speckle_noise": (0.06, 0.1, 0.12, 0.16, 0.2),
    "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1),
    "glass_blur": (
        Glass(0.05, 1, 1), Glass(0.25, 1, 1), Glass(0.4, 1, 1), Glass(0.25, 1, 2), Glass(0.4, 1, 2),
    ),
    "defocus_blur": (
        Defocus(0.3, 0.4), Defocus(0.4, 0.5), Defocus(0.5, 0.6), Defocus(1, 0.2), Defocus(1.5, 0.1),
    ),
    "motion_blur": (Motion(6, 1), Motion(6, 1.5), Motion(6, 2), Motion(8, 2), Motion(9, 2.5)),
    "zoom_blur": tuple(Zoom(end, 0.01) for end in (1.06, 1.11, 1.16, 1.21, 1.26)),
    "snow": (
        Snow(0.1, 0.2, 1, 0.6, Motion(8, 3), 0.95),
        Snow(0.1, 0.2, 1, 0.5, Motion(10, 4), 0.9),
        Snow(0.15, 0.3, 1.75, 0.55, Motion(10, 4), 0.9),
        Snow(0.25, 0.3, 2.25, 0.6, Motion(12, 6), 0.85),
        Snow(0.3, 0.3, 1.25, 0.65, Motion(14, 12), 0.8),
    ),
    "frost": (
        Frost(1, 0.2, 0.2), Frost(1, 0.3, 0.2), Frost(0.9, 0.4, 0.2), Frost(0.85, 0.4, 0.2),
        Frost(0.75, 0.45, 0.2),
    ),
    "fog": (Fog(0.2, 3), Fog(0.5, 3), Fog(0.75, 2.5), Fog(1.0, 2), Fog(1.5, 1.75)),
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    "spatter": (
        Spatter(0.62, 0.1, 0.7, 0.7, 0.5, False),
        Spatter(0.65, 0.1, 0.8, 0.7, 0.5, False),
        Spatter(0.65, 0.3, 1, 0.69, 0.5, False),
        Spatter(0.65, 0.1, 0.7, 0.69, 0.6, True),
        Spatter(0.65, 0.1, 0.5, 0.68, 0.6, True),
    ),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "elastic_transform": tuple(
        # The field is uniform in +-1 pixel there, and its factor is given in sides.
        Elastic(CIFAR_SIDE * alpha, 1 / CIFAR_SIDE, sigma, affine)
        for alpha, sigma, affine in (
            (0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        )
    ),
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
    "jpeg_compression": (Jpeg(80), Jpeg(65), Jpeg(58), Jpeg(50), Jpeg(40)),
    "saturate": (
        Saturate(0.3, 0.0), Saturate(0.1, 0.0), Saturate(1.5, 0.0), Saturate(2, 0.1),
        Saturate(2.5, 0.2),
    ),
}  # fmt: skip
_TABLES = {"imagenet": _IMAGENET, "cifar10": _CIFAR10}


def strength(name: str, severity: float, strengths: str = "imagenet") -> Any:
    """The constants of a corruption at a severity.

    Between two whole severities they are interpolated linearly; constants that must be whole (JPEG
    quality, taps of a motion blur, reach and passes of glass_blur) are rounded, halves up.

    Args:
        name: One of the nineteen corruptions.
        severity: 1 (weakest) to 5, whole or a fraction.
        strengths: ``'imagenet'`` or ``'cifar10'``.

    Returns:
        A number, or the named tuple of this module that the corruption takes.

    Raises:
        InputError: If it has no such constants, or is asked for between two that differ in kind:
            spatter's water (up to 3) and mud (from 4), saturate's paler (up to 2) and stronger
            colours (from 3).
    """
    if name not in _TABLES[strengths]:
        raise InputError(f"corruption '{name}' has no constants for strengths '{strengths}'")
    constants, below = _TABLES[strengths][name], int(severity)
    if severity == below:
        return constants[below - 1]
    kinds = _kind(constants[below - 1]), _kind(constants[below])
    if kinds[0] != kinds[1]:
        raise InputError(
            f"{name} is {kinds[0]} up to severity {below} and {kinds[1]} from {below + 1} on, with "
            f"nothing between; got severity {severity:g}"
        )
    return _between(constants[below - 1], constants[below], severity - below)


def _kind(constants: Any) -> str:
    """What a corruption does, where no constant between two leads from one to the other."""
    if isinstance(constants, Spatter):
        return "mud" if constants.is_mud else "water"
    if isinstance(constants, Saturate):
        return "stronger colours" if constants.factor > 1 else "paler colours"
    return ""


@lru_cache(maxsize=64)
def _between(one: Any, other: Any, share: float) -> Any:
    """``share`` of the way from one's constants to the other's."""
    if one == other:
        return one
    if not isinstance(one, tuple):
        return one + (other - one) * share
    mixed = [_between(mine, theirs, share) for mine, theirs in zip(one, other, strict=True)]
    whole = [field is int for field in get_type_hints(type(one)).values()]
    values = (
        math.floor(value + 0.5) if is_whole else value
        for value, is_whole in zip(mixed, whole, strict=True)
    )
    return cast("Any", type(one))(*values)


def check_cifar_size(height: int, width: int) -> None:
    """Refuse an image for which the CIFAR constants are not defined.

    Raises:
        InputError: If it is not of 32x32 pixels.
    """
    if (height, width) != (CIFAR_SIDE, CIFAR_SIDE):
        raise InputError(
            f"CIFAR strengths are defined for images of {CIFAR_SIDE}x{CIFAR_SIDE} pixels, "
            f"got {width}x{height}"
        )
