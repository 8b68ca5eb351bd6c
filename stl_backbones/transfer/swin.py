"""mmdet's Swin Transformer, for detectors of its authors too.

References:
    Liu et al. 2021, "Swin Transformer", arXiv:2103.14030.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from mmdet.models.backbones import SwinTransformer as DetectionSwinTransformer
from mmdet.models.backbones.swin import swin_converter
from torch import Tensor

from stl_backbones.registry import MODELS

_PREFIX = "backbone."  # what mmdet's converter puts before each name
_MASK = "attn_mask"  # of one size of image; mmdet makes its own as it runs


@MODELS.register_module()
class SwinTransformer(DetectionSwinTransformer):
    """mmdet's ``SwinTransformer`` with its arguments; files of the authors' detectors fit too."""

    def rename_released(self, weights: MutableMapping[str, Tensor], *, prefix: str) -> None:
        """Give this backbone's part of an authors' model mmdet's names and order, in place.

        Args:
            weights: The whole model's parameter name -> tensor.
            prefix: What the names of the backbone's parameters begin with, ``'backbone.'``.
        """
        names = [name for name in weights if name.startswith(prefix)]
        if not any(name.startswith(f"{prefix}layers.") for name in names):
            return
        theirs = {
            name.removeprefix(prefix): value
            for name, value in ((name, weights.pop(name)) for name in names)
            if not name.endswith(_MASK)
        }
        weights.update(
            {
                prefix + name.removeprefix(_PREFIX): value
                for name, value in swin_converter(theirs).items()
            }
        )


__all__ = ["SwinTransformer"]
