"""FAN as an OpenMMLab backbone."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from stl_backbones.errors import InputError
from stl_backbones.models import FAN, get_variant, load_checkpoint
from stl_backbones.models.checkpoint import HEAD_PREFIXES, clean_state_dict
from stl_backbones.registry import MODELS


@MODELS.register_module(name="FAN")
class FANBackbone(FAN, BaseModule):
    """Dense FAN backbone: ``dict(type='FAN', arch='base_hybrid', ...)``.

    Four maps. Hybrid archs: strides 4, 8, 16, 16 with 128, 256 (mini: 48, 96), C, C channels; ViT
    archs: stride 16 and C channels. Parameter names are the released ones, so that files load key
    for key; those that only the class token needs are kept, frozen.

    Args:
        arch: ``'{tiny,small,base,large}_{hybrid,vit}'``, ``'mini_hybrid'`` or a released name.
        out_indices: Which of the four maps to return.
        feature_blocks: FAN blocks handed out as maps; default: the released choice. For
            ``'large_hybrid'`` that is block 18 of 22, ``(21,)`` takes the last one.
        drop_path_rate: Chance to drop a residual branch, the same in every block.
        frozen_stages: -1 trains all; 0 freezes the first convolution, 1 to 4 all that leads to the
            map of that number. Frozen parts stay in eval mode.
        norm_eval: Keep all BatchNorm layers in eval mode.
        with_cp: Recompute activations in the backward pass: less memory, more time.
        released_norm: Stem norms as the released weights need them.
        in_channels: Channels of the image.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)`` loads a released, converted or own
            file, never its pickled code; ``checkpoint=None`` starts from scratch.

    Raises:
        KeyError: If ``arch`` is unknown.
        ValueError: If ``out_indices``, ``frozen_stages`` or ``init_cfg`` is not as above.
    """

    def __init__(
        self,
        arch: str = "base_hybrid",
        *,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        feature_blocks: Sequence[int] | None = None,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        released_norm: bool = True,
        in_channels: int = 3,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            get_variant(arch),
            num_classes=0,
            in_chans=in_channels,
            drop_path_rate=drop_path_rate,
            released_norm=released_norm,
            feature_blocks=feature_blocks,
        )
        maps = len(self.feature_info)
        if not out_indices or not set(out_indices) <= set(range(maps)):
            raise InputError(f"out_indices must be taken from 0..{maps - 1}, got {out_indices}")
        if not -1 <= frozen_stages <= maps:
            raise InputError(f"frozen_stages must be in -1..{maps}, got {frozen_stages}")
        self.init_cfg = init_cfg
        self.out_indices = tuple(out_indices)
        self.out_channels = tuple(self.feature_info[i]["num_chs"] for i in self.out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.set_grad_checkpointing(with_cp)
        self.freeze_class_path()
        for part in self._frozen_parts():
            part.requires_grad_(False)

    def init_weights(self) -> None:
        """Load ``init_cfg``'s checkpoint; fresh weights are those of the constructor.

        Raises:
            ValueError: If ``init_cfg`` is of another type, or its file does not fit.
        """
        if self.init_cfg is None:
            return
        config = dict(self.init_cfg)
        if config.pop("type", None) != "Pretrained" or set(config) - {"checkpoint", "ema"}:
            raise InputError(
                "FAN's init_cfg must be dict(type='Pretrained', checkpoint=FILE[, ema=True]), "
                f"got {self.init_cfg}"
            )
        if config.get("checkpoint") is None:
            print_log("FAN starts from scratch: init_cfg names no checkpoint", logger="current")
            return
        self._load_pretrained(config["checkpoint"], ema=config.get("ema", True))

    def rename_released(self, weights: MutableMapping[str, Tensor], *, prefix: str) -> None:
        """Give this backbone's part of a released model's weights today's names, in place.

        Classifier heads go; what only the class token needs is filled in where the file lacks it:
        no map depends on it.

        Args:
            weights: The whole model's parameter name -> tensor.
            prefix: What the names of the backbone's parameters begin with, ``'backbone.'``.
        """
        names = [name for name in weights if name.startswith(prefix)]
        theirs = {name.removeprefix(prefix): weights.pop(name) for name in names}
        ours = clean_state_dict(theirs)
        class_path = {id(parameter) for parameter in self.class_path_parameters()}
        for name, parameter in self.named_parameters():
            if theirs and id(parameter) in class_path:
                ours.setdefault(name, parameter.detach())
        kept = {name: value for name, value in ours.items() if not name.startswith(HEAD_PREFIXES)}
        weights.update({prefix + name: value for name, value in kept.items()})

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Map images ``(B, 3, H, W)`` to maps ``(B, C_i, ceil(H / s_i), ceil(W / s_i))``.

        They are contiguous: mmcv's RoIAlign misreads others, and a neck's convolutions hand the
        memory format on.
        """
        return tuple(maps.contiguous() for maps in self.forward_dense(x, self.out_indices))

    def train(self, mode: bool = True) -> FANBackbone:
        """Switch to training mode, but for what is frozen."""
        super().train(mode)
        if mode:
            for part in self._frozen_parts():
                part.eval()
            if self.norm_eval:
                for module in self.modules():
                    if isinstance(module, _BatchNorm):
                        module.eval()
        return self

    def _load_pretrained(self, path: str | Path, *, ema: bool) -> None:
        print_log(str(load_checkpoint(self, path, ema=ema)), logger="current")

    def _load_from_state_dict(
        self, state_dict: MutableMapping[str, Tensor], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        if prefix:  # a part of a whole segmentor or detector
            self.rename_released(state_dict, prefix=prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _frozen_parts(self) -> list[nn.Module]:
        stages = self._stages()
        return [part for stage in stages[: self.frozen_stages + 1] for part in stage]

    def _stages(self) -> list[list[nn.Module]]:
        """Modules by the map they lead to; the first entry is the first convolution."""
        bounds = (0, *(block + 1 for block in self.feature_blocks), len(self.blocks))
        runs = [list(self.blocks[start:stop]) for start, stop in pairwise(bounds)]
        runs[-1] += list(self.cls_attn_blocks)
        if self.variant.is_hybrid:
            trunk = self.patch_embed.backbone
            first, second = [trunk.stages[0]], [trunk.stages[1]]
            runs[0] = [self.patch_embed.proj, self.pos_embed, *runs[0]]
            return [[trunk.stem], first, second, *runs]
        return [[self.patch_embed, self.pos_embed], *runs]


__all__ = ["FANBackbone"]
