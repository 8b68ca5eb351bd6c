"""Our own corruption engine: the exact and the fast form of each corruption side by side.

Every function takes an ``(H, W, 3)`` uint8 RGB image, contiguous and writeable but left as it is,
its constants as `stl_backbones.corruptions.parameters.strength` gives them, and its `Draws`, and
returns a new image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from stl_backbones.corruptions.native.arrays import Image
from stl_backbones.corruptions.native.codec import jpeg_compression, pixelate
from stl_backbones.corruptions.native.colour import (
    exact_brightness,
    exact_contrast,
    exact_saturate,
    fast_brightness,
    fast_contrast,
    fast_saturate,
)
from stl_backbones.corruptions.native.defocus import exact_defocus_blur, fast_defocus_blur
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.elastic import exact_elastic_transform, fast_elastic_transform
from stl_backbones.corruptions.native.fog import exact_fog, fast_fog
from stl_backbones.corruptions.native.frost import exact_frost, fast_frost
from stl_backbones.corruptions.native.gaussian import exact_gaussian_blur, fast_gaussian_blur
from stl_backbones.corruptions.native.glass import exact_glass_blur, fast_glass_blur
from stl_backbones.corruptions.native.motion import exact_motion_blur, fast_motion_blur
from stl_backbones.corruptions.native.noise import (
    exact_gaussian_noise,
    exact_impulse_noise,
    exact_speckle_noise,
    fast_gaussian_noise,
    fast_impulse_noise,
    fast_speckle_noise,
)
from stl_backbones.corruptions.native.poisson import exact_shot_noise, fast_shot_noise
from stl_backbones.corruptions.native.scratch import release
from stl_backbones.corruptions.native.snow import exact_snow, fast_snow
from stl_backbones.corruptions.native.spatter import exact_spatter, fast_spatter
from stl_backbones.corruptions.native.zoom import exact_zoom_blur, fast_zoom_blur

Corruption = Callable[[Image, Any, Draws], Image]

EXACT: Mapping[str, Corruption] = MappingProxyType(
    {
        "gaussian_noise": exact_gaussian_noise,
        "shot_noise": exact_shot_noise,
        "impulse_noise": exact_impulse_noise,
        "speckle_noise": exact_speckle_noise,
        "defocus_blur": exact_defocus_blur,
        "glass_blur": exact_glass_blur,
        "motion_blur": exact_motion_blur,
        "zoom_blur": exact_zoom_blur,
        "gaussian_blur": exact_gaussian_blur,
        "snow": exact_snow,
        "frost": exact_frost,
        "fog": exact_fog,
        "brightness": exact_brightness,
        "spatter": exact_spatter,
        "contrast": exact_contrast,
        "elastic_transform": exact_elastic_transform,
        "pixelate": pixelate,
        "jpeg_compression": jpeg_compression,
        "saturate": exact_saturate,
    }
)
FAST: Mapping[str, Corruption] = MappingProxyType(
    {
        "gaussian_noise": fast_gaussian_noise,
        "shot_noise": fast_shot_noise,
        "impulse_noise": fast_impulse_noise,
        "speckle_noise": fast_speckle_noise,
        "defocus_blur": fast_defocus_blur,
        "glass_blur": fast_glass_blur,
        "motion_blur": fast_motion_blur,
        "zoom_blur": fast_zoom_blur,
        "gaussian_blur": fast_gaussian_blur,
        "snow": fast_snow,
        "frost": fast_frost,
        "fog": fast_fog,
        "brightness": fast_brightness,
        "spatter": fast_spatter,
        "contrast": fast_contrast,
        "elastic_transform": fast_elastic_transform,
        "pixelate": pixelate,
        "jpeg_compression": jpeg_compression,
        "saturate": fast_saturate,
    }
)

__all__ = ["EXACT", "FAST", "Corruption", "Draws", "release"]
