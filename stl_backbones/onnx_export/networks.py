"""Networks that can be exported, and what is stated of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from stl_backbones.datasets.views import View
from stl_backbones.models import FAN, read_checkpoint


class DenseMaps(nn.Module):
    """A backbone's maps alone.

    Args:
        backbone: A FAN, or any backbone of a config.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        # A plain FAN answers a call with logits; OpenMMLab's backbones answer with maps.
        self.is_plain = type(backbone) is FAN

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map images ``(B, 3, H, W)`` to the backbone's maps."""
        maps = self.backbone.forward_dense(image) if self.is_plain else self.backbone(image)
        return tuple(maps)


class SegmentationLogits(nn.Module):
    """One pass of a segmentation model over whole images.

    Args:
        model: An mmseg segmentation model.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` to logits ``(B, K, H, W)``."""
        size = tuple(image.shape[-2:])
        meta = {"ori_shape": size, "img_shape": size, "pad_shape": size, "padding_size": [0] * 4}
        return self.model.encode_decode(image, [meta] * image.shape[0])


class Labels(nn.Module):
    """The class of each pixel.

    Args:
        logits: Maps images to logits ``(B, K, H, W)``.
    """

    def __init__(self, logits: nn.Module) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, image: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` to labels ``(B, H, W)``, int64."""
        return self.logits(image).argmax(dim=1)


@dataclass(frozen=True)
class Source:
    """A network to be exported, and what a user of the file must know of it.

    Attributes:
        name: The arch, or the config's name.
        network: Maps normalised images to a tensor or a tuple of them.
        outputs: Their names; ``None`` numbers them as maps.
        checkpoint_sha256: Of the file of weights.
        mean: Of the normalisation, for values 0..255.
        std: Likewise.
        channel_order: ``'RGB'`` or ``'BGR'``.
        classes: Names, empty if nothing states them.
        note: What the user should know, a line.
        task: What results are; empty for maps.
        view: What a classifier sees of an image; ``None`` for other networks.
    """

    name: str
    network: nn.Module
    outputs: tuple[str, ...] | None
    checkpoint_sha256: str
    mean: tuple[float, ...] = tuple(255 * value for value in IMAGENET_DEFAULT_MEAN)
    std: tuple[float, ...] = tuple(255 * value for value in IMAGENET_DEFAULT_STD)
    channel_order: str = "RGB"
    classes: tuple[str, ...] = ()
    note: str = ""
    task: str = ""
    view: View | None = None


def logit_names(network: nn.Module) -> tuple[str, ...]:
    """The outputs of a classifier, with token logits or without."""
    has_tokens = getattr(network, "aux_head", None) is not None
    return ("logits", "token_logits") if has_tokens else ("logits",)


def fitting_classes(expected: int | None, *statements: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The first stated names of as many classes as the network has, or none."""
    for stated in statements:
        classes = (stated or {}).get("classes")
        if classes is not None and len(classes) == expected:
            return tuple(map(str, classes))
    return ()


def meta_of(checkpoint: str | Path) -> Mapping[str, Any]:
    """What a checkpoint states of itself; empty where it states nothing."""
    raw = read_checkpoint(checkpoint)
    meta = raw.get("meta") if isinstance(raw, Mapping) else None
    return meta if isinstance(meta, Mapping) else {}


__all__ = [
    "DenseMaps",
    "Labels",
    "SegmentationLogits",
    "Source",
    "fitting_classes",
    "logit_names",
    "meta_of",
]
