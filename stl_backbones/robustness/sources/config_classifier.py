"""Classifiers of the configs in ``configs/cls``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope

from stl_backbones.config.reading import building, without_import_notes
from stl_backbones.datasets.array_images import find_array_images
from stl_backbones.datasets.imagenet import ImageNetFolder
from stl_backbones.datasets.labelled_source import LabelledSource
from stl_backbones.errors import InputError
from stl_backbones.models import load_weights, read_checkpoint, select_state_dict
from stl_backbones.models.checkpoint import CARD, HEAD_PREFIXES
from stl_backbones.pretraining import STLClassifier
from stl_backbones.robustness.sources.classifier import Classifier, ViewOptions, make_classifier
from stl_backbones.robustness.sources.timm import meta_of, recorded_classes

_CARD_KEYS = ("arch", "num_classes", "token_head", "released_norm")  # that decide predictions


def open_config_classifier(
    config: Config,
    checkpoint: str | Path,
    *,
    name: str,
    view_options: ViewOptions,
    ema: bool = True,
) -> Classifier:
    """Build the classifier of a pretraining config.

    Args:
        config: A config of ``configs/cls``.
        checkpoint: What its training wrote, a released file, or a converted one with its heads.
        name: Its name in tables.
        view_options: Instead of what the config's test pipeline does.
        ema: Prefer the averaged weights.

    Raises:
        MissingFileError: If the checkpoint is missing.
        InputError: If it does not fit.
    """
    init_default_scope(config.get("default_scope", "mmengine"))
    with building("the model"), without_import_notes():
        model = MODELS.build(config.model)
    raw = read_checkpoint(checkpoint)
    meta = meta_of(raw)
    _check_card(meta.get(CARD) or {}, model.card(), checkpoint)
    _fill(model, raw, checkpoint, ema=ema)
    crop = _find_crop(config)
    mean, std = (
        tuple(round(float(value) / 255, 6) for value in values.flatten())
        for values in (model.data_preprocessor.mean, model.data_preprocessor.std)
    )
    return make_classifier(
        model.backbone,
        view_options,
        name=name,
        num_classes=model.backbone.num_classes,
        recorded=recorded_classes(raw),
        view=view_options.view(
            size=crop.get("size", 224),
            crop_pct=crop.get("crop_ratio", 1.0),
            interpolation=crop.get("interpolation", "bicubic"),
        ),
        data={"mean": mean, "std": std},
        settings={key: model.card()[key] for key in _CARD_KEYS},
    )


def open_config_folder(config: Config, data_root: str | Path | None = None) -> LabelledSource:
    """Build the test data of a pretraining config.

    Args:
        config: A config of ``configs/cls``.
        data_root: The folder of the class folders, or of CIFAR's files, instead of the config's.

    Raises:
        InputError: If it has none, or of another kind.
        MissingFileError: If the folder is missing.
    """
    if not config.get("test_dataloader"):
        raise InputError("the config has no test_dataloader, so nothing to score")
    stored = None if data_root is None else find_array_images(Path(data_root))
    if stored is not None:
        return stored
    settings = config.test_dataloader.dataset.copy()
    settings.allow_empty = True  # the sweep says so
    if data_root is not None:
        settings.data_root, settings.split = str(data_root), ""
    with building("the data set"), without_import_notes():
        folder = DATASETS.build(settings)
    if not isinstance(folder, ImageNetFolder):
        raise InputError(
            f"expected a test data set of type ImageNetFolder, got {type(folder).__name__}"
        )
    return folder


def _find_crop(config: Config) -> Mapping[str, Any]:
    steps = config.test_dataloader.dataset.pipeline
    names = [str(step["type"]).rpartition(".")[2] for step in steps]
    if names != ["CenterCropViews", "PackViews"]:
        raise InputError(
            f"the test pipeline must be CenterCropViews and PackViews, got {', '.join(names)}"
        )
    return steps[0]


def _check_card(card: Mapping[str, Any], own: Mapping[str, Any], path: str | Path) -> None:
    """Refuse a checkpoint that says of itself that it is of another network."""
    for key in _CARD_KEYS:
        if key in card and card[key] != own[key]:
            raise InputError(
                f"checkpoint '{path}' does not fit the config's model: its {key} is {card[key]}, "
                f"the config's {own[key]}"
            )


def _fill(model: STLClassifier, raw: Any, path: str | Path, *, ema: bool) -> None:
    weights = model.backbone_weights(select_state_dict(raw, ema=ema, source=path), ema=ema)
    report = load_weights(model.backbone, weights, source=str(path))
    heads = [name for name in (*report.missing, *report.reshaped) if name.startswith(HEAD_PREFIXES)]
    if heads:
        raise InputError(
            f"checkpoint '{path}' does not fill the classifiers of the config's model "
            f"({', '.join(heads)}); a released file is converted with --with-head, and another "
            "number of classes is given with --cfg-options num_classes=N"
        )


__all__ = ["open_config_classifier", "open_config_folder"]
