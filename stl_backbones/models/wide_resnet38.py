"""Wide ResNet-38, model A of "Wider or Deeper", as a dense encoder.

Written without the paper's text at hand; the parameters are as many as others count of it.

References:
    Wu, Shen & van den Hengel 2016, arXiv:1611.10080.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from stl_backbones.errors import InputError

# Blocks B2 to B7: units, channels behind each convolution of a unit, dropout inside the unit.
# Two convolutions are 3x3; of three, the outer ones are 1x1.
BLOCKS: tuple[tuple[int, tuple[int, ...], float], ...] = (
    (3, (128, 128), 0.0),
    (3, (256, 256), 0.0),
    (6, (512, 512), 0.0),
    (3, (512, 1024), 0.0),
    (1, (512, 1024, 2048), 0.3),
    (1, (1024, 2048, 4096), 0.5),
)
_STEM = 64
_STRIDES = (2, 2, 2, 2, 2, 1)  # for images of 224: B6 and B7 work on 7x7
OUTPUT_STRIDES = (8, 16, 32)


class PreActivationUnit(nn.Module):
    """A residual unit with BatchNorm and ReLU before each convolution.

    Where the unit changes the size or the channels, its input is projected behind the first
    activation; else it goes on as it is.

    Args:
        in_channels: Channels in.
        channels: Channels behind each convolution; two or three.
        stride: Of the first convolution.
        dilations: Of the first convolution, and of those behind it.
        dropout: Before the last convolution.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        *,
        stride: int = 1,
        dilations: tuple[int, int] = (1, 1),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kernels = (3, 3) if len(channels) == 2 else (1, 3, 1)
        widths = (in_channels, *channels)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[:-1])
        self.convs = nn.ModuleList(
            nn.Conv2d(
                before,
                after,
                kernel,
                stride=stride if index == 0 else 1,
                padding=dilations[index > 0] * (kernel // 2),
                dilation=dilations[index > 0],
                bias=False,
            )
            for index, (before, after, kernel) in enumerate(
                zip(widths, widths[1:], kernels, strict=False)
            )
        )
        self.dropout = nn.Dropout(dropout)
        is_new_shape = stride != 1 or in_channels != channels[-1]
        self.projection = (
            nn.Conv2d(in_channels, channels[-1], 1, stride=stride, bias=False)
            if is_new_shape
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, C', H / stride, W / stride)``."""
        active = F.relu(self.norms[0](x))
        shortcut = x if self.projection is None else self.projection(active)
        for index, conv in enumerate(self.convs):
            if index > 0:
                active = F.relu(self.norms[index](active))
            if index == len(self.convs) - 1:
                active = self.dropout(active)
            active = conv(active)
        return shortcut + active


class WideResNet38(nn.Module):
    """Model A without its classifier: one map of 4096 channels.

    Behind the output stride a block dilates instead of striding: B5 by 2, B6 and B7 by 4 at stride
    8. With the classifier's layer there are 38 on the longest path.

    Args:
        output_stride: 8, 16 or 32.

    Raises:
        ValueError: If ``output_stride`` is another.
    """

    def __init__(self, output_stride: int = 8) -> None:
        super().__init__()
        if output_stride not in OUTPUT_STRIDES:
            raise InputError(f"output_stride must be one of 8, 16, 32, got {output_stride}")
        self.stem = nn.Conv2d(3, _STEM, kernel_size=3, padding=1, bias=False)
        self.blocks = nn.ModuleList(nn.Sequential(*units) for units in _blocks(output_stride))
        self.norm = nn.BatchNorm2d(BLOCKS[-1][1][-1])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """``(B, 3, H, W)`` to ``(B, 4096, H / output_stride, W / output_stride)``."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return (F.relu(self.norm(x)),)


def _blocks(output_stride: int) -> Iterator[list[PreActivationUnit]]:
    width, reached, dilation = _STEM, 1, 1
    for (count, channels, dropout), stride in zip(BLOCKS, _STRIDES, strict=True):
        before = dilation
        if reached < output_stride:
            reached *= stride
        else:
            dilation *= stride
            stride = 1
        units = [
            PreActivationUnit(
                width, channels, stride=stride, dilations=(before, dilation), dropout=dropout
            )
        ]
        width = channels[-1]
        units += [
            PreActivationUnit(width, channels, dilations=(dilation, dilation), dropout=dropout)
            for _ in range(count - 1)
        ]
        yield units


__all__ = ["BLOCKS", "OUTPUT_STRIDES", "PreActivationUnit", "WideResNet38"]
