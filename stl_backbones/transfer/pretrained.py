"""Backbones that are a network of timm or of `stl_backbones.models`, with its ImageNet weights."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import timm
from mmengine.logging import print_log
from mmengine.model import BaseModule
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from stl_backbones.errors import InputError
from stl_backbones.models import load_weights, read_checkpoint, select_state_dict, unwrapped
from stl_backbones.models.timm_classifiers import check_timm_name
from stl_backbones.models.vgg import DilatedVGG16, FullyConvolutionalVGG16
from stl_backbones.models.wide_resnet38 import WideResNet38
from stl_backbones.registry import MODELS


class NetworkBackbone(BaseModule):
    """A network that gives a tuple of maps, and how its weights are read.

    Args:
        network: ``(B, 3, H, W)`` to a tuple of maps ``(B, C_i, H_i, W_i)``.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)`` loads a file, or what lies at an
            address, by the network's own names; its classifier is passed over.
            ``checkpoint=None`` starts from scratch.
    """

    def __init__(self, network: nn.Module, init_cfg: dict[str, Any] | None = None) -> None:
        super().__init__(init_cfg)
        self.network = network

    def init_weights(self) -> None:
        """Load ``init_cfg``'s checkpoint; fresh weights are those of the constructor.

        Raises:
            ValueError: If ``init_cfg`` is of another type, or its file does not fill the network.
        """
        load_pretrained(
            self.network, self.init_cfg, convert=self.converted, name=type(self).__name__
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images ``(B, 3, H, W)`` to maps ``(B, C_i, H_i, W_i)``."""
        maps: tuple[Tensor, ...] = self.network(x)
        return maps

    def converted(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """A file's weights by the network's names, with its shapes."""
        return weights


def load_pretrained(
    network: nn.Module,
    init_cfg: Mapping[str, Any] | None,
    *,
    convert: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
    name: str | None = None,
) -> None:
    """Fill a network with a file of its own kind, or say that it starts from scratch.

    Args:
        network: What is filled.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)``; ``FILE`` may be an address. From
            scratch without one.
        convert: Gives a file's weights the network's names and shapes.
        name: Of the network, for messages; default: its class.

    Raises:
        ValueError: If ``init_cfg`` is of another type, or its file does not fill the network.
    """
    name = name or type(network).__name__
    config = dict(init_cfg or {"type": "Pretrained", "checkpoint": None})
    if config.pop("type", None) != "Pretrained" or set(config) != {"checkpoint"}:
        raise InputError(
            f"{name}'s init_cfg must be dict(type='Pretrained', checkpoint=FILE), got {init_cfg}"
        )
    path = config["checkpoint"]
    if path is None:
        print_log(f"{name} starts from scratch: init_cfg names no checkpoint", "current")
        return
    weights = unwrapped(
        select_state_dict(read_checkpoint(path), source=path), network.state_dict().keys()
    )
    report = load_weights(network, convert(weights), source=str(path))
    print_log(str(report), logger="current")


@MODELS.register_module()
class TimmFeatures(NetworkBackbone):
    """Maps of any timm network: ``dict(type='TimmFeatures', name='xception65', ...)``.

    mmseg's ``TIMMBackbone`` fetches its weights wherever it is built, and takes no file of them.

    Args:
        name: timm's model; a tag of weights is not looked at.
        out_indices: Which of the network's maps to return, by timm's ``forward_intermediates``.
        out_norms: Put a LayerNorm over the channels on each map, fresh and in no file of timm's, as
            the dense Swin and ConvNeXt have it.
        init_cfg: As for `NetworkBackbone`, with a file of the same timm model; position embeddings
            are resized as timm does it.
        **settings: For ``timm.create_model``: ``output_stride``, ``img_size``, ``drop_path_rate``.

    Raises:
        KeyError: If timm has no such model.
        ValueError: If it hands out no maps, or not those of ``out_indices``.
    """

    def __init__(
        self,
        name: str,
        *,
        out_indices: Sequence[int],
        out_norms: bool = False,
        init_cfg: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        check_timm_name(name)
        try:
            network: Any = timm.create_model(name, num_classes=0, **settings)
            taken = network.prune_intermediate_layers(list(out_indices), True, True)
        except (AttributeError, AssertionError) as error:
            raise InputError(
                f"timm's '{name}' gives no maps {list(out_indices)}: expected a network with "
                "forward_intermediates, and indices of its maps"
            ) from error
        super().__init__(network, init_cfg)
        self.out_indices = taken
        widths = [network.feature_info[index]["num_chs"] for index in taken]
        self.norms = nn.ModuleList(
            LayerNorm2d(width) if out_norms else nn.Identity() for width in widths
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images ``(B, 3, H, W)`` to contiguous maps ``(B, C_i, H / s_i, W / s_i)``."""
        network: Any = self.network
        maps = network.forward_intermediates(
            x, indices=self.out_indices, output_fmt="NCHW", intermediates_only=True
        )
        return tuple(
            norm(features).contiguous() for norm, features in zip(self.norms, maps, strict=True)
        )

    def converted(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What timm does to a file of this network: names of other releases, resized positions."""
        filtered = getattr(sys.modules[type(self.network).__module__], "checkpoint_filter_fn", None)
        return weights if filtered is None else filtered(dict(weights), self.network)


@MODELS.register_module()
class FCN8sVGG16(NetworkBackbone):
    """VGG-16 of FCN-8s: maps at strides 8, 16, 32 with 256, 512, 4096 channels.

    Args:
        init_cfg: As for `NetworkBackbone`, with a file of timm's ``vgg16``.
    """

    def __init__(self, init_cfg: dict[str, Any] | None = None) -> None:
        super().__init__(FullyConvolutionalVGG16(), init_cfg)


@MODELS.register_module()
class DilatedNetVGG16(NetworkBackbone):
    """The front end of DilatedNet: one map at stride 8 with 4096 channels.

    Args:
        init_cfg: As for `NetworkBackbone`, with a file of timm's ``vgg16``.
    """

    def __init__(self, init_cfg: dict[str, Any] | None = None) -> None:
        super().__init__(DilatedVGG16(), init_cfg)


@MODELS.register_module(name="WideResNet38")
class WideResNet38Backbone(NetworkBackbone):
    """Wide ResNet-38: one map of 4096 channels.

    Args:
        output_stride: 8, 16 or 32.
        init_cfg: As for `NetworkBackbone`, with a file of our own names.
    """

    def __init__(self, output_stride: int = 8, init_cfg: dict[str, Any] | None = None) -> None:
        super().__init__(WideResNet38(output_stride), init_cfg)


__all__ = [
    "DilatedNetVGG16",
    "FCN8sVGG16",
    "NetworkBackbone",
    "TimmFeatures",
    "WideResNet38Backbone",
    "load_pretrained",
]
