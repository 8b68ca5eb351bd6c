"""Values of a config that nothing refuses before work begins, or reports obscurely."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from stl_backbones.config.walk import parts
from stl_backbones.errors import InputError, did_you_mean

_LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
_PARTS = ("model", *_LOADERS, "optim_wrapper", "train_cfg", "default_hooks", "env_cfg")
_OLD_STYLE = frozenset({"data", "optimizer", "optimizer_config", "runner", "total_epochs"})

# Dotted name -> least value; of whole numbers. `val_begin` and others may be anything.
_WHOLE = {
    "train_cfg.max_iters": 1,
    "train_cfg.max_epochs": 1,
    "train_cfg.val_interval": 1,
    "optim_wrapper.accumulative_counts": 1,
    "randomness.seed": 0,
    **{f"{loader}.batch_size": 1 for loader in _LOADERS},
    **{f"{loader}.num_workers": 0 for loader in _LOADERS},
}
_MODES = ("whole", "slide", "slide_flip")  # of mmseg's segmentation models
_SIZES = frozenset({"scale", "img_scale", "crop_size", "size"})  # of a pipeline's steps


def check_values(config: Config) -> None:
    """Refuse numbers out of range, sizes of nothing, and parts that are no parts.

    Raises:
        ValueError: If there is one, by its dotted name.
    """
    _check_parts(config)
    for name, least in _WHOLE.items():
        _check_whole(name, _find(config, name), least)
    _check_rates(config)
    _check_all_sizes(config)
    _check_saving(config)
    _check_window(config)
    _check_schedulers(config)


def check_kind(name: str, before: Any, value: Any) -> None:
    """Refuse a text or a number in place of the other.

    Args:
        name: The option, for the error.
        before: The config's value.
        value: The command line's.

    Raises:
        ValueError: If a number was stated and a text comes.
    """
    if _is_number(before) and isinstance(value, str) and value != "auto":
        raise InputError(
            f"--cfg-options {name}: expected a number such as {before!r}, got '{value}'"
        )


def _check_parts(config: Config) -> None:
    for name in _PARTS:
        part = config.get(name)
        if part is not None and not isinstance(part, Mapping):
            raise InputError(f"{name} must be a dict(...), got {part!r}")
    old = _OLD_STYLE & config.keys()
    if len(old) > 1 and not any(config.get(loader) for loader in _LOADERS):
        raise InputError(
            f"a config of OpenMMLab 1.x, which states {', '.join(sorted(old))}: expected one of "
            "mmengine, with test_dataloader and optim_wrapper; see mmengine's migration guide"
        )


def _check_rates(config: Config) -> None:
    rate = _find(config, "optim_wrapper.optimizer.lr")
    if rate is not None and not (_is_number(rate) and 0 <= rate < math.inf):
        raise InputError(
            f"optim_wrapper.optimizer.lr, the learning rate, must be at least 0, got {rate!r}"
        )
    for part in parts(config.get("model")):
        share = part.get("drop_path_rate")
        if share is not None and not (_is_number(share) and 0 <= share < 1):
            raise InputError(f"{part.get('type')}: drop_path_rate must be in 0..1, got {share!r}")


def _check_all_sizes(config: Config) -> None:
    size = _find(config, "model.data_preprocessor.size")
    if size is not None and not (isinstance(size, list | tuple) and len(size) == 2):
        raise InputError(
            f"model.data_preprocessor.size (crop_size) must be (height, width), got {size!r}"
        )
    for loader in _LOADERS:
        steps = _find(config, f"{loader}.dataset.pipeline")
        if steps is not None and not (
            isinstance(steps, list | tuple) and all(isinstance(s, Mapping) for s in steps)
        ):
            raise InputError(
                f"{loader}.dataset.pipeline must be a list of dict(...), got {steps!r}"
            )
        for step in parts(_find(config, f"{loader}.dataset")):
            _check_sizes(loader, step)


def _check_whole(name: str, value: Any, least: int) -> None:
    if value is None:
        return
    if not _is_number(value) or value != value // 1 or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")


def _check_sizes(loader: str, step: Mapping[str, Any]) -> None:
    for name in _SIZES & step.keys():
        sides = step[name] if isinstance(step[name], list | tuple) else [step[name]]
        flat = [side for s in sides for side in (s if isinstance(s, list | tuple) else [s])]
        if any(side is not None and not (_is_number(side) and side > 0) for side in flat):
            raise InputError(
                f"{loader}: {step.get('type')}'s {name} must be sides above 0, such as "
                f"(1024, 512), got {step[name]!r}"
            )


def _check_saving(config: Config) -> None:
    """The hook hands what it does not know to the saving itself, which refuses it hours later."""
    settings = _find(config, "default_hooks.checkpoint") or {}
    known = {
        name
        for function in (CheckpointHook.__init__, Runner.save_checkpoint)
        for name in inspect.signature(function).parameters
    }
    for name in settings.keys() - known - {"type", "priority", "_scope_"}:
        hint = did_you_mean(name, known)
        raise InputError(f"default_hooks.checkpoint takes no '{name}'{hint}")


def _check_window(config: Config) -> None:
    test_cfg = (config.get("model") or {}).get("test_cfg") or {}
    if not isinstance(test_cfg, Mapping) or "mode" not in test_cfg:
        return
    if test_cfg["mode"] not in _MODES:
        raise InputError(
            f"model.test_cfg.mode must be one of {', '.join(_MODES)}, got {test_cfg['mode']!r}"
        )
    if test_cfg["mode"] != "slide":
        return
    missing = [name for name in ("crop_size", "stride") if not test_cfg.get(name)]
    if missing:
        raise InputError(f"sliding window: model.test_cfg lacks {' and '.join(missing)}")
    crop, stride = tuple(test_cfg["crop_size"]), tuple(test_cfg["stride"])
    if any(step > side for step, side in zip(stride, crop, strict=True)):
        names = (_option(config, f"model.test_cfg.{part}") for part in ("crop_size", "stride"))
        raise InputError(
            f"sliding window: stride {stride} must not exceed the crop {crop}, pixels would be "
            f"left out; give both, --cfg-options {' '.join(f'{name}=(H,W)' for name in names)}"
        )


def _check_schedulers(config: Config) -> None:
    schedulers = config.get("param_scheduler") or []
    for number, scheduler in enumerate(
        schedulers if isinstance(schedulers, list) else [schedulers]
    ):
        if not isinstance(scheduler, Mapping):
            raise InputError(f"param_scheduler must hold dict(...), got {scheduler!r}")
        begin, end = scheduler.get("begin", 0), scheduler.get("end")
        if end is not None and begin >= end:
            first, last = (
                _option(config, f"param_scheduler.{number}.{at}") for at in ("begin", "end")
            )
            advice = f"{first} below {end}" if begin > 0 else f"{last} above {begin}"
            raise InputError(
                f"scheduler {scheduler.get('type')} begins at {begin} and ends at {end}; give "
                f"--cfg-options {advice}"
            )


def _option(config: Config, name: str) -> str:
    """The option that changes a setting: the linked one if there is one, else its own name."""
    links = config.get("linked_options") or {}
    return next((link for link, targets in links.items() if name in targets), name)


def _find(config: Config, name: str) -> Any:
    node: Any = config
    for step in name.split("."):
        if not isinstance(node, Mapping | Config):
            return None
        node = node.get(step)
    return node


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


__all__ = ["check_kind", "check_values"]
