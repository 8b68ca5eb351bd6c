"""Mixup and CutMix, drawn once per batch: each image is mixed with its mirror in the batch.

References:
    Zhang et al. 2017, "mixup", arXiv:1710.09412.
    Yun et al. 2019, "CutMix", arXiv:1905.04899, with timm's boxes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

Span = tuple[int, int]


@dataclass(frozen=True)
class Mixing:
    """How a batch is mixed.

    Attributes:
        kind: ``'mixup'``, ``'cutmix'``, or ``'none'``.
        kept: Share of an image that stays, 0..1; the rest is its partner's.
        rows: First row of the box that CutMix takes from the partner, and the row after its last.
        columns: The same of its columns.
    """

    kind: str = "none"
    kept: float = 1.0
    rows: Span = (0, 0)
    columns: Span = (0, 0)


def draw_mixing(
    size: tuple[int, int],
    *,
    mixup_alpha: float,
    cutmix_alpha: float,
    switch_prob: float,
    rng: np.random.Generator,
) -> Mixing:
    """Draw the mixing of a batch.

    Args:
        size: Height and width of the images.
        mixup_alpha: Of Mixup's Beta distribution; 0 for no Mixup.
        cutmix_alpha: Of CutMix's; 0 for no CutMix.
        switch_prob: Chance of CutMix where both are on.
        rng: The generator.
    """
    if mixup_alpha == cutmix_alpha == 0:
        return Mixing()
    cut = cutmix_alpha > 0 and (mixup_alpha == 0 or rng.random() < switch_prob)
    alpha = cutmix_alpha if cut else mixup_alpha
    kept = float(rng.beta(alpha, alpha))
    if not cut:
        return Mixing("mixup", kept)
    height, width = size
    rows = _draw_span(height, kept, rng)
    columns = _draw_span(width, kept, rng)
    area = (rows[1] - rows[0]) * (columns[1] - columns[0])
    return Mixing("cutmix", 1 - area / (height * width), rows, columns)


def _draw_span(side: int, kept: float, rng: np.random.Generator) -> Span:
    """A span around a random centre, cut off at the image's border."""
    length = int(side * math.sqrt(1 - kept))
    centre = int(rng.integers(side))
    return max(0, centre - length // 2), min(side, centre + (length + 1) // 2)


def mix_images(images: Tensor, mixing: Mixing) -> Tensor:
    """Mix images ``(B, C, H, W)``, in place."""
    if mixing.kind == "mixup":
        partner = images.flip(0).mul_(1 - mixing.kept)
        images.mul_(mixing.kept).add_(partner)
    elif mixing.kind == "cutmix":
        box = (..., slice(*mixing.rows), slice(*mixing.columns))
        images[box] = images[box].flip(0)
    return images


def mix_targets(targets: Tensor, mixing: Mixing) -> Tensor:
    """Mix targets ``(B, K)`` as their images."""
    return targets * mixing.kept + targets.flip(0) * (1 - mixing.kept)
