"""Drops of water or mud on the lens.

The water follows OpenCV step by step in integers: Canny edges, a chamfer distance to them, an
equalised histogram and an embossing filter.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from stl_backbones.corruptions.parameters import MUD, WATER, Spatter
from stl_backbones.corruptions.torch_backend.draws import Draws
from stl_backbones.corruptions.torch_backend.filters import blur, extend

_MUD_CORE = 0.8  # mud thinner than this is not drawn
_CANNY_LOW, _CANNY_HIGH = 50, 150
_TANGENT_SHIFT = 15
_TANGENT_22 = 13573  # tan(22.5 degrees) in 15 bits, OpenCV's canny.cpp
_HYSTERESIS_STEPS = 8  # between two looks at whether the edges still grow

_PIXEL = 10_000  # distances are integers, in parts of a pixel
_FAR = 20 * _PIXEL  # farther away counts as this
# (down, right, cost) of OpenCV's 5x5 chamfer distance: 1, 1.4 and 2.1969 pixels.
_CHAMFER_STEPS = (
    (0, 1, 10_000), (1, 0, 10_000),
    (1, 1, 14_000), (1, -1, 14_000),
    (1, 2, 21_969), (1, -2, 21_969), (2, 1, 21_969), (2, -1, 21_969),
)  # fmt: skip
_EMBOSS = ((-1, -1, -2), (-1, 0, -1), (0, -1, -1), (0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 2))


def spatter(images: Tensor, style: Spatter, draws: Draws) -> Tensor:
    """Draw drops of water (severity 1 to 3) or mud (4 and 5).

    Draws: ``normal`` ``(N, H, W)``, standard normal.
    """
    noise = draws.normal("normal", images.shape[-2:]).mul_(style.scale).add_(style.mean)
    liquid = blur(noise, style.sigma, style.sigma)
    draw = _mud if style.is_mud else _water
    return draw(images, liquid, style)


def _mud(images: Tensor, liquid: Tensor, style: Spatter) -> Tensor:
    cover = blur((liquid > style.threshold).float(), style.strength, style.strength)
    cover = cover.masked_fill_(cover < _MUD_CORE, 0.0)[:, None]
    return images * (1 - cover) + cover * _colour(MUD, images.device)


def _water(images: Tensor, liquid: Tensor, style: Spatter) -> Tensor:
    liquid = liquid.masked_fill(liquid < style.threshold, 0.0)
    liquid = liquid.mul_(255.0).to(torch.int32)
    relief = _relief(_edge_distance(_canny(liquid)))
    drops = (liquid * relief).float()[:, None]
    peak = drops.amax((-2, -1), keepdim=True)
    drops = drops.mul_(style.strength / peak)
    wet = images + drops * _colour(WATER, images.device)
    # Without any drop the package divides by zero and returns black.
    return torch.where(peak > 0, wet, 0.0)


@lru_cache(maxsize=8)
def _colour(rgb: tuple[int, int, int], device: torch.device) -> Tensor:
    return torch.tensor(rgb, dtype=torch.float32, device=device).view(1, 3, 1, 1)


def _canny(grey: Tensor) -> Tensor:
    """`cv2.Canny(grey, 50, 150)`: ``(N, H, W)`` int32 -> bool."""
    wide = extend(extend(grey, -2, 1, "replicate"), -1, 1, "replicate")
    rows = wide[..., :-2, :] + 2 * wide[..., 1:-1, :] + wide[..., 2:, :]
    columns = wide[..., :-2] + 2 * wide[..., 1:-1] + wide[..., 2:]
    dx = rows[..., 2:] - rows[..., :-2]
    dy = columns[..., 2:, :] - columns[..., :-2, :]
    strength = dx.abs() + dy.abs()
    candidates = _is_ridge(strength, dx, dy) & (strength > _CANNY_LOW)
    edges = candidates & (strength > _CANNY_HIGH)
    while True:
        grown = edges
        for _ in range(_HYSTERESIS_STEPS):
            grown = _dilated(grown) & candidates
        if torch.equal(grown, edges):
            return edges
        edges = grown


def _dilated(mask: Tensor) -> Tensor:
    """A mask and its eight neighbours."""
    wide = F.pad(mask, (1, 1, 1, 1))
    rows = wide[..., :-2, :] | wide[..., 1:-1, :] | wide[..., 2:, :]
    return rows[..., :-2] | rows[..., 1:-1] | rows[..., 2:]


def _is_ridge(strength: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """Where the gradient is strongest along its own direction, of four."""
    height, width = strength.shape[-2:]
    wide = F.pad(strength, (1, 1, 1, 1))

    def at(down: int, right: int) -> Tensor:
        return wide[..., 1 + down : 1 + down + height, 1 + right : 1 + right + width]

    across, along = dx.abs(), dy.abs() << _TANGENT_SHIFT
    flat = across * _TANGENT_22
    steep = flat + (across << (_TANGENT_SHIFT + 1))  # tan(67.5) = tan(22.5) + 2
    horizontal = (strength > at(0, -1)) & (strength >= at(0, 1))
    vertical = (strength > at(-1, 0)) & (strength >= at(1, 0))
    falling = (strength > at(-1, -1)) & (strength > at(1, 1))
    rising = (strength > at(-1, 1)) & (strength > at(1, -1))
    diagonal = torch.where((dx ^ dy) < 0, rising, falling)
    return torch.where(along < flat, horizontal, torch.where(along > steep, vertical, diagonal))


def _edge_distance(edges: Tensor) -> Tensor:
    """Chamfer distance to the nearest edge, at most 20 pixels: ``(N, H, W)`` int32, in 1/10000.

    The order of a path's steps does not matter, so each kind of step is taken in turn, 1, 2, 4, ...
    times; a margin holds the paths that leave the image on the way.
    """
    margin = _FAR // _PIXEL
    distance = torch.where(edges, 0, _FAR).to(torch.int32)
    distance = F.pad(distance, (margin,) * 4, value=_FAR)
    for down, right, cost in _CHAMFER_STEPS:
        times = 1
        while times * cost < _FAR:
            _relax(distance, times * down, times * right, times * cost)
            _relax(distance, -times * down, -times * right, times * cost)
            times *= 2
    return distance[..., margin:-margin, margin:-margin]


def _relax(distance: Tensor, down: int, right: int, cost: int) -> None:
    """Shorten distances, in place, by one move from where they are smaller."""
    height, width = distance.shape[-2:]
    rows, columns = height - abs(down), width - abs(right)
    source = distance.narrow(-2, max(-down, 0), rows).narrow(-1, max(-right, 0), columns)
    target = distance.narrow(-2, max(down, 0), rows).narrow(-1, max(right, 0), columns)
    target.copy_(torch.minimum(target, source + cost))


def _relief(distance: Tensor) -> Tensor:
    """Equalise, emboss and smooth a map of distances: ``(N, H, W)`` int32, 0..255."""
    levels = _box_sum(distance) // (9 * _PIXEL)
    wide = _frame(_equalised(levels))
    height, width = distance.shape[-2:]
    embossed = torch.zeros_like(distance)
    for down, right, weight in _EMBOSS:
        shifted = wide[..., 1 + down : 1 + down + height, 1 + right : 1 + right + width]
        embossed.add_(shifted, alpha=weight)
    return (2 * _box_sum(embossed.clamp_(0, 255)) + 9) // 18  # a ninth, rounded


def _equalised(levels: Tensor) -> Tensor:
    """`cv2.equalizeHist` of ``(N, H, W)`` int32 of 0..20."""
    lowest = levels.amin((-2, -1))
    counts = [(levels <= level).sum((-2, -1)) for level in range(_FAR // _PIXEL + 1)]
    cumulative = torch.stack(counts, dim=-1)
    base = cumulative.gather(-1, lowest.long()[:, None])
    total = cumulative[:, -1:]
    table = ((cumulative - base).float() * (255.0 / (total - base).float())).round_()
    # One level only: OpenCV leaves the image as it is.
    table = torch.where(total > base, table.clamp_(0, 255), lowest[:, None].float())
    flat = levels.flatten(1)
    return table.to(torch.int32).gather(-1, flat.long()).view(levels.shape)


def _box_sum(x: Tensor) -> Tensor:
    """Sum over 3 x 3 pixels."""
    wide = _frame(x)
    rows = wide[..., :-2, :] + wide[..., 1:-1, :] + wide[..., 2:, :]
    return rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]


def _frame(x: Tensor) -> Tensor:
    return extend(extend(x, -2, 1, "reflect"), -1, 1, "reflect")
