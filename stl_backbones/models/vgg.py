"""VGG-16 as the encoder of FCN-8s and of DilatedNet, with timm's parameter names.

The two fully connected layers of the classifier are convolutions, so ImageNet weights of timm's
``vgg16`` load key for key.

References:
    Simonyan & Zisserman 2015, arXiv:1409.1556.
    Long et al. 2015, "Fully Convolutional Networks", arXiv:1411.4038, section 4.
    Yu & Koltun 2016, "Multi-Scale Context Aggregation by Dilated Convolutions", arXiv:1511.07122,
    section 4.
"""

from __future__ import annotations

from typing import Any

import timm
import torch.nn.functional as F
from torch import Tensor, nn

from stl_backbones.errors import InputError

_STAGE_ENDS = (16, 23)  # `features[:16]` ends before pool3, `features[16:23]` before pool4
_POOL5 = 30
_DROPOUT = 0.5  # of fc6 and fc7, as in the classifier


class VGG16(nn.Module):
    """The layers of timm's ``vgg16`` but for its last one, to be joined by a subclass.

    Attributes:
        features: Convolutions, ReLUs and max pools; indices as in timm and torchvision.
        pre_logits: fc6, a 7x7 convolution, and fc7, a 1x1 one, with 4096 channels each.
    """

    def __init__(self) -> None:
        super().__init__()
        network: Any = timm.create_model("vgg16", num_classes=0, drop_rate=_DROPOUT)
        self.features: nn.Sequential = network.features
        self.pre_logits: Any = network.pre_logits
        self.drop = nn.Dropout(_DROPOUT)

    def classify(self, x: Tensor) -> Tensor:
        """fc6 and fc7: ``(B, 512, H, W)`` to ``(B, 4096, H', W')``."""
        head = self.pre_logits
        x = head.drop(head.act1(head.fc1(x)))
        return self.drop(head.act2(head.fc2(x)))


class FullyConvolutionalVGG16(VGG16):
    """The encoder of FCN-8s: pool3, pool4 and fc7 at strides 8, 16 and 32.

    fc6 is padded by 3, so that a map has the size of the one below divided by two. The paper's
    network pads the image by 100 pixels instead and crops.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pre_logits.fc1.padding = (3, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(B, 3, H, W)`` to maps of 256, 512 and 4096 channels."""
        third, fourth = (end + 1 for end in _STAGE_ENDS)
        pool3 = self.features[:third](x)
        pool4 = self.features[third:fourth](pool3)
        return pool3, pool4, self.classify(self.features[fourth:](pool4))


class DilatedVGG16(VGG16):
    """The front end of DilatedNet but for its last layer: fc7 at stride 8.

    pool4 and pool5 are left out; the convolutions behind them are dilated by 2 and 4. No layer
    pads: the image is padded by its reflection, so wide that a map is an eighth of it.
    """

    MARGIN = 186  # pixels on each side: the map of W + 2 * 186 pixels has W / 8 columns

    def __init__(self) -> None:
        super().__init__()
        _, pool4 = _STAGE_ENDS
        for index in (pool4, _POOL5):
            self.features[index] = nn.Identity()
        for index, layer in enumerate(self.features):
            if isinstance(layer, nn.Conv2d):
                layer.padding = (0, 0)
                layer.dilation = (2, 2) if index > pool4 else (1, 1)
        self.pre_logits.fc1.dilation = (4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """``(B, 3, H, W)``, sides above 186, to ``(B, 4096, H // 8, W // 8)``.

        Raises:
            ValueError: If a side is 186 or less, and has no reflection that wide.
        """
        height, width = x.shape[-2:]
        if min(height, width) <= self.MARGIN:
            raise InputError(
                f"DilatedNet pads images by {self.MARGIN} reflected pixels: expected sides of more "
                f"than that, got {height}x{width}"
            )
        padded = F.pad(x, (self.MARGIN,) * 4, mode="reflect")
        return (self.classify(self.features(padded)),)


__all__ = ["VGG16", "DilatedVGG16", "FullyConvolutionalVGG16"]
