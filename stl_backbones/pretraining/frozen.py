"""Trained labelers, read from files and frozen: FAN labelers and timm classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from stl_backbones.errors import InputError
from stl_backbones.models import (
    FAN,
    clean_state_dict,
    infer_variant,
    load_weights,
    read_checkpoint,
    select_state_dict,
)
from stl_backbones.models.fetching import address_of, local_file
from stl_backbones.models.hashing import file_sha256, weights_sha256
from stl_backbones.models.timm_classifiers import create_from_weights, create_pretrained
from stl_backbones.paths import check_file


class FrozenLabeler:
    """A trained network that labels tokens: in eval mode, without gradient, on the images' device.

    It is no ``nn.Module``, so that whoever holds it neither trains, saves, averages nor wraps it.

    Args:
        network: Maps images ``(B, 3, H, W)`` to logits ``(B, K, h, w)``.
        num_classes: Classes K.
        classes: Their names in order, where the file says them.
        card: What the student's checkpoint says about it: plain data.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        num_classes: int,
        classes: Sequence[str] | None,
        card: Mapping[str, Any],
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.num_classes = num_classes
        self.classes = None if classes is None else tuple(classes)
        self.card = dict(card)
        self._device: torch.device | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenLabeler:
        """Copies of the student, such as its average, share one labeler."""
        return self

    @torch.no_grad()
    def token_logits(self, images: Tensor, *, grid: tuple[int, int]) -> Tensor:
        """Classify every location of a grid.

        Args:
            images: ``(B, 3, H, W)``, normalised by ImageNet's mean and deviation.
            grid: Rows and columns of the student's tokens; the labeler's own grid is resized.

        Returns:
            ``(B, rows * columns, K)``.
        """
        if images.device != self._device:
            self.network.to(images.device)
            self._device = images.device
        logits = self.network(images)
        if tuple(logits.shape[-2:]) != grid:
            logits = F.interpolate(logits.float(), grid, mode="bilinear", align_corners=False)
        return logits.flatten(2).transpose(1, 2)

    def check_classes(self, classes: Sequence[str]) -> None:
        """Refuse to label data of other classes.

        Raises:
            ValueError: If number, names or order differ.
        """
        title = f"labeler '{self.card['file']}'"
        if len(classes) != self.num_classes:
            raise InputError(
                f"{title} knows {self.num_classes} classes, the data has {len(classes)}; "
                "train a labeler on this data"
            )
        if self.classes is None or self.classes == tuple(classes):
            return
        at = next(i for i, (a, b) in enumerate(zip(self.classes, classes, strict=True)) if a != b)
        kind = "in another order" if set(self.classes) == set(classes) else "other ones"
        raise InputError(
            f"{title} has the data's classes {kind}: class {at} is '{self.classes[at]}' there and "
            f"'{classes[at]}' here; train a labeler on this data"
        )


class FANGrid(nn.Module):
    """Token logits ``(B, K, h, w)`` of a FAN with a token head."""

    def __init__(self, fan: FAN) -> None:
        super().__init__()
        self.fan = fan

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to ``(B, K, h, w)``."""
        _, tokens = self.fan(images)
        return tokens.transpose(1, 2).unflatten(2, self.fan.token_grid(images))


class TimmGrid(nn.Module):
    """A timm classifier's own head at every location of its last feature map.

    Args:
        model: Any timm classifier whose ``forward_features`` gives a map.
        name: Its name, for errors.

    Raises:
        ValueError: If its last features are no map.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, model: Any, name: str) -> None:
        super().__init__()
        self.model: Any = model
        self.channels_at_end = getattr(model, "output_fmt", "NCHW") == "NHWC"
        config = getattr(model, "pretrained_cfg", {})
        ours = torch.tensor([IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD]).view(2, 3, 1, 1)
        own = torch.tensor(
            [config.get("mean") or IMAGENET_DEFAULT_MEAN, config.get("std") or IMAGENET_DEFAULT_STD]
        ).view(2, 3, 1, 1)
        self.register_buffer("scale", ours[1] / own[1], persistent=False)
        self.register_buffer("shift", (ours[0] - own[0]) / own[1], persistent=False)
        side = max(64, *(config.get("min_input_size") or (3, 64, 64))[1:])
        if config.get("fixed_input_size"):
            side = config["input_size"][-1]
        with torch.no_grad():
            features = model.eval().forward_features(torch.zeros(1, 3, side, side))
        if not isinstance(features, Tensor) or features.ndim != 4:
            raise InputError(
                f"timm model '{name}' cannot label tokens: expected a spatial last feature map, "
                f"got {tuple(getattr(features, 'shape', ()))}; take a CNN or a windowed transformer"
            )

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to ``(B, K, h, w)``."""
        features = self.model.forward_features(images * self.scale + self.shift)
        if self.channels_at_end:
            features = features.permute(0, 3, 1, 2)
        batch, channels, rows, columns = features.shape
        places = features.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)
        if self.channels_at_end:
            places = places.permute(0, 2, 3, 1)
        # Each place becomes an image of one pixel: the head's pooling has nothing left to do.
        logits = self.model.forward_head(places)
        return logits.view(batch, rows, columns, -1).permute(0, 3, 1, 2)


def load_labeler(
    checkpoint: str | Path | None = None, *, timm_name: str | None = None
) -> FrozenLabeler:
    """Read a labeler from a file; averaged weights are preferred.

    Args:
        checkpoint: What stage 1 wrote, a released ``*_token`` file, or a timm model's state dict;
            ``None`` for the weights that timm downloads.
        timm_name: The timm model that the file belongs to, such as ``'dm_nfnet_f6'``; a tag, as in
            ``'resnet50.a1_in1k'``, chooses what timm downloads.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If none is named, it is no labeler, cannot be read safely, or does not fit the
            timm model, or timm cannot fetch the weights.
        KeyError: If timm has no such model.
    """
    if checkpoint is None:
        return _download(timm_name)
    if address_of(checkpoint) is None:
        advice = (
            "train one with a configs/cls/*_labeler.py, then give its file, "
            "--cfg-options labeler=FILE"
        )
        check_file(checkpoint, "labeler", hint=advice)
    content = read_checkpoint(checkpoint)
    try:
        weights = select_state_dict(content)
    except ValueError as error:
        raise InputError(f"labeler '{checkpoint}': {error}") from error
    meta = _part(content, "meta")
    classes = _part(meta, "dataset_meta").get("classes")
    network, arch, count = (
        _fan(clean_state_dict(weights), meta, checkpoint)
        if timm_name is None
        else _timm(weights, timm_name, checkpoint)
    )
    card = {"file": str(checkpoint), "sha256": file_sha256(local_file(checkpoint)), "arch": arch}
    return FrozenLabeler(network, num_classes=count, classes=classes, card=card)


def _fan(
    weights: Mapping[str, Tensor], meta: Mapping[str, Any], path: str | Path
) -> tuple[nn.Module, str, int]:
    try:
        variant, has_token_head = infer_variant(weights)
    except ValueError as error:
        raise InputError(
            f"labeler '{path}' is no FAN's file; for a timm classifier's give its name, "
            "--cfg-options model.labeler.timm_name=NAME"
        ) from error
    if not has_token_head:
        raise InputError(
            f"labeler '{path}' is a {variant.title} without a token head; expected what a "
            "configs/cls/stl_fan_*_labeler.py run writes"
        )
    count = len(weights["aux_head.weight"])
    released_norm = _part(meta, "stl_backbones").get("released_norm", True)
    fan = FAN(variant, num_classes=count, token_head=True, released_norm=released_norm)
    load_weights(fan, weights, source=str(path))
    return FANGrid(fan), variant.arch, count


def _timm(weights: Mapping[str, Tensor], name: str, path: str | Path) -> tuple[nn.Module, str, int]:
    model: Any = create_from_weights(name, weights, source=str(path))
    return TimmGrid(model, name), name, model.num_classes


def _download(name: str | None) -> FrozenLabeler:
    if name is None:
        raise InputError(
            "a student needs a trained labeler: give --cfg-options labeler=FILE, the checkpoint of "
            "a *_labeler.py run, or model.labeler.timm_name=NAME"
        )
    model: Any = create_pretrained(name, option="--cfg-options labeler=FILE")
    card = {"file": f"timm:{name}", "sha256": weights_sha256(model), "arch": name}
    return FrozenLabeler(
        TimmGrid(model, name), num_classes=model.num_classes, classes=None, card=card
    )


def _part(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What a checkpoint says under a name; nothing, where others wrote something else there."""
    part = content.get(name)
    return part if isinstance(part, Mapping) else {}


__all__ = ["FANGrid", "FrozenLabeler", "TimmGrid", "load_labeler"]
