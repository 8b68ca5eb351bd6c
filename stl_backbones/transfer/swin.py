"""mmdet's Swin Transformer, with files of its authors and of timm too.

timm's own Swin shifts a map before it pads it to whole windows, mmdet's and the authors' pad first:
on maps that windows of 7 do not divide, only these mask what they mean to.

References:
    Liu et al. 2021, "Swin Transformer", arXiv:2103.14030.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from mmdet.models.backbones import SwinTransformer as DetectionSwinTransformer
from mmdet.models.backbones.swin import swin_converter
from torch import Tensor

from stl_backbones.registry import MODELS
from stl_backbones.transfer.pretrained import load_pretrained

_PREFIX = "backbone."  # what mmdet's converter puts before each name
_MASK = "attn_mask"  # of one size of image; mmdet makes its own as it runs
_FRESH = re.compile(r"norm\d\.|.*\.relative_position_index$")  # in no classifier's file


@MODELS.register_module()
class SwinTransformer(DetectionSwinTransformer):
    """mmdet's ``SwinTransformer`` with its arguments.

    ``init_cfg`` is ``dict(type='Pretrained', checkpoint=FILE)`` with a file, or an address, of the
    authors', timm's or OpenMMLab's Swin of the same size, which must fill all but the norms of the
    maps; without a file, training starts from scratch.
    """

    init_cfg: dict[str, Any] | None

    def init_weights(self) -> None:
        """Load ``init_cfg``'s checkpoint, or draw weights as mmdet does.

        Raises:
            ValueError: If ``init_cfg`` is of another type, or its file does not fill the network.
        """
        wanted, self.init_cfg = self.init_cfg, None
        super().init_weights()
        self.init_cfg = wanted
        load_pretrained(self, wanted, convert=self._converted)

    def rename_released(self, weights: MutableMapping[str, Tensor], *, prefix: str) -> None:
        """Give this backbone's part of an authors' model mmdet's names and order, in place.

        Args:
            weights: The whole model's parameter name -> tensor.
            prefix: What the names of the backbone's parameters begin with, ``'backbone.'``.
        """
        names = [name for name in weights if name.startswith(prefix)]
        theirs = {name.removeprefix(prefix): weights.pop(name) for name in names}
        weights.update({prefix + name: value for name, value in by_mmdets_names(theirs).items()})

    def _converted(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """A classifier's weights by mmdet's names; what it has none for stays as it is."""
        fresh = {name: value for name, value in self.state_dict().items() if _FRESH.match(name)}
        return {**fresh, **by_mmdets_names(weights)}


def by_mmdets_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the authors' or timm's weights of a Swin mmdet's names and order of merged patches.

    Args:
        weights: Parameter name -> tensor; those of OpenMMLab are left as they are.
    """
    if not any(name.startswith("layers.") for name in weights):
        return dict(weights)
    is_timms = not any(name.startswith("layers.0.downsample.") for name in weights)
    theirs = {
        _authors_name(name) if is_timms else name: value
        for name, value in weights.items()
        if not name.endswith(_MASK)
    }
    return {name.removeprefix(_PREFIX): value for name, value in swin_converter(theirs).items()}


def _authors_name(name: str) -> str:
    """Timm counts a merging of patches to the stage behind it, the authors to the one before."""
    merging = re.match(r"layers\.(\d+)\.downsample\.(.*)", name)
    return f"layers.{int(merging[1]) - 1}.downsample.{merging[2]}" if merging else name


__all__ = ["SwinTransformer", "by_mmdets_names"]
