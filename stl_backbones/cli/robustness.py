"""From the command line of tools/robustness.py to the sweep that it means."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config

from stl_backbones.cli.parser import greedy_advice
from stl_backbones.cli.tool import parse_options
from stl_backbones.config.packaged import config_file, find_release, mm_preset_lines
from stl_backbones.config.reading import load_config
from stl_backbones.config.tasks import task_of
from stl_backbones.errors import InputError, UnknownNameError
from stl_backbones.models.mm_presets import MM_PRESETS
from stl_backbones.models.presets import PRESETS, get_preset
from stl_backbones.robustness.classification_data import ClassificationOptions, open_folder
from stl_backbones.robustness.classification_sweep import Opened, sweep_classifier
from stl_backbones.robustness.classifiers import (
    ViewOptions,
    open_config_classifier,
    open_config_folder,
    open_timm_classifier,
)
from stl_backbones.robustness.sweep import SweepOptions, sweep
from stl_backbones.training.runs import default_work_dir

# Options that other tasks do not have.
_CLASSIFICATION_ONLY = (
    "imagenet_a", "imagenet_r", "scoring", "input_size", "crop_pct", "interpolation",
    "mean", "std", "resize_rule", "jpeg85", "allow_missing",
)  # fmt: skip

_DATA_ROOT = "test_dataloader.dataset.data_root"  # of any config of mmseg or mmdet


def run(args: argparse.Namespace, *, progress: Callable[[Any], None] | None = None) -> Path:
    """Score what a command line names.

    Args:
        args: Parsed by `stl_backbones.cli.robustness_options.make_robustness_parser`.
        progress: Called on the main process with a `SweepProgress`.

    Returns:
        The folder of the results.

    Raises:
        ValueError: If options, model and data do not go together.
        KeyError: If a model, preset, protocol or corruption is unknown.
        FileNotFoundError: If something named is missing.
    """
    args = _with_mm_preset(args)
    _check_model(args)
    if args.config is None:
        return _run_timm(args, progress)
    args.config = str(config_file(args.config))
    config = load_config(args.config, options=parse_options(args.cfg_options))
    if task_of(config) != "classification":
        return _run_dense(args, config, progress)
    name = Path(args.config).stem

    def open_model() -> Opened:
        classifier = open_config_classifier(
            config, args.checkpoint, name=name, view_options=_pick(args, ViewOptions)
        )
        return classifier, open_config_folder(config, data_root=args.data_root)

    return _sweep(args, open_model, args.config, progress)


def list_presets() -> str:
    """The presets, by the table of the paper whose rows they are."""
    classifiers = "\n".join(
        f"{preset.name:<20} {preset.title:<20} {preset.timm_name:<40} {preset.paper_top1:.1f} %"
        + ("" if "." in preset.timm_name else "  (give --checkpoint FILE)")
        for preset in PRESETS.values()
    )
    return (
        "Table 2: name, row, timm's model, and the row's accuracy\n"
        f"{classifiers}\n\n"
        "Tables 4 and 5: name, row, the library's config, and its weights for --checkpoint FILE\n"
        f"{mm_preset_lines()}"
    )


def _with_mm_preset(args: argparse.Namespace) -> argparse.Namespace:
    """What a preset of Tables 4 and 5 stands for: a config of mmseg or mmdet, and its checkpoint.

    Raises:
        KeyError: If there is no preset of that name in any table.
        ValueError: If the checkpoint is not given.
    """
    others = args.config is not None or args.timm is not None
    if args.preset is None or args.preset in PRESETS or others:
        return args
    if args.preset not in MM_PRESETS:
        known = ", ".join((*PRESETS, *MM_PRESETS))
        raise UnknownNameError(f"unknown preset '{args.preset}'; expected one of {known}")
    preset = MM_PRESETS[args.preset]
    if args.weights is None:
        weights = find_release(preset.config).weights
        source = f"; the library released {weights}" if weights else ""
        raise InputError(f"preset '{preset.name}' needs its weights, --checkpoint FILE{source}")
    given = {
        "config": preset.config, "checkpoint": args.weights, "weights": None, "preset": None,
        "name": args.name or preset.title,
    }  # fmt: skip
    return argparse.Namespace(**{**vars(args), **given})


def _check_model(args: argparse.Namespace) -> None:
    named = [word for word in ("config", "timm", "preset") if getattr(args, word) is not None]
    if len(named) != 1:
        raise InputError(
            "expected one model: CONFIG CHECKPOINT, --timm NAME or --preset NAME; got "
            + (" and ".join(named) or f"none{_swallowed(args)}")
        )
    if args.config is not None and args.checkpoint is None:
        raise InputError(f"config '{args.config}' needs the checkpoint to score, as second word")
    if args.config is not None and args.weights is not None:
        raise InputError("--checkpoint is for --timm and --preset; a config's is the second word")
    if args.config is None and args.data_root is None:
        raise InputError("--timm and --preset need --data-root DIR, the clean images' folder")
    if args.config is None and args.cfg_options:
        raise InputError("--cfg-options change a config, and --timm and --preset have none")


def _swallowed(args: argparse.Namespace) -> str:
    """Advice where the model's words may have gone to an option that takes several."""
    options = ("corruptions", "severities", "cfg_options", "custom_imports")
    return greedy_advice([f"--{n.replace('_', '-')}" for n in options if getattr(args, n, None)])


def _run_dense(
    args: argparse.Namespace, config: Config, progress: Callable[[Any], None] | None
) -> Path:
    """Score a model of mmseg or mmdet."""
    given = [name for name in _CLASSIFICATION_ONLY if getattr(args, name) is not None]
    if given:
        words = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"{words}: for classification, but '{args.config}' is no classifier's")
    options = parse_options(args.cfg_options)
    if args.data_root is not None:
        own = "data_root" in config.get("linked_options", {})
        options["data_root" if own else _DATA_ROOT] = args.data_root
    return sweep(
        args.config,
        args.checkpoint,
        work_dir=args.work_dir or default_work_dir(args.config) / "robustness",
        sweep_options=_pick(args, SweepOptions),
        options=options,
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
    if args.tta is not None:
        raise InputError("--tta: for models of mmseg and mmdet, but this is a classifier")
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
