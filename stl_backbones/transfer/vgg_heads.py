"""The decoders of FCN-8s and DilatedNet on mmseg's base class.

References:
    Long et al. 2015, arXiv:1411.4038, section 4.
    Yu & Koltun 2016, arXiv:1511.07122.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import constant_init
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from stl_backbones.models.context_module import ContextModule
from stl_backbones.registry import MODELS


@MODELS.register_module()
class FCN8sHead(BaseDecodeHead):
    """Scores of fc7, upsampled twice by two and joined with those of pool4 and pool3.

    The upsampling layers are learned, and begin as bilinear interpolation; the scores of the two
    pools begin as zeros. The last upsampling, by eight, is mmseg's: bilinear and fixed, as in the
    paper.

    Args:
        in_channels: Of pool3, pool4 and fc7.
        **kwargs: As for mmseg's ``BaseDecodeHead``: in_index, num_classes, loss_decode and so on.
    """

    def __init__(
        self, *, in_channels: tuple[int, int, int] = (256, 512, 4096), **kwargs: Any
    ) -> None:
        pool3, pool4, fc7 = in_channels
        super().__init__(
            input_transform="multiple_select", in_channels=list(in_channels), channels=fc7, **kwargs
        )
        classes = self.out_channels
        self.score_pool3 = nn.Conv2d(pool3, classes, kernel_size=1)
        self.score_pool4 = nn.Conv2d(pool4, classes, kernel_size=1)
        self.up_fc7, self.up_pool4 = (
            nn.ConvTranspose2d(classes, classes, kernel_size=4, stride=2, padding=1, bias=False)
            for _ in range(2)
        )

    def init_weights(self) -> None:
        """Zeros for the pools' scores, bilinear interpolation for the upsampling layers."""
        super().init_weights()
        for score in (self.score_pool3, self.score_pool4):
            constant_init(score, val=0.0)
        for layer in (self.up_fc7, self.up_pool4):
            set_bilinear_(layer)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Map ``(B, C_i, H_i, W_i)`` at strides 8, 16, 32 to logits ``(B, K, H_0, W_0)``."""
        pool3, pool4, fc7 = self._transform_inputs(inputs)
        scores = _cropped(self.up_fc7(self.cls_seg(fc7)), pool4) + self.score_pool4(pool4)
        return _cropped(self.up_pool4(scores), pool3) + self.score_pool3(pool3)


@MODELS.register_module()
class DilatedContextHead(BaseDecodeHead):
    """The front end's last layer, a 1x1 convolution, and the context module behind it.

    Args:
        **kwargs: As for mmseg's ``BaseDecodeHead``; ``channels`` is ``in_channels``.
    """

    def __init__(self, *, in_channels: int = 4096, **kwargs: Any) -> None:
        super().__init__(in_channels=in_channels, channels=in_channels, **kwargs)
        self.context = ContextModule(self.out_channels)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Map ``(B, C, H, W)`` to logits ``(B, K, H, W)``."""
        return self.context(self.cls_seg(self._transform_inputs(inputs)))


def set_bilinear_(layer: nn.ConvTranspose2d) -> None:
    """Make a transposed convolution upsample each channel bilinearly, by its stride of two."""
    side = layer.kernel_size[0]
    centre = (side - 1) / 2
    ramp = 1 - (torch.arange(side) - centre).abs() / (side / 2)
    with torch.no_grad():
        layer.weight.zero_()
        for channel in range(layer.in_channels):
            layer.weight[channel, channel] = ramp[:, None] * ramp


def _cropped(x: Tensor, like: Tensor) -> Tensor:
    """``x`` with the size of ``like``: at odd sizes it is one line or row short or too long."""
    height, width = like.shape[-2:]
    short = (height - x.shape[-2], width - x.shape[-1])
    if max(short) > 0:
        x = nn.functional.pad(x, (0, max(short[1], 0), 0, max(short[0], 0)), mode="replicate")
    return x[..., :height, :width]


__all__ = ["DilatedContextHead", "FCN8sHead", "set_bilinear_"]
