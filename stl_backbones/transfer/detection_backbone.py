"""FAN with the layers that detection adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from stl_backbones.errors import InputError
from stl_backbones.models import load_weights, read_checkpoint, select_state_dict
from stl_backbones.registry import MODELS
from stl_backbones.transfer.backbone import FANBackbone

DETECTION_PREFIXES = ("learnable_downsample.", "out_norm")
COARSE_CHANNELS = 768  # of the map at stride 32
OUT_NORM_EPS = 1e-5  # torch's default, unlike the rest of FAN


@MODELS.register_module(name="FANDetection")
class FANDetectionBackbone(FANBackbone):
    """FAN as a pyramid: ``dict(type='FANDetection', arch='base_hybrid', ...)``.

    Four maps at strides 4, 8, 16, 32 with 128, 256, C, 768 channels. The last patch tokens go
    through a 3x3 convolution of stride 2 (``learnable_downsample``), and each map through a
    LayerNorm over its channels (``out_norm0`` to ``out_norm3``). The names are the released ones.

    Args:
        arch: A hybrid arch, see `FANBackbone`.
        out_indices: Which of the four maps to return; the others get no layers.
        **kwargs: As for `FANBackbone`. ``frozen_stages`` leaves the added layers free. A file of
            ``init_cfg`` may be a classifier's: then they start fresh.

    Raises:
        KeyError: If ``arch`` is unknown.
        ValueError: If it is no hybrid one, or an argument is not as for `FANBackbone`.
    """

    def __init__(
        self, arch: str = "base_hybrid", *, out_indices: Sequence[int] = (0, 1, 2, 3), **kwargs: Any
    ) -> None:
        super().__init__(arch, out_indices=out_indices, **kwargs)
        if not self.variant.is_hybrid:
            raise InputError(
                f"detection needs maps at strides 4 to 32: expected a hybrid arch, got '{arch}'"
            )
        coarse = len(self.feature_info) - 1
        if coarse in self.out_indices:
            self.learnable_downsample = nn.Conv2d(
                self.embed_dim, COARSE_CHANNELS, kernel_size=3, stride=2, padding=1
            )
        widths: list[Any] = [info["num_chs"] for info in self.feature_info]
        widths[coarse] = COARSE_CHANNELS
        self.out_channels = tuple(widths[index] for index in self.out_indices)
        for index in self.out_indices:
            self.add_module(_norm_name(index), nn.LayerNorm(widths[index], eps=OUT_NORM_EPS))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Map images ``(B, 3, H, W)`` to maps ``(B, C_i, ceil(H / s_i), ceil(W / s_i))``.

        They are contiguous: mmcv's RoIAlign misreads others, see `stl_backbones.transfer`'s
        ``float32_heads``, and a neck's convolutions hand the memory format on.
        """
        coarse = len(self.feature_info) - 1
        maps = []
        for index, features in zip(self.out_indices, super().forward(x), strict=True):
            finished = self.learnable_downsample(features) if index == coarse else features
            maps.append(_norm_channels(finished, getattr(self, _norm_name(index))))
        return tuple(maps)

    def _load_pretrained(self, path: str | Path, *, ema: bool) -> None:
        weights = dict(select_state_dict(read_checkpoint(path), ema=ema))
        self.rename_released(weights, prefix="")
        fresh = {k: v for k, v in self.state_dict().items() if k.startswith(DETECTION_PREFIXES)}
        note = ""
        if fresh and not fresh.keys() & weights.keys():  # a part of them is an error, as anywhere
            weights |= fresh
            note = f"\n  {len(fresh)} of them are detection layers, which start fresh"
        print_log(f"{load_weights(self, weights, source=str(path))}{note}", logger="current")


def _norm_name(index: int) -> str:
    return f"out_norm{index}"


def _norm_channels(features: Tensor, norm: nn.LayerNorm) -> Tensor:
    """LayerNorm over the channels of a map (B, C, H, W)."""
    return norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


__all__ = ["DETECTION_PREFIXES", "FANDetectionBackbone"]
