"""Classifiers of timm, with its own data config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from timm.data import resolve_model_data_config

from stl_backbones.datasets.array_images import open_images
from stl_backbones.datasets.imagenet_classes import columns_of_imagenet_1k, imagenet_wnids
from stl_backbones.datasets.labelled_source import LabelledSource
from stl_backbones.errors import InputError
from stl_backbones.models import read_checkpoint, select_state_dict
from stl_backbones.models.checkpoint import CARD
from stl_backbones.models.timm_classifiers import (
    check_output,
    create_from_weights,
    create_pretrained,
)
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.base import Source
from stl_backbones.robustness.sources.classifier import Classifier, ViewOptions, make_classifier


class TimmSource(Source):
    """A timm model on the images of a folder.

    Args:
        timm_name: The model, with or without the tag of its weights, or ``hf-hub:...`` or
            ``local-dir:...``, see `stl_backbones.models.timm_classifiers.check_timm_name`.
        checkpoint: A file of weights, or its address; ``None`` fetches timm's.
        data_root: The folder of the clean images' class folders; ``None`` for a model that is
            not scored.
        name: Its name in tables; default: timm's.
        ema: Prefer the averaged weights of the checkpoint.
    """

    task = "classification"

    def __init__(
        self,
        timm_name: str,
        checkpoint: str | Path | None = None,
        *,
        data_root: str | Path | None,
        name: str | None = None,
        ema: bool = True,
    ) -> None:
        self.ema = ema
        self.timm_name, self.checkpoint, self.data_root = timm_name, checkpoint, data_root
        self.name = name or timm_name

    def open(self, options: SweepOptions, task: Any = None) -> Classifier:
        """Build the model.

        Raises:
            UnknownNameError: If timm has no such model.
            MissingFileError: If the checkpoint or the folder is missing.
            InputError: If the weights do not fit, cannot be fetched, or there are none.
        """
        del task
        root = self.data_root
        folder = None if root is None else open_images(root, option="--data-root")
        view_options = ViewOptions.of(options.task_options)
        network, recorded = self._build(view_options.input_size)
        described = getattr(network, "pretrained_cfg", None) or {}
        recorded = recorded or _described_classes(described, folder)
        if getattr(network, "num_classes", None) == 0:
            raise InputError(f"timm's '{self.timm_name}' has no classifier, so nothing to score")
        data = resolve_model_data_config(network)
        channels, height, width = data["input_size"]
        if height != width:
            raise InputError(
                f"expected square images, timm's '{self.timm_name}' takes {height}x{width}"
            )
        view = view_options.view(
            size=height,
            crop_pct=data["crop_pct"],
            interpolation=data["interpolation"],
            mode=data["crop_mode"],
        )
        classes = check_output(network, self.timm_name, channels=channels, size=view.size)
        columns = _columns(classes, recorded, folder)
        arch = described.get("architecture") or self.timm_name.partition(".")[0]
        full = ".".join(filter(None, (arch, described.get("tag"))))
        return make_classifier(
            network,
            view_options,
            name=self.name,
            num_classes=classes if columns is None else len(columns),
            columns=columns,
            recorded=recorded,
            folder=folder,
            view=view,
            data=data,
            settings={"timm": full, "num_classes": classes},
        )

    def _build(self, size: int | None) -> tuple[Any, tuple[str, ...] | None]:
        """The network with its weights, and the class names that their file states."""
        if self.checkpoint is None:
            return create_pretrained(self.timm_name, img_size=size), None
        raw, source = read_checkpoint(self.checkpoint), str(self.checkpoint)
        if (meta_of(raw).get(CARD) or {}).get("released_norm") is False:
            raise InputError(
                f"'{source}' was trained with released_norm=False, which timm's "
                f"'{self.timm_name}' is not; score it with its own config"
            )
        network = create_from_weights(
            self.timm_name,
            select_state_dict(raw, ema=self.ema, source=source),
            source=source,
            img_size=size,
            ema=self.ema,
        )
        return network, recorded_classes(raw)


def _described_classes(
    described: Mapping[str, Any], folder: LabelledSource | None
) -> tuple[str, ...] | None:
    """The label names that a model's own config states, where they are the folders' names."""
    names = described.get("label_names")
    if folder is None or not names or not set(folder.classes) <= set(names):
        return None
    return tuple(map(str, names))


def _columns(
    classes: int, recorded: Sequence[str] | None, folder: LabelledSource | None
) -> tuple[int | None, ...] | None:
    """The logits of ImageNet-1K's classes, where a larger ImageNet's network is scored on them."""
    if recorded is not None or folder is None or len(folder.classes) == classes:
        return None
    if not set(folder.classes) <= set(imagenet_wnids()):
        return None
    return columns_of_imagenet_1k(classes)


def meta_of(raw: Any) -> Mapping[str, Any]:
    """What a checkpoint says of itself."""
    meta = raw.get("meta") if isinstance(raw, Mapping) else None
    return meta if isinstance(meta, Mapping) else {}


def recorded_classes(raw: Any) -> tuple[str, ...] | None:
    """The class names that a checkpoint states, in the order of its logits.

    As ``meta.dataset_meta.classes``, mmengine's, or as ``class_to_idx``, torchvision's.
    """
    stated = meta_of(raw).get("dataset_meta")
    names = stated.get("classes") if isinstance(stated, Mapping) else None
    numbers = raw.get("class_to_idx") if isinstance(raw, Mapping) else None
    if names is None and isinstance(numbers, Mapping):
        if sorted(numbers.values()) != list(range(len(numbers))):
            raise InputError("the checkpoint's class_to_idx does not number its classes from 0 on")
        names = sorted(numbers, key=numbers.__getitem__)
    return None if names is None else tuple(map(str, names))


__all__ = ["TimmSource", "meta_of", "recorded_classes"]
