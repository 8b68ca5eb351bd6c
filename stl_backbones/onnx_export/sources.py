"""What can be exported: the network behind a name or a config, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import timm
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, resolve_model_data_config
from torch import Tensor, nn

from stl_backbones.config.reading import load_config, without_import_notes
from stl_backbones.config.tasks import task_of
from stl_backbones.datasets.views import View
from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.errors import InputError, UnknownNameError
from stl_backbones.models import (
    FAN,
    clean_state_dict,
    get_variant,
    load_weights,
    read_checkpoint,
    select_state_dict,
)
from stl_backbones.models.checkpoint import CARD
from stl_backbones.models.fetching import local_file
from stl_backbones.models.hashing import file_sha256
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.classifier import ViewOptions
from stl_backbones.robustness.sources.config_classifier import open_config_classifier
from stl_backbones.robustness.sources.timm import TimmSource
from stl_backbones.robustness.tasks.dense import build_model

_SEED = 0  # of untrained weights
_TIMM = "timm:"
_UNTRAINED: dict[str, Any] = {
    "checkpoint_sha256": "none", "note": "no checkpoint: the weights are untrained"
}  # fmt: skip


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


def open_source(
    model: str,
    checkpoint: str | Path | None,
    *,
    backbone: bool = False,
    options: Mapping[str, Any] | None = None,
    ema: bool = True,
) -> Source:
    """Build the network of a name or a config, with a checkpoint's weights.

    Args:
        model: A FAN's name, see `stl_backbones.models.get_variant`; ``timm:NAME`` for any
            classifier of timm; or a config.
        checkpoint: Its weights; ``None``, for a name alone, leaves a FAN untrained, and fetches
            timm's.
        backbone: Take the backbone's dense maps alone.
        options: ``--cfg-options``.
        ema: Prefer the averaged weights of the checkpoint.

    Raises:
        FileNotFoundError: If the config or the checkpoint is missing.
        KeyError: If the name is none, or an option names nothing in the config.
        ValueError: If the model cannot be exported, or the checkpoint does not fit.
    """
    if not (model.endswith(".py") or "::" in model):
        if options:
            raise InputError(f"--cfg-options changes a config; '{model}' is a model's name")
        if model.startswith(_TIMM):
            return _open_timm(model.removeprefix(_TIMM), checkpoint, backbone=backbone, ema=ema)
        name = _timm_name(model)
        opener = _open_maps if backbone else _open_classifier
        return opener(name, checkpoint, ema=ema)
    if checkpoint is None:
        raise InputError(f"config '{model}' needs a checkpoint: CONFIG CHECKPOINT OUT")
    config = load_config(model, options=options)
    name = Path(model).stem
    init_default_scope(config.get("default_scope", "mmengine"))
    return _OPENERS[task_of(config)](config, checkpoint, name=name, backbone=backbone, ema=ema)


def _timm_name(name: str) -> str:
    """The released name of a FAN, by that or by its arch.

    Raises:
        KeyError: If it is none.
    """
    try:
        variant = get_variant(name)
    except KeyError as error:
        raise UnknownNameError(
            f"{error.args[0]}; or give timm:NAME, or a config, NAME.py"
        ) from error
    return f"{variant.name}_token" if name.endswith("_token") else variant.name


def _logit_names(network: nn.Module) -> tuple[str, ...]:
    has_tokens = getattr(network, "aux_head", None) is not None
    return ("logits", "token_logits") if has_tokens else ("logits",)


def _open_timm(name: str, checkpoint: str | Path | None, *, backbone: bool, ema: bool) -> Source:
    """Any classifier of timm."""
    if backbone:
        raise InputError(f"--backbone exports a FAN's maps, or a config's, not {_TIMM}{name}'s")
    found = TimmSource(name, checkpoint, data_root=None, ema=ema).open(SweepOptions())
    stated = {} if checkpoint is None else _meta(checkpoint).get("dataset_meta")
    return Source(
        name=found.name,
        network=found.network,
        outputs=_logit_names(found.network),
        checkpoint_sha256=(
            found.checkpoint_sha256 if checkpoint is None else file_sha256(local_file(checkpoint))
        ),
        mean=tuple(255 * value for value in found.mean),
        std=tuple(255 * value for value in found.std),
        classes=_fitting_classes(found.num_classes, stated),
        task="classification",
        view=found.view,
    )


def _open_classifier(name: str, checkpoint: str | Path | None, *, ema: bool) -> Source:
    if checkpoint is not None:
        return _open_timm(name, checkpoint, backbone=False, ema=ema)
    network = _untrained(name)
    data = resolve_model_data_config(network)
    view = View.of_crop_pct(
        data["input_size"][-1], data["crop_pct"], interpolation=data["interpolation"]
    )
    return Source(
        name, network, _logit_names(network), **_UNTRAINED, task="classification", view=view
    )


def _untrained(name: str, **settings: Any) -> FAN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return cast("FAN", timm.create_model(name, **settings))


def _open_maps(name: str, checkpoint: str | Path | None, *, ema: bool) -> Source:
    """The backbone of a released, converted or pretrained file; its heads do not matter."""
    if checkpoint is None:
        return Source(name, DenseMaps(_untrained(name, num_classes=0)), None, **_UNTRAINED)
    install_safe_loaders()
    weights = select_state_dict(read_checkpoint(checkpoint), ema=ema, source=checkpoint)
    card = _meta(checkpoint).get(CARD)
    if card is None and any(k.endswith("cls_token") and "backbone." in k for k in weights):
        raise InputError(
            f"checkpoint '{checkpoint}' is a segmentation model's or a detector's; give its config "
            "with --backbone, which says how its norms were trained"
        )
    released_norm = (card or {}).get("released_norm", True)
    network = FAN(get_variant(name), num_classes=0, released_norm=released_norm)
    load_weights(network, clean_state_dict(weights, ema=ema), source=str(checkpoint))
    return Source(name, DenseMaps(network), None, file_sha256(local_file(checkpoint)))


def _open_config_classifier(
    config: Config, checkpoint: str | Path, *, name: str, backbone: bool, ema: bool
) -> Source:
    config.model.pop("compile_network", None)  # the exporter cannot look into a compiled network
    found = open_config_classifier(
        config, checkpoint, name=name, view_options=ViewOptions(), ema=ema
    )
    return Source(
        name=name,
        network=DenseMaps(found.network) if backbone else found.network,
        outputs=None if backbone else _logit_names(found.network),
        checkpoint_sha256=file_sha256(local_file(checkpoint)),
        mean=tuple(255 * value for value in found.mean),
        std=tuple(255 * value for value in found.std),
        classes=() if backbone else found.recorded or (),
        task="" if backbone else "classification",
        view=None if backbone else found.view,
    )


def _open_dense(
    config: Config, checkpoint: str | Path, *, name: str, backbone: bool, ema: bool
) -> Source:
    model: Any = build_model(config, checkpoint, ema=ema)
    preprocessor: Any = model.data_preprocessor
    settings = config.model.get("data_preprocessor") or config.get("data_preprocessor") or {}
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if getattr(preprocessor, "mean", None) is not None:
        mean, std = (tuple(v.flatten().tolist()) for v in (preprocessor.mean, preprocessor.std))
    return Source(
        name=name,
        network=DenseMaps(model.backbone) if backbone else SegmentationLogits(model),
        outputs=None if backbone else ("logits",),
        checkpoint_sha256=file_sha256(local_file(checkpoint)),
        mean=mean,
        std=std,
        # OpenMMLab reads BGR; a preprocessor with `rgb_to_bgr` gets RGB, and makes BGR of it.
        channel_order="RGB" if settings.get("bgr_to_rgb") else "BGR",
        classes=() if backbone else _class_names(config, checkpoint, model.decode_head.num_classes),
        note="" if backbone else _slide_note(config),
        task="" if backbone else "segmentation",
    )


def _open_detector(
    config: Config, checkpoint: str | Path, *, name: str, backbone: bool, ema: bool
) -> Source:
    if not backbone:
        raise InputError(
            f"'{name}' is a detector, whose boxes are not exported; --backbone exports its maps"
        )
    return _open_dense(config, checkpoint, name=name, backbone=True, ema=ema)


_OPENERS: Mapping[str, Callable[..., Source]] = {
    "classification": _open_config_classifier,
    "segmentation": _open_dense,
    "detection": _open_detector,
}


def _class_names(config: Config, checkpoint: str | Path, expected: int | None) -> tuple[str, ...]:
    """What the checkpoint says, or else the test data set."""
    dataset: Any = config.get("test_dataloader") or {}
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    with without_import_notes(), DATASETS.switch_scope_and_registry(None) as registry:
        kind = registry.get(str(dataset.get("type"))) if dataset else None
    return _fitting_classes(
        expected,
        _meta(checkpoint).get("dataset_meta"),
        dataset.get("metainfo"),
        getattr(kind, "METAINFO", None),
    )


def _fitting_classes(
    expected: int | None, *statements: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """The first stated names of as many classes as the network has, or none."""
    for stated in statements:
        classes = (stated or {}).get("classes")
        if classes is not None and len(classes) == expected:
            return tuple(map(str, classes))
    return ()


def _meta(checkpoint: str | Path) -> Mapping[str, Any]:
    raw = read_checkpoint(checkpoint)
    meta = raw.get("meta") if isinstance(raw, Mapping) else None
    return meta if isinstance(meta, Mapping) else {}


def _slide_note(config: Config) -> str:
    test_cfg = config.model.get("test_cfg") or {}
    if test_cfg.get("mode") != "slide":
        return ""
    height, width = test_cfg["crop_size"]
    return (
        f"the config predicts in windows of {height}x{width}; the file is one pass over the image, "
        "so slide it yourself"
    )


__all__ = ["Labels", "SegmentationLogits", "Source", "open_source"]
