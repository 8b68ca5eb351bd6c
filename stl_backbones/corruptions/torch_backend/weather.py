"""Snow, frost, fog and bright light.

Every function takes ``(N, 3, H, W)`` uint8 and returns values that the caller clips to 0..255 and
truncates.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from stl_backbones.corruptions.frost import FIRST_FROST_PICTURES, FROST_PICTURES, frost_picture
from stl_backbones.corruptions.parameters import SNOW_ANGLES, Fog, Frost, Snow
from stl_backbones.corruptions.torch_backend.draws import Draws
from stl_backbones.corruptions.torch_backend.filters import drag, enlarge, zoom_of

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in OpenCV's RGB2GRAY
_FIRST_WIBBLE = 100.0  # of the package's plasma


def snow(images: Tensor, style: Snow, draws: Draws) -> Tensor:
    """Whiten the image and let flakes fall, from both sides.

    Draws: ``normal`` ``(N, h, w)``, standard normal: the noise in the centre that is enlarged;
    ``angle`` ``(N,)``, degrees.
    """
    height, width = images.shape[-2:]
    rows, columns = zoom_of(height, style.zoom), zoom_of(width, style.zoom)
    noise = draws.normal("normal", (rows.length, columns.length))
    flakes = enlarge(
        noise.mul_(style.scale).add_(style.mean)[:, None], rows.enlarged, columns.enlarged
    )
    flakes = flakes.masked_fill_(flakes < style.threshold, 0.0).clamp_(0.0, 1.0)
    flakes = drag(flakes, style.motion, draws.numbers("angle", *SNOW_ANGLES))
    flakes = flakes[..., :height, :width].mul(255.0).round_()

    values = images.float()
    whitened = torch.maximum(values, _grey(values).mul_(1.5).add_(0.5 * 255))
    values = values.mul_(style.weight).add_(whitened, alpha=1 - style.weight)
    return values.add_(flakes).add_(flakes.flip(-2, -1))


def frost(images: Tensor, weights: Frost, draws: Draws) -> Tensor:
    """Add a part of a picture of frost.

    Draws: ``picture`` ``(N,)``, 0..5, of CIFAR-10-C 0..4; ``top`` and ``left`` ``(N,)``, the
    part's corner.
    """
    count, _, height, width = images.shape
    pictures_drawn = FIRST_FROST_PICTURES if weights.scale else FROST_PICTURES
    pictures = [
        _frost_tensor(index, height, width, weights.scale, images.device)
        for index in draws.integers("picture", [pictures_drawn] * count)
    ]
    tops = draws.integers("top", [picture.shape[-2] - height for picture in pictures])
    lefts = draws.integers("left", [picture.shape[-1] - width for picture in pictures])
    parts = [
        picture[:, top : top + height, left : left + width]
        for picture, top, left in zip(pictures, tops, lefts, strict=True)
    ]
    values = torch.stack(parts).float().mul_(weights.frost_weight)
    return values.add_(images, alpha=weights.image_weight)


def fog(images: Tensor, style: Fog, draws: Draws) -> Tensor:
    """Add a plasma fractal as haze, darkened so that the brightest value stays.

    Draws: ``uniform`` ``(N, side**2 - 1)`` in [0, 1), side the next power of two of the longer
    side: the fractal's steps in the package's order.
    """
    height, width = images.shape[-2:]
    side = 1 << (max(height, width) - 1).bit_length()
    haze = _plasma(draws.uniform("uniform", (side**2 - 1,)), style.decay)
    haze -= haze.amin((-2, -1), keepdim=True)
    haze /= haze.amax((-2, -1), keepdim=True)
    haze = haze[:, None, :height, :width] * (255.0 * style.thickness)
    brightest = images.amax((1, 2, 3), keepdim=True).float().div_(255.0)
    return (images + haze).mul_(brightest / (brightest + style.thickness))


def brightness(images: Tensor, added: float, _: Draws) -> Tensor:
    """Raise the value of hue, saturation and value; no draws."""
    values = images.float()
    value = values.amax(1, keepdim=True)
    brighter = (value + 255.0 * added).clamp_(max=255.0)
    # Black has no hue: it becomes grey.
    scale = torch.where(value > 0, brighter / value, 0.0)
    return brighter - (value - values).mul_(scale)


def _grey(values: Tensor) -> Tensor:
    """``(N, 3, H, W)`` RGB -> ``(N, 1, H, W)``."""
    red, green, blue = values.unbind(1)
    grey = (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])
    return grey[:, None]


@lru_cache(maxsize=2 * FROST_PICTURES)
def _frost_tensor(
    index: int, height: int, width: int, scale: float, device: torch.device
) -> Tensor:
    """``(3, h, w)`` uint8, larger than height x width."""
    picture = frost_picture(index, height, width, scale=scale)
    return torch.tensor(picture, device=device).permute(2, 0, 1)


def _plasma(steps: Tensor, decay: float) -> Tensor:
    """A fractal by the diamond-square algorithm on a torus, doubled from one pixel.

    Args:
        steps: ``(N, side**2 - 1)``, uniform in [0, 1); each octave takes its squares, the diamonds
            to their top and those to their left.
        decay: By how much the steps shrink per octave.

    Returns:
        ``(N, side, side)``, of any range.
    """
    count, total = steps.shape
    heights = steps.new_zeros((count, 1, 1))
    wibble, used = _FIRST_WIBBLE, 0
    while used < total:
        side = heights.shape[-1]
        octave = steps[:, used : used + 3 * side**2].mul(2.0).sub_(1.0).mul_(wibble**2)
        squares, tops, lefts = octave.view(count, 3, side, side).unbind(1)
        below = heights + heights.roll(-1, -2)
        beside = heights + heights.roll(-1, -1)
        squares.add_(below + below.roll(-1, -1), alpha=0.25)
        tops.add_(squares + squares.roll(1, -2) + beside, alpha=0.25)
        lefts.add_(squares + squares.roll(1, -1) + below, alpha=0.25)
        finer = heights.new_empty((count, 2 * side, 2 * side))
        finer[:, ::2, ::2] = heights
        finer[:, 1::2, 1::2] = squares
        finer[:, ::2, 1::2] = tops
        finer[:, 1::2, ::2] = lefts
        heights, used, wibble = finer, used + 3 * side**2, wibble / decay
    return heights
