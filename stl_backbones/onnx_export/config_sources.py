"""Networks of configs, to be exported: what needs OpenMMLab."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, init_default_scope

from stl_backbones.config.reading import load_config, without_import_notes
from stl_backbones.config.tasks import task_of
from stl_backbones.errors import InputError
from stl_backbones.models import FAN
from stl_backbones.models.fetching import local_file
from stl_backbones.models.hashing import file_sha256
from stl_backbones.onnx_export.networks import (
    DenseMaps,
    SegmentationLogits,
    Source,
    fitting_classes,
    logit_names,
    meta_of,
)
from stl_backbones.robustness.sources.classifier import ViewOptions
from stl_backbones.robustness.sources.config_classifier import open_config_classifier
from stl_backbones.robustness.tasks.dense import build_model


def open_config(
    model: str,
    checkpoint: str | Path,
    *,
    backbone: bool,
    options: Mapping[str, Any] | None,
    ema: bool,
) -> Source:
    """As `stl_backbones.onnx_export.sources.open_source`, of a config."""
    config = load_config(model, options=options)
    name = Path(model).stem
    init_default_scope(config.get("default_scope", "mmengine"))
    source = _OPENERS[task_of(config)](config, checkpoint, name=name, backbone=backbone, ema=ema)
    return replace(source, network=revert_sync_batchnorm(source.network))


def _open_config_classifier(
    config: Config, checkpoint: str | Path, *, name: str, backbone: bool, ema: bool
) -> Source:
    config.model.pop("compile_network", None)  # the exporter cannot look into a compiled network
    found = open_config_classifier(
        config, checkpoint, name=name, view_options=ViewOptions(), ema=ema
    )
    if backbone and not isinstance(found.network, FAN):
        raise InputError(f"--backbone exports a FAN's maps, not those of {name}'s network of timm")
    return Source(
        name=name,
        network=DenseMaps(found.network) if backbone else found.network,
        outputs=None if backbone else logit_names(found.network),
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
    return fitting_classes(
        expected,
        meta_of(checkpoint).get("dataset_meta"),
        dataset.get("metainfo"),
        getattr(kind, "METAINFO", None),
    )


def _slide_note(config: Config) -> str:
    test_cfg = config.model.get("test_cfg") or {}
    if test_cfg.get("mode") != "slide":
        return ""
    height, width = test_cfg["crop_size"]
    return (
        f"the config predicts in windows of {height}x{width}; the file is one pass over the image, "
        "so slide it yourself"
    )


__all__ = ["open_config"]
