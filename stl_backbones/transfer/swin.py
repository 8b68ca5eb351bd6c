"""mmseg's Swin with timm's ImageNet weights.

timm's own Swin shifts a map before it pads it to whole windows, mmseg's and the authors' dense one
pad first: on maps that windows of 7 do not divide, 256 of a crop of 1024 among them, only these
mask what they mean to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mmseg.models.backbones import SwinTransformer
from torch import Tensor

from stl_backbones.registry import MODELS
from stl_backbones.transfer.pretrained import NetworkBackbone

# timm's names, and mmseg's.
_RENAMED = (
    (r"^layers\.", "stages."),
    (r"\.attn\.", ".attn.w_msa."),
    (r"\.mlp\.fc1\.", ".ffn.layers.0.0."),
    (r"\.mlp\.fc2\.", ".ffn.layers.1."),
    (r"^patch_embed\.proj\.", "patch_embed.projection."),
)
_FRESH = re.compile(r"norm\d\.|.*\.relative_position_index$")  # in no file of timm's


@MODELS.register_module()
class PretrainedSwin(NetworkBackbone):
    """Swin: ``dict(type='PretrainedSwin', depths=[2, 2, 6, 2], ...)``.

    Maps at strides 4, 8, 16 and 32, each through a LayerNorm.

    Args:
        init_cfg: As for `stl_backbones.transfer.pretrained.NetworkBackbone`, with a file of timm's
            Swin of the same size, or one that mmseg released.
        **settings: For mmseg's ``SwinTransformer``.
    """

    def __init__(self, init_cfg: dict[str, Any] | None = None, **settings: Any) -> None:
        super().__init__(SwinTransformer(**settings), init_cfg)

    def converted(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """A file's weights by mmseg's names; what it has no weights for stays as it is."""
        own = self.network.state_dict()
        fresh = {name: value for name, value in own.items() if _FRESH.match(name)}
        is_timms = any(name.startswith("layers.") for name in weights)
        return fresh | (by_mmsegs_names(weights) if is_timms else dict(weights))


def by_mmsegs_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give timm's weights of a Swin mmseg's names, and its merged patches in mmseg's order.

    timm merges four neighbours by (column, row, channel), mmseg by (channel, row, column); timm
    counts a merging to the stage behind it, mmseg to the one before.
    """
    found = {}
    for name, value in weights.items():
        merging = re.match(r"layers\.(\d+)\.downsample\.(.*)", name)
        if merging:
            merged = value.unflatten(-1, (2, 2, -1)).transpose(-1, -3).flatten(-3)
            found[f"stages.{int(merging[1]) - 1}.downsample.{merging[2]}"] = merged
            continue
        for old, new in _RENAMED:
            name = re.sub(old, new, name)
        found[name] = value
    return found


__all__ = ["PretrainedSwin", "by_mmsegs_names"]
