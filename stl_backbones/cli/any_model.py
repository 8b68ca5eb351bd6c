"""From ``--model`` and its options to a source."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stl_backbones.api import make_source
from stl_backbones.errors import InputError
from stl_backbones.robustness.items import class_names
from stl_backbones.robustness.predicted.find_model import load_function
from stl_backbones.robustness.predicted.given import Given
from stl_backbones.robustness.predicted.source import PredictedSource
from stl_backbones.robustness.sources import Source

# Of the task's options, those that say something of the model.
_OF_THE_MODEL = ("input_size", "crop_pct", "interpolation", "mean", "std", "classes")
_WITH_MODEL = (
    "images", "truth", "label_ids", "model_classes", "model_version", "preprocess",
    "decoder", "providers", "model_channel_order",
)  # fmt: skip


@dataclass(frozen=True)
class Named:
    """The model that a command line names.

    Attributes:
        source: The model.
        folder: What the default work folder is called after.
        title: Its name in tables, where a preset gives one.
        said: Options of the task that are part of the source already.
        task_options: Options of the task that stand for them.
    """

    source: Source | PredictedSource
    folder: str
    title: str | None = None
    said: tuple[str, ...] = ()
    task_options: Mapping[str, Any] = field(default_factory=dict)


def any_model(args: argparse.Namespace) -> Named:
    """The model of ``--model``.

    Raises:
        InputError: If its options do not go together.
        MissingFileError: If a file is missing.
    """
    if args.cfg_options:
        raise InputError("--cfg-options change a config, and --model names none")
    given = Given(
        name=args.name,
        version=args.model_version,
        classes=class_names(args.model_classes),
        size=args.input_size,
        crop_pct=args.crop_pct,
        interpolation=args.interpolation,
        mean=args.mean,
        std=args.std,
        channel_order=args.model_channel_order,
        preprocess=_function(args.preprocess, "--preprocess"),
        checkpoint=args.weights,
        decoder=_decoder(args.decoder),
        providers=args.providers,
    )
    source, options = make_source(
        args.model, _data(args), given, classes=class_names(args.classes), label_ids=args.label_ids
    )
    stem = args.model.replace("::", ":").split(":")[-1]
    folder = Path(stem).stem if stem.endswith(".onnx") else Path(args.model.split(":")[0]).stem
    if folder in ("timm", "hf", "torchvision"):
        folder = f"{folder}_{Path(stem).name}"
    return Named(source, folder, said=_OF_THE_MODEL, task_options=options)


def check_no_other_data(args: argparse.Namespace) -> None:
    """Refuse options that only ``--model`` has.

    Raises:
        InputError: If one is given.
    """
    given = [f"--{n.replace('_', '-')}" for n in _WITH_MODEL if getattr(args, n) is not None]
    if given:
        raise InputError(f"{', '.join(given)}: only with --model SOURCE")


def _data(args: argparse.Namespace) -> Any:
    """The data that are named, in the form of `stl_backbones.evaluate`."""
    if (args.images is None) != (args.truth is None):
        raise InputError("--images DIR and --truth PATH go together")
    if args.images is None:
        if args.data_root is None:
            raise InputError(
                "--model needs data: --data-root DIR (class folders, or a Cityscapes root), or "
                "--images DIR and --truth PATH (a folder of label maps, or COCO's .json)"
            )
        return args.data_root
    if args.data_root is not None:
        raise InputError("expected --data-root DIR, or --images DIR and --truth PATH, got both")
    if args.truth.endswith(".json"):
        return args.truth, args.images
    return args.images, args.truth


def _function(text: str | None, option: str) -> Callable[..., Any] | None:
    if text is None:
        return None
    file, _, name = text.rpartition(":")
    if not file.endswith(".py"):
        raise InputError(f"{option} must be FILE.py:FUNCTION, got '{text}'")
    return load_function(file, name)


def _decoder(text: str | None) -> str | Callable[..., Any] | None:
    return _function(text, "--decoder") if text and ".py:" in text else text


__all__ = ["Named", "any_model", "check_no_other_data"]
