"""Positions of tokens on their grid."""

from __future__ import annotations

import math

import torch
from timm.models.xcit import PositionalEncodingFourier
from torch import Tensor

_KEPT = 8  # grid sizes


class GridPositions(PositionalEncodingFourier):
    """timm's Fourier code of rows and columns, computed once per grid size.

    Args:
        **kwargs: As for timm's class, whose numbers and parameter names these are.
    """

    def __init__(self, **kwargs: int) -> None:
        super().__init__(**kwargs)
        self._codes: dict[tuple[int, int, torch.device, torch.dtype], Tensor] = {}

    def forward(self, B: int, H: int, W: int) -> Tensor:  # noqa: N803  timm's names
        """Positions of a grid, ``(B, C, H, W)``."""
        weight = self.token_projection.weight
        if torch.compiler.is_compiling():  # a traced tensor must not be kept
            code = self._code(H, W, weight.device).to(weight.dtype)
        else:
            code = self._kept_code(H, W, weight)
        return self.token_projection(code).expand(B, -1, -1, -1)

    def _kept_code(self, height: int, width: int, weight: Tensor) -> Tensor:
        key = (height, width, weight.device, weight.dtype)
        if key not in self._codes:
            while len(self._codes) >= _KEPT:
                self._codes.pop(next(iter(self._codes)))
            # Outside of inference mode, or training could not use it later.
            with torch.inference_mode(False), torch.no_grad():
                self._codes[key] = self._code(height, width, weight.device).to(weight.dtype)
        return self._codes[key]

    def _code(self, height: int, width: int, device: torch.device) -> Tensor:
        """The code itself, ``(1, 2 * hidden_dim, H, W)`` float32: rows first, then columns."""
        index = torch.arange(self.hidden_dim, device=device, dtype=torch.float32)
        period = self.temperature ** (
            2 * torch.div(index, 2, rounding_mode="floor") / index.numel()
        )

        def waves(count: int) -> Tensor:
            place = torch.arange(1, count + 1, device=device, dtype=torch.float32)
            angle = (place / (count + self.eps) * 2 * math.pi)[:, None] / period
            return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2).flatten(1)

        rows = waves(height)[:, None].expand(-1, width, -1)
        columns = waves(width)[None].expand(height, -1, -1)
        return torch.cat((rows, columns), dim=2).permute(2, 0, 1)[None]


__all__ = ["GridPositions"]
