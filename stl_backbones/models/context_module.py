"""The context module of DilatedNet: dilated convolutions on the maps of the classes.

References:
    Yu & Koltun 2016, arXiv:1511.07122, sections 3 and A.3.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

# Table 1's basic module has dilations up to 16; section A.3 adds 32 and 64 for Cityscapes.
DILATIONS = (1, 1, 2, 4, 8, 16, 32, 64, 1)


class ContextModule(nn.Module):
    """The basic context module: nine dilated 3x3 convolutions with ReLU and a 1x1 one.

    Maps are padded with zeros once, by the width of what an output sees; no layer pads. Fresh
    layers hand every channel on unchanged, so that a fresh module changes no class's order where
    the scores are positive.

    Args:
        channels: The number of classes, in and out.
        dilations: Of the 3x3 convolutions.
    """

    def __init__(self, channels: int, dilations: tuple[int, ...] = DILATIONS) -> None:
        super().__init__()
        self.margin = sum(dilations)
        self.layers = nn.ModuleList(
            nn.Conv2d(channels, channels, kernel_size=3, dilation=dilation)
            for dilation in dilations
        )
        self.final = nn.Conv2d(channels, channels, kernel_size=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every layer to the identity, section 3's initialisation."""
        for layer in (*self.layers, self.final):
            nn.init.dirac_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, scores: Tensor) -> Tensor:
        """``(B, K, H, W)`` in and out."""
        x = F.pad(scores, (self.margin,) * 4)
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.final(x)


__all__ = ["DILATIONS", "ContextModule"]
