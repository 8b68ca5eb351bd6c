"""JPEG compression and decompression without the coding in between, which loses nothing.

Everything that loses something is integer arithmetic in libjpeg, and is repeated here step by step:
colour conversion, 2x2 chroma averages, the 'islow' cosine transform, quantisation, and all of it
back with 'fancy' upsampling. The result is that of Pillow with libjpeg-turbo, value for value.

References:
    libjpeg-turbo: jccolor.c, jcsample.c, jfdctint.c, jcdctmgr.c, jidctint.c, jdsample.c, jdcolor.c.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor

from stl_backbones.corruptions.parameters import TABLES_KEPT, Jpeg
from stl_backbones.corruptions.torch_backend.draws import Draws
from stl_backbones.corruptions.torch_backend.filters import extend

_BLOCK = 8
_CENTRE = 128
_HALF = 1 << 15  # of the colour conversions' 16 bits after the point
# RGB to Y, Cb, Cr, and what is added before the shift by 16 bits.
_TO_YCC = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))
_TO_YCC_OFFSET = (_HALF, (_CENTRE << 16) + _HALF - 1, (_CENTRE << 16) + _HALF - 1)
_CR_TO_RED, _CB_TO_BLUE = 91881, 116130
_CB_TO_GREEN, _CR_TO_GREEN = -22554, -46802

# The cosine transform times 8192 as jfdctint.c's sums of products round it: the left half of its
# rows; the right half mirrors it, with the other sign in odd rows. Its transpose is the inverse.
_COSINES = (
    (8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260),
    (10703, 4433, -4433, -10703),
    (9633, -2259, -11362, -6436),
    (8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633),
    (4433, -10704, 10704, -4433),
    (2260, -6436, 9633, -11363),
)
# Bits dropped after each pass; the forward transform's result stays 8 times too large.
_FORWARD_SHIFTS = (11, 15)
_INVERSE_SHIFTS = (11, 18)


def jpeg_compression(images: Tensor, jpeg: Jpeg, _: Draws) -> Tensor:
    """Compress and decompress; no draws."""
    height, width = images.shape[-2:]
    luma_table, chroma_table = _tables(jpeg.quality, images.device)
    luma, chroma = _to_ycc(images)
    luma = _through_blocks(luma, luma_table)
    chroma = _through_blocks(_halved(chroma), chroma_table)[..., : (width + 1) // 2]
    return _to_rgb(luma, _doubled(chroma)[..., :height, :width])


def _to_ycc(images: Tensor) -> tuple[Tensor, Tensor]:
    """``(N, 3, H, W)`` uint8 RGB -> Y ``(N, 1, H, W)`` and Cb, Cr ``(N, 2, H, W)``, int32."""
    rgb = images.to(torch.int32).unbind(1)
    planes = [
        sum(
            (channel * weight for channel, weight in zip(rgb, weights, strict=True)),
            start=torch.full_like(rgb[0], offset),
        )
        >> 16
        for weights, offset in zip(_TO_YCC, _TO_YCC_OFFSET, strict=True)
    ]
    return planes[0][:, None], torch.stack(planes[1:], dim=1)


def _to_rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    """The way back: ``(N, 3, H, W)`` int32, not clipped."""
    y = luma[:, 0]
    cb, cr = (chroma - _CENTRE).unbind(1)
    red = y + ((cr * _CR_TO_RED + _HALF) >> 16)
    green = y + ((cb * _CB_TO_GREEN + cr * _CR_TO_GREEN + _HALF) >> 16)
    blue = y + ((cb * _CB_TO_BLUE + _HALF) >> 16)
    return torch.stack((red, green, blue), dim=1)


def _halved(planes: Tensor) -> Tensor:
    """Averages of 2 x 2, rounded down and up in turn along a row.

    Columns are continued to whole blocks before, rows to an even number only.
    """
    height, width = planes.shape[-2:]
    planes = _continued(planes, -height % 2, -width % (2 * _BLOCK))
    rows = planes[..., ::2, :] + planes[..., 1::2, :]
    sums = rows[..., ::2] + rows[..., 1::2]
    sums[..., ::2] += 1
    sums[..., 1::2] += 2
    return sums >> 2


def _continued(planes: Tensor, down: int, right: int) -> Tensor:
    """Repeat the last row and the last column."""
    rows = planes[..., -1:, :].expand(*planes.shape[:-2], down, planes.shape[-1])
    planes = torch.cat((planes, rows), dim=-2)
    columns = planes[..., -1:].expand(*planes.shape[:-1], right)
    return torch.cat((planes, columns), dim=-1)


def _through_blocks(planes: Tensor, table: Tensor) -> Tensor:
    """Transform, quantise and transform back: ``(N, C, H, W)`` int32, 0..255.

    In float64, whose sums of such integers are exact in any order.
    """
    height, width = planes.shape[-2:]
    cosines = _cosine_matrix(planes.device)
    x = _continued(planes, -height % _BLOCK, -width % _BLOCK).double().sub_(_CENTRE)
    x = _pass_down(_pass_across(x, cosines, _FORWARD_SHIFTS[0]), cosines, _FORWARD_SHIFTS[1])
    x = _quantised(x, table)
    x = _pass_across(_pass_down(x, cosines.T, _INVERSE_SHIFTS[0]), cosines.T, _INVERSE_SHIFTS[1])
    return x.add_(_CENTRE).clamp_(0, 255).to(torch.int32)[..., :height, :width]


def _pass_across(x: Tensor, matrix: Tensor, shift: int) -> Tensor:
    return _shifted((torch.unflatten(x, -1, (-1, _BLOCK)) @ matrix.T).flatten(-2), shift)


def _pass_down(x: Tensor, matrix: Tensor, shift: int) -> Tensor:
    return _shifted((matrix @ torch.unflatten(x, -2, (-1, _BLOCK))).flatten(-3, -2), shift)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Integers in float64 shifted right, rounded."""
    return x.mul_(2.0**-bits).add_(0.5).floor_()


def _quantised(x: Tensor, table: Tensor) -> Tensor:
    """Round to multiples of the table, halves away from zero; ``x`` is 8 times too large."""
    rows = torch.unflatten(x, -2, (-1, _BLOCK))
    blocks = torch.unflatten(rows, -1, (-1, _BLOCK))  # ..., row, block, column
    steps = table[:, None]
    levels = (blocks.abs() + 4 * steps).div_(8 * steps).floor_()
    return levels.mul_(steps).copysign_(blocks).flatten(-2).flatten(-3, -2)


def _doubled(planes: Tensor) -> Tensor:
    """Weights 3/4 and 1/4 for the nearer and the farther pixel, down and across."""
    length = planes.shape[-2]
    wide = extend(planes, -2, 1, "replicate")
    above, here, below = (wide.narrow(-2, start, length) for start in range(3))
    rows = torch.stack((3 * here + above, 3 * here + below), dim=-2).flatten(-3, -2)
    length = planes.shape[-1]
    wide = extend(rows, -1, 1, "replicate")
    left, here, right = (wide.narrow(-1, start, length) for start in range(3))
    pairs = torch.stack((3 * here + left + 8, 3 * here + right + 7), dim=-1)
    return pairs.flatten(-2) >> 4


@lru_cache(maxsize=8)
def _cosine_matrix(device: torch.device) -> Tensor:
    left = torch.tensor(_COSINES, dtype=torch.float64)
    signs = torch.tensor((1.0, -1.0), dtype=torch.float64).repeat(_BLOCK // 2)[:, None]
    return torch.cat((left, signs * left.flip(1)), dim=1).to(device)


@lru_cache(maxsize=TABLES_KEPT)
def _tables(quality: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The steps for luma and chroma, ``(8, 8)`` float64, as Pillow writes them."""
    file = BytesIO()
    Image.new("RGB", (_BLOCK, _BLOCK)).save(file, "JPEG", quality=quality)
    file.seek(0)
    tables = JpegImageFile(file).quantization
    luma, chroma = (
        torch.tensor(tables[index], dtype=torch.float64).view(_BLOCK, _BLOCK).to(device)
        for index in (0, 1)
    )
    return luma, chroma
