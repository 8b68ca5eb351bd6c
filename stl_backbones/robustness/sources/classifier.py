"""A classifier ready to be scored; torch and timm are all that it needs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from stl_backbones.datasets.views import View
from stl_backbones.engine.precision import predict_in
from stl_backbones.errors import InputError
from stl_backbones.evaluation.classified import SCORINGS, scores
from stl_backbones.models.counting import count_macs, count_parameters
from stl_backbones.models.hashing import weights_sha256
from stl_backbones.robustness.predictor import ADDRESS
from stl_backbones.robustness.sources.base import default_device, device_of

_LEAST_CROP = 0.05  # an image 20 times as large as what is seen of it
_LEAST_STD = 1e-3  # a quarter of a step of 8-bit pixels
VIEW_OPTIONS = ("input_size", "crop_pct", "interpolation", "mean", "std")


@dataclass(frozen=True)
class ViewOptions:
    """What the user sets of the images' preparation; ``None`` leaves it to the model.

    Attributes:
        input_size: Side of the images.
        crop_pct: Side of the crop / shorter side of the resized image.
        interpolation: Of the resize.
        mean: Of the normalisation, a number in 0..1 for each channel, or one for all.
        std: Likewise.
    """

    input_size: int | None = None
    crop_pct: float | None = None
    interpolation: str | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ViewOptions:
        """Those among a sweep's ``task_options``."""
        names = {entry.name for entry in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in options.items() if name in names})

    def view(self, *, size: int, crop_pct: float, interpolation: str, mode: str = "center") -> View:
        """The model's own view with the user's changes.

        Raises:
            ValueError: If a value is out of range or unknown.
        """
        if self.crop_pct is not None and 0 < self.crop_pct < _LEAST_CROP:
            raise InputError(
                f"the crop ratio must be at least {_LEAST_CROP:g}, got {self.crop_pct:g}"
            )
        return View.of_crop_pct(
            size if self.input_size is None else self.input_size,
            crop_pct if self.crop_pct is None else self.crop_pct,
            interpolation=self.interpolation or interpolation,
            mode=mode,
        )


@dataclass(frozen=True)
class Classifier:
    """A network and how images are prepared for it.

    Attributes:
        name: Its name in tables.
        network: Normalised ``(B, C, H, W)``, RGB or grey -> class logits ``(B, K)``, or these and
            token logits ``(B, N, K)``; in evaluation mode.
        num_classes: K, after the cut of `columns`.
        recorded: Class names that its checkpoint states.
        view: Resize and crop.
        mean: Of the normalisation, for values in 0..1; one number for a network of grey images.
        std: Likewise.
        folder: The class folders of the clean images; ``None`` if nothing is scored.
        settings: What else decides predictions, plain data.
        libraries: Packages that predict.
        columns: Which logits count, in the order of the classes; ``None`` for a class without one,
            which is never predicted. All of them, if it is ``None`` itself.
    """

    name: str
    network: nn.Module
    num_classes: int
    recorded: tuple[str, ...] | None
    view: View
    mean: tuple[float, ...]
    std: tuple[float, ...]
    folder: Any = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[int | None, ...] | None = None
    libraries: tuple[str, ...] = ("timm",)

    @cached_property
    def config_sha256(self) -> str:
        """Hash of what decides predictions beside the weights: settings, layers, their numbers."""
        kinds = [
            f"{name} {type(layer).__qualname__}({ADDRESS.sub('', layer.extra_repr())})"
            for name, layer in self.network.named_modules()
        ]
        resolved = {
            **self.settings, "view": str(self.view), "mean": self.mean, "std": self.std,
            "num_classes": self.num_classes, "columns": self.columns, "layers": kinds,
        }  # fmt: skip
        text = json.dumps(resolved, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def checkpoint_sha256(self) -> str:
        """Hash of the weights and buffers in use, whatever file they came from."""
        return weights_sha256(self.network)

    @cached_property
    def parameters(self) -> int:
        """How many the network has."""
        return count_parameters(self.network)

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates on one image."""
        return count_macs(self.network, self.view.size, self.channels)

    @property
    def normalisation(self) -> str:
        """Mean and standard deviation in words; empty for ImageNet's."""
        if (self.mean, self.std) == (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD):
            return ""
        grey = "grey " if self.channels == 1 else ""
        mean, std = ("/".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{grey}mean {mean} std {std}"

    @property
    def channels(self) -> int:
        """Channels of its images: 3, or 1 for grey ones."""
        return len(self.mean)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that every table must print."""
        absent = 0 if self.columns is None else self.columns.count(None)
        if not absent:
            return ()
        return (
            f"{absent} of the {self.num_classes} classes have no logit and are never predicted",
        )

    def check_scoring(self, scoring: str) -> None:
        """Refuse a scoring that the network has no head for.

        Raises:
            ValueError: If it is unknown, or needs a token classifier.
        """
        if scoring not in SCORINGS:
            raise InputError(f"scoring must be one of {', '.join(SCORINGS)}, got '{scoring}'")
        if scoring != SCORINGS[0] and getattr(self.network, "aux_head", None) is None:
            raise InputError(f"scoring {scoring} needs a token classifier; '{self.name}' has none")

    def scores(self, pixels: Tensor, scoring: str, *, amp: str | None = None) -> Tensor:
        """Class scores of a batch.

        Args:
            pixels: ``(B, size, size, 3)`` uint8 RGB, on any device.
            scoring: One of `stl_backbones.evaluation.classification.SCORINGS`.
            amp: Mixed precision, see `stl_backbones.engine.precision`.

        Returns:
            ``(B, K)`` float32, on the network's device.
        """
        mean, std = self._mean_and_std
        pixels = pixels.to(mean.device, non_blocking=True)
        if self.channels == 1:
            pixels = _to_grey(pixels)
        images = pixels.permute(0, 3, 1, 2).float()
        images = images.sub_(mean).div_(std).contiguous()
        with torch.inference_mode(), predict_in(self.network, amp):
            output = self.network(images)
        logits, tokens = output if isinstance(output, tuple) else (output, None)
        sample = {"class_logits": self._cut(logits.float())}
        if tokens is not None:
            sample["max_token_logits"] = self._cut(tokens.float().amax(dim=1))
        return scores(sample, scoring)

    @cached_property
    def _mean_and_std(self) -> tuple[Tensor, Tensor]:
        """For pixels 0..255, ``(C, 1, 1)`` each, on the network's device."""
        device = device_of(self.network)
        mean, std = (
            255 * torch.tensor(values, device=device).view(-1, 1, 1)
            for values in (self.mean, self.std)
        )
        return mean, std

    @cached_property
    def _places(self) -> tuple[Tensor, Tensor]:
        """The logit of each class, or 0, and whether it has none; ``(K,)`` on the device."""
        columns, device = self.columns or (), device_of(self.network)
        return (
            torch.tensor([column or 0 for column in columns], device=device),
            torch.tensor([column is None for column in columns], device=device),
        )

    def _cut(self, logits: Tensor) -> Tensor:
        if self.columns is None:
            return logits
        places, absent = self._places
        return torch.where(absent, logits.amin(dim=1, keepdim=True), logits[:, places])


def _to_grey(pixels: Tensor) -> Tensor:
    """RGB ``(B, H, W, 3)`` uint8 to luma ``(B, H, W, 1)``, to the bit as Pillow's mode L."""
    red, green, blue = pixels.int().unbind(dim=-1)
    luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16  # ITU-R 601-2
    return luma.unsqueeze(-1)


def make_classifier(
    network: nn.Module,
    options: ViewOptions,
    *,
    view: View,
    data: Mapping[str, Any],
    settings: Mapping[str, Any],
    **fields: Any,
) -> Classifier:
    """Put a classifier on its device, with the user's normalisation if there is one.

    Args:
        network: See `Classifier`.
        options: What the user sets.
        view: Resize and crop, with the user's changes.
        data: ``mean`` and ``std`` of the model's own, and its ``input_size`` (C, H, W) if C may be
            1.
        settings: What decides predictions beside these and the weights.
        **fields: Further fields of `Classifier`.

    Raises:
        InputError: If mean or standard deviation are out of range.
    """
    channels = data.get("input_size", (3,))[0]
    mean, std = (
        _per_channel(data[key] if given is None else given, channels, key, is_own=given is None)
        for key, given in (("mean", options.mean), ("std", options.std))
    )
    if min(std) <= 0:
        raise InputError(f"std must be above 0, got {std}")
    _check_normalisation(options)
    return Classifier(
        network=network.to(default_device()).eval(),
        view=view,
        mean=mean,
        std=std,
        settings=settings,
        **fields,
    )


def _per_channel(
    values: Sequence[float], channels: int, key: str, *, is_own: bool
) -> tuple[float, ...]:
    """Mean or deviation of each channel; timm leaves RGB's in what it says of grey networks."""
    if channels not in (1, 3):
        raise InputError(f"expected a network of RGB or grey images, got {channels} channels")
    if channels == 1 and len(values) == 3 and is_own:
        values = [sum(values) / 3]
    if len(values) not in (1, channels):
        takes = "1 number" if channels == 1 else f"1 or {channels} numbers"
        raise InputError(f"{key} must be {takes}, got {len(values)}")
    return tuple(float(value) for value in values) * (channels // len(values))


def _check_normalisation(options: ViewOptions) -> None:
    """Refuse what was meant for values of 0..255, or makes the network's input overflow."""
    for name, values, least in (("mean", options.mean, 0.0), ("std", options.std, _LEAST_STD)):
        if values is not None and not all(least <= value <= 1 for value in values):
            raise InputError(
                f"{name} must be in {least:g}..1, that of pixels 0..255 divided by 255, "
                f"got {tuple(values)}"
            )


__all__ = ["VIEW_OPTIONS", "Classifier", "ViewOptions", "make_classifier"]
