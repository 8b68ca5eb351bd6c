"""From the command line of tools/robustness.py to the sweep that it means."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS

from stl_backbones.apis.classification_data import ClassificationOptions, open_folder
from stl_backbones.apis.classification_sweep import Opened, sweep_classifier
from stl_backbones.apis.classifiers import (
    ViewOptions,
    open_config_classifier,
    open_config_folder,
    open_timm_classifier,
)
from stl_backbones.apis.cli import parse_options
from stl_backbones.apis.config import load_config, without_import_notes
from stl_backbones.apis.sweep import SweepOptions, sweep
from stl_backbones.apis.train import default_work_dir
from stl_backbones.models.presets import PRESETS, get_preset
from stl_backbones.pretraining import STLClassifier

# Options that segmentation has not: attribute -> words.
_CLASSIFICATION_ONLY = (
    "data_root", "imagenet_a", "imagenet_r", "scoring", "batch_size", "amp", "input_size",
    "crop_pct", "interpolation", "mean", "std", "resize_rule", "jpeg85", "allow_missing",
)  # fmt: skip


def run(args: argparse.Namespace, *, progress: Callable[[Any], None] | None = None) -> Path:
    """Score what a command line names.

    Args:
        args: Parsed by `stl_backbones.apis.robustness_options.make_robustness_parser`.
        progress: Called on the main process with a `SweepProgress` or `ClassificationProgress`.

    Returns:
        The folder of the results.

    Raises:
        ValueError: If options, model and data do not go together.
        KeyError: If a model, preset, protocol or corruption is unknown.
        FileNotFoundError: If something named is missing.
    """
    _check_model(args)
    if args.config is None:
        return _run_timm(args, progress)
    config = load_config(args.config, options=parse_options(args.cfg_options))
    if not _is_classifier(config):
        return _run_segmentation(args, progress)
    name = Path(args.config).stem

    def open_model() -> Opened:
        classifier = open_config_classifier(
            config, args.checkpoint, name=name, view_options=_pick(args, ViewOptions)
        )
        return classifier, open_config_folder(config, data_root=args.data_root)

    return _sweep(args, open_model, args.config, progress)


def list_presets() -> str:
    """A line per preset: name, row of the paper's Table 2, timm's name and the row's accuracy."""
    return "\n".join(
        f"{preset.name:<16} {preset.title:<20} {preset.timm_name:<40} {preset.paper_top1:.1f} %"
        + ("" if "." in preset.timm_name else "  (give --checkpoint FILE)")
        for preset in PRESETS.values()
    )


def _check_model(args: argparse.Namespace) -> None:
    named = [word for word in ("config", "timm", "preset") if getattr(args, word) is not None]
    if len(named) != 1:
        raise ValueError(
            "expected one model: CONFIG CHECKPOINT, --timm NAME or --preset NAME; got "
            + (" and ".join(named) or "none")
        )
    if args.config is not None and args.checkpoint is None:
        raise ValueError(f"config '{args.config}' needs the checkpoint to score, as second word")
    if args.config is not None and args.weights is not None:
        raise ValueError("--checkpoint is for --timm and --preset; a config's is the second word")
    if args.config is None and args.data_root is None:
        raise ValueError("--timm and --preset need --data-root DIR, the clean images' folder")
    if args.config is None and args.cfg_options:
        raise ValueError("--cfg-options change a config, and --timm and --preset have none")


def _is_classifier(config: Config) -> bool:
    kind = str(config.get("model", {}).get("type", ""))
    if not kind.startswith("stl_backbones."):
        return False
    with without_import_notes():
        built = MODELS.get(kind)
    return isinstance(built, type) and issubclass(built, STLClassifier)


def _run_segmentation(args: argparse.Namespace, progress: Callable[[Any], None] | None) -> Path:
    given = [name for name in _CLASSIFICATION_ONLY if getattr(args, name) is not None]
    if given:
        words = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"{words}: for classification, but '{args.config}' is no classifier's")
    return sweep(
        args.config,
        args.checkpoint,
        work_dir=args.work_dir or default_work_dir(args.config) / "robustness",
        sweep_options=_pick(args, SweepOptions),
        options=parse_options(args.cfg_options),
        launcher=args.launcher,
        progress=progress,
    )


def _run_timm(args: argparse.Namespace, progress: Callable[[Any], None] | None) -> Path:
    preset = None if args.preset is None else get_preset(args.preset)
    timm_name = args.timm if preset is None else preset.timm_name

    def open_model() -> Opened:
        folder = open_folder(args.data_root, option="--data-root")
        classifier = open_timm_classifier(
            timm_name,
            args.weights,
            name=None if preset is None else preset.title,
            view_options=_pick(args, ViewOptions),
        )
        return classifier, folder

    return _sweep(args, open_model, args.preset or args.timm, progress)


def _sweep(
    args: argparse.Namespace,
    open_model: Callable[[], Opened],
    name: str,
    progress: Callable[[Any], None] | None,
) -> Path:
    return sweep_classifier(
        open_model,
        work_dir=args.work_dir or default_work_dir(name) / "robustness",
        options=_pick(args, ClassificationOptions),
        launcher=args.launcher,
        progress=progress,
    )


def _pick(args: argparse.Namespace, kind: type) -> Any:
    """Options of a kind as the command line gives them; those not given keep their defaults."""
    values = {field.name: getattr(args, field.name) for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in values.items() if value is not None})


__all__ = ["list_presets", "run"]
