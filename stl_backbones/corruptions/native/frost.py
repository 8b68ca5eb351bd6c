"""frost: a weighted sum with a random part of a picture of frost."""

from __future__ import annotations

import numpy as np

from stl_backbones.corruptions.frost import FIRST_FROST_PICTURES, FROST_PICTURES, frost_picture
from stl_backbones.corruptions.native.arrays import Image
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.native.draws import Draws
from stl_backbones.corruptions.native.levels import to_byte
from stl_backbones.corruptions.parameters import Frost


def exact_frost(image: Image, frost: Frost, draws: Draws) -> Image:
    """Imagecorruptions 1.1.2 draws from five pictures, imagecorruptions-imaug from six."""
    random = np.random.RandomState(draws.seed)
    picture = frost_picture(
        random.randint(_pictures(frost, draws)), *image.shape[:2], scale=frost.scale
    )
    top = random.randint(0, picture.shape[0] - image.shape[0])
    left = random.randint(0, picture.shape[1] - image.shape[1])
    return _frost(image, picture, (top, left), frost)


def fast_frost(image: Image, frost: Frost, draws: Draws) -> Image:
    """The same sum with its own stream."""
    random = draws.generator()
    picture = frost_picture(
        int(random.integers(_pictures(frost, draws))), *image.shape[:2], scale=frost.scale
    )
    top = random.integers(0, picture.shape[0] - image.shape[0])
    left = random.integers(0, picture.shape[1] - image.shape[1])
    return _frost(image, picture, (top, left), frost)


def _pictures(frost: Frost, draws: Draws) -> int:
    is_first_five = frost.scale > 0 or draws.compat == "imagecorruptions-1.1.2"
    return FIRST_FROST_PICTURES if is_first_five else FROST_PICTURES


def _frost(image: Image, picture: Image, corner: tuple[int, int], weights: Frost) -> Image:
    out = np.empty_like(image)
    height, width = image.shape[:2]
    part = picture.reshape(len(picture), -1)[corner[0] :, 3 * corner[1] :]
    levels, target = image.reshape(height, 3 * width), out.reshape(height, 3 * width)
    _blend(levels, part, (float(weights.image_weight), weights.frost_weight), target)
    return out


@kernel
def _blend(image: Image, frost: Image, weights: tuple[float, float], out: Image) -> None:
    for row in range(image.shape[0]):
        levels, picture, target = image[row], frost[row], out[row]
        for i in range(levels.shape[0]):
            value = weights[0] * levels[i] + weights[1] * picture[i]
            target[i] = to_byte(min(value, 255.0))
