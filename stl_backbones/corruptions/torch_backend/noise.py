"""Noise: every value for itself.

Every function takes ``(N, 3, H, W)`` uint8 and returns values that the caller clips to 0..255 and
truncates.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import pdtr
from torch import Tensor

from stl_backbones.corruptions.parameters import TABLES_KEPT
from stl_backbones.corruptions.torch_backend.draws import LEVELS, Draws


def gaussian_noise(images: Tensor, scale: float, draws: Draws) -> Tensor:
    """Add normal noise. Draws: ``normal`` ``(N, 3, H, W)``, standard normal."""
    return draws.normal("normal", images.shape[1:]).mul_(255.0 * scale).add_(images)


def speckle_noise(images: Tensor, scale: float, draws: Draws) -> Tensor:
    """Multiply by normal noise around 1. Draws: ``normal`` ``(N, 3, H, W)``, standard normal."""
    return draws.normal("normal", images.shape[1:]).mul_(scale).add_(1.0).mul_(images)


def impulse_noise(images: Tensor, share: float, draws: Draws) -> Tensor:
    """Make values white or black.

    Draws: ``uniform`` ``(N, 3, H, W)`` in [0, 1); in the first half of the share to replace a value
    becomes white, in the second half black.
    """
    chance = draws.uniform("uniform", images.shape[1:])
    return images.masked_fill(chance < share, 0).masked_fill_(chance < share / 2, 255)


def shot_noise(images: Tensor, white: float, draws: Draws) -> Tensor:
    """Count photons. Draws: ``photons`` ``(N, 3, H, W)``, the Poisson counts."""
    photons = draws.given("photons", images.shape[1:])
    if photons is not None:
        greys = torch.from_numpy(_photon_greys(white)).to(images.device)
        return greys[photons.long().clamp(max=len(greys) - 1)]
    index = images.to(torch.int32).mul_(LEVELS).add_(draws.levels("photons", images.shape[1:]))
    return _photon_table(white, images.device).index_select(0, index.view(-1)).view(index.shape)


@lru_cache(maxsize=TABLES_KEPT)
def _photon_table(white: float, device: torch.device) -> Tensor:
    """Grey value for each (grey level before, level of the draw), flat: 16 MB."""
    counts = np.arange(math.ceil(white))  # from `white` photons on a value is white
    greys = _photon_greys(white)
    rows = []
    for rate in np.arange(256) / 255.0 * white:
        ends = np.floor(pdtr(counts, rate) * LEVELS + 0.5).astype(np.int64)
        rows.append(np.repeat(greys, np.diff(ends, prepend=0, append=LEVELS)))
    return torch.from_numpy(np.concatenate(rows)).to(device)


def _photon_greys(white: float) -> npt.NDArray[np.uint8]:
    """Grey value of 0 to as many photons as are white, rounded as the package does."""
    shares = np.arange(math.ceil(white) + 1) / float(white)
    return (np.minimum(shares, 1.0) * 255).astype(np.uint8)
