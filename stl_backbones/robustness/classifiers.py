"""A classifier ready to be scored: from a pretraining config, or from timm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, resolve_model_data_config
from torch import Tensor, nn

from stl_backbones.config.reading import building, without_import_notes
from stl_backbones.datasets.imagenet import ImageNetFolder
from stl_backbones.datasets.views import View
from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.errors import InputError
from stl_backbones.evaluation.classified import SCORINGS, scores
from stl_backbones.models import (
    clean_state_dict,
    load_weights,
    read_checkpoint,
    select_state_dict,
)
from stl_backbones.models.checkpoint import CARD, HEAD_PREFIXES
from stl_backbones.models.hashing import file_sha256, weights_sha256
from stl_backbones.models.timm_classifiers import create_from_weights, create_pretrained
from stl_backbones.pretraining import STLClassifier

_LEAST_CROP = 0.05  # an image 20 times as large as what is seen of it
_LEAST_STD = 1e-3  # a quarter of a step of 8-bit pixels
_CARD_KEYS = ("arch", "num_classes", "token_head", "released_norm")  # that decide predictions


@dataclass(frozen=True)
class ViewOptions:
    """What the user sets of the images' preparation; ``None`` leaves it to the model.

    Attributes:
        input_size: Side of the images.
        crop_pct: Side of the crop / shorter side of the resized image.
        interpolation: Of the resize.
        mean: Of the normalisation, three numbers in 0..1.
        std: Likewise.
    """

    input_size: int | None = None
    crop_pct: float | None = None
    interpolation: str | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None

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
        network: Normalised ``(B, 3, H, W)`` -> class logits ``(B, K)``, or these and token logits
            ``(B, N, K)``; in evaluation mode.
        num_classes: K.
        recorded: Class names that its checkpoint states.
        view: Resize and crop.
        mean: Of the normalisation, for values in 0..1.
        std: Likewise.
        config_sha256: Hash of what decides predictions beside the weights.
        checkpoint_sha256: Hash of the weights.
    """

    name: str
    network: nn.Module
    num_classes: int
    recorded: tuple[str, ...] | None
    view: View
    mean: tuple[float, ...]
    std: tuple[float, ...]
    config_sha256: str
    checkpoint_sha256: str

    @property
    def normalisation(self) -> str:
        """Mean and standard deviation in words; empty for ImageNet's."""
        if (self.mean, self.std) == (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD):
            return ""
        mean, std = ("/".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"mean {mean} std {std}"

    def check_scoring(self, scoring: str) -> None:
        """Refuse a scoring that the network has no head for.

        Raises:
            ValueError: If it is unknown, or needs a token classifier.
        """
        if scoring not in SCORINGS:
            raise InputError(f"scoring must be one of {', '.join(SCORINGS)}, got '{scoring}'")
        if scoring != SCORINGS[0] and getattr(self.network, "aux_head", None) is None:
            raise InputError(f"scoring {scoring} needs a token classifier; '{self.name}' has none")

    def scores(self, pixels: Tensor, scoring: str, *, bfloat16: bool = False) -> Tensor:
        """Class scores of a batch.

        Args:
            pixels: ``(B, size, size, 3)`` uint8 RGB, on any device.
            scoring: One of `stl_backbones.evaluation.classification.SCORINGS`.
            bfloat16: Compute in mixed precision.

        Returns:
            ``(B, K)`` float32, on the network's device.
        """
        device = next(self.network.parameters()).device
        mean, std = (
            255 * torch.tensor(values, device=device).view(-1, 1, 1)
            for values in (self.mean, self.std)
        )
        images = pixels.to(device, non_blocking=True).permute(0, 3, 1, 2).float()
        images = images.sub_(mean).div_(std).contiguous()
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            output = self.network(images)
        logits, tokens = output if isinstance(output, tuple) else (output, None)
        sample = {"class_logits": logits.float()}
        if tokens is not None:
            sample["max_token_logits"] = tokens.float().amax(dim=1)
        return scores(sample, scoring)


def open_config_classifier(
    config: Config,
    checkpoint: str | Path,
    *,
    name: str,
    view_options: ViewOptions = ViewOptions(),
) -> Classifier:
    """Build the classifier of a pretraining config.

    Args:
        config: A config of ``configs/cls``.
        checkpoint: What its training wrote, a released file, or a converted one with its heads.
        name: Its name in tables.
        view_options: Instead of what the config's test pipeline does.

    Raises:
        FileNotFoundError: If the checkpoint is missing.
        ValueError: If it does not fit.
    """
    init_default_scope(config.get("default_scope", "mmengine"))
    with building("the model"), without_import_notes():
        model = MODELS.build(config.model)
    raw = _read_weights(Path(checkpoint))
    meta = _meta(raw)
    _check_card(meta.get(CARD) or {}, model.card(), checkpoint)
    _fill(model, raw, checkpoint)
    crop = _find_crop(config)
    mean, std = (
        tuple(round(float(value) / 255, 6) for value in values.flatten())
        for values in (model.data_preprocessor.mean, model.data_preprocessor.std)
    )
    recorded = (meta.get("dataset_meta") or {}).get("classes")
    return _make(
        model.backbone,
        view_options,
        name=name,
        recorded=None if recorded is None else tuple(recorded),
        view=view_options.view(
            size=crop.get("size", 224),
            crop_pct=crop.get("crop_ratio", 1.0),
            interpolation=crop.get("interpolation", "bicubic"),
        ),
        data={"mean": mean, "std": std},
        settings={key: model.card()[key] for key in _CARD_KEYS},
        checkpoint_sha256=file_sha256(checkpoint),
    )


def open_config_folder(config: Config, *, data_root: str | Path | None = None) -> ImageNetFolder:
    """Build the test data of a pretraining config.

    Args:
        config: A config of ``configs/cls``.
        data_root: The folder of the class folders, instead of the config's.

    Raises:
        ValueError: If it has none, or of another kind.
        FileNotFoundError: If the folder is missing.
    """
    if not config.get("test_dataloader"):
        raise InputError("the config has no test_dataloader, so nothing to score")
    settings = config.test_dataloader.dataset.copy()
    if data_root is not None:
        settings.data_root, settings.split = str(data_root), ""
    with building("the data set"), without_import_notes():
        folder = DATASETS.build(settings)
    if not isinstance(folder, ImageNetFolder):
        raise InputError(
            f"expected a test data set of type ImageNetFolder, got {type(folder).__name__}"
        )
    return folder


def open_timm_classifier(
    timm_name: str,
    checkpoint: str | Path | None,
    *,
    name: str | None = None,
    view_options: ViewOptions = ViewOptions(),
) -> Classifier:
    """Build a timm classifier with its own data config.

    Args:
        timm_name: The model, with or without the tag of its weights.
        checkpoint: A file of weights (``.pth``, ``.safetensors``); ``None`` fetches timm's.
        name: Its name in tables; default: timm's.
        view_options: Instead of timm's data config.

    Raises:
        KeyError: If timm has no such model.
        FileNotFoundError: If the checkpoint is missing.
        ValueError: If it does not fit, or there are no weights.
        OSError: If the weights cannot be fetched.
    """
    size = view_options.input_size
    if checkpoint is None:
        network = create_pretrained(timm_name, img_size=size)
        digest = weights_sha256(network)
    else:
        weights = _released_weights(_read_weights(Path(checkpoint)), checkpoint, timm_name)
        network = create_from_weights(timm_name, weights, source=str(checkpoint), img_size=size)
        digest = file_sha256(checkpoint)
    if not network.num_classes:
        raise InputError(f"timm's '{timm_name}' has no classifier, so nothing to score")
    data = resolve_model_data_config(network)
    _, height, width = data["input_size"]
    if height != width:
        raise InputError(f"expected square images, timm's '{timm_name}' takes {height}x{width}")
    tag = network.pretrained_cfg.get("tag")
    full = ".".join(filter(None, (timm_name.partition(".")[0], tag)))
    return _make(
        network,
        view_options,
        name=name or timm_name,
        recorded=None,
        view=view_options.view(
            size=height,
            crop_pct=data["crop_pct"],
            interpolation=data["interpolation"],
            mode=data["crop_mode"],
        ),
        data=data,
        settings={"timm": full, "num_classes": network.num_classes},
        checkpoint_sha256=digest,
    )


def _make(
    network: nn.Module,
    options: ViewOptions,
    *,
    view: View,
    data: Mapping[str, Any],
    settings: Mapping[str, Any],
    **fields: Any,
) -> Classifier:
    """Put a classifier on its device, with the user's normalisation if there is one."""
    mean, std = (
        tuple(float(value) for value in (data[key] if given is None else given))
        for key, given in (("mean", options.mean), ("std", options.std))
    )
    if min(std) <= 0:
        raise InputError(f"std must be above 0, got {std}")
    _check_normalisation(options)
    settled = {**settings, "view": str(view), "mean": mean, "std": std}
    text = json.dumps(settled, sort_keys=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    num_classes: Any = network.num_classes
    return Classifier(
        network=network.to(device).eval(),
        num_classes=num_classes,
        view=view,
        mean=mean,
        std=std,
        config_sha256=hashlib.sha256(text.encode()).hexdigest(),
        **fields,
    )


def _check_normalisation(options: ViewOptions) -> None:
    """Refuse what was meant for values of 0..255, or makes the network's input overflow."""
    for name, values, least in (("mean", options.mean, 0.0), ("std", options.std, _LEAST_STD)):
        if values is not None and not all(least <= value <= 1 for value in values):
            raise InputError(
                f"{name} must be in {least:g}..1, that of pixels 0..255 divided by 255, "
                f"got {tuple(values)}"
            )


def _find_crop(config: Config) -> Mapping[str, Any]:
    steps = config.test_dataloader.dataset.pipeline
    names = [str(step["type"]).rpartition(".")[2] for step in steps]
    if names != ["CenterCropViews", "PackViews"]:
        raise InputError(
            f"the test pipeline must be CenterCropViews and PackViews, got {', '.join(names)}"
        )
    return steps[0]


def _read_weights(path: Path) -> Any:
    """Read a checkpoint of any maker; nothing in it is executed."""
    install_safe_loaders()
    return read_checkpoint(path)


def _meta(raw: Any) -> Mapping[str, Any]:
    meta = raw.get("meta") if isinstance(raw, Mapping) else None
    return meta if isinstance(meta, Mapping) else {}


def _released_weights(raw: Any, path: str | Path, timm_name: str) -> dict[str, Tensor]:
    if (_meta(raw).get(CARD) or {}).get("released_norm") is False:
        raise InputError(
            f"'{path}' was trained with released_norm=False, which timm's '{timm_name}' is not; "
            "score it with its own config"
        )
    weights = select_state_dict(raw)
    return {key.removeprefix("module."): value for key, value in weights.items()}


def _check_card(card: Mapping[str, Any], own: Mapping[str, Any], path: str | Path) -> None:
    """Refuse a checkpoint that says of itself that it is of another network."""
    for key in _CARD_KEYS:
        if key in card and card[key] != own[key]:
            raise InputError(
                f"checkpoint '{path}' does not fit the config's model: its {key} is {card[key]}, "
                f"the config's {own[key]}"
            )


def _fill(model: STLClassifier, raw: Any, path: str | Path) -> None:
    weights = clean_state_dict(select_state_dict(raw))
    report = load_weights(model.backbone, weights, source=str(path))
    heads = [name for name in (*report.missing, *report.reshaped) if name.startswith(HEAD_PREFIXES)]
    if heads:
        raise InputError(
            f"checkpoint '{path}' does not fill the classifiers of the config's model "
            f"({', '.join(heads)}); a released file is converted with --with-head, and another "
            "number of classes is given with --cfg-options num_classes=N"
        )


__all__ = [
    "Classifier",
    "ViewOptions",
    "open_config_classifier",
    "open_config_folder",
    "open_timm_classifier",
]
