"""Configs and what the command line changes in them."""

from __future__ import annotations

import contextlib
import difflib
import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from stl_backbones.apis.foreign import use_stand_ins
from stl_backbones.apis.packaged import config_file, packaged_bases

# Top-level settings that runs know beside those a config states.
_RUN_SETTINGS = frozenset(
    {
        "auto_scale_lr", "cfg", "custom_hooks", "custom_imports", "data_preprocessor",
        "default_hooks", "default_scope", "env_cfg", "experiment_name", "find_unused_parameters",
        "launcher", "load_from", "log_level", "log_processor", "model_wrapper_cfg",
        "optim_wrapper", "param_scheduler", "randomness", "resume", "runner_type", "sync_bn",
        "test_cfg", "test_dataloader", "test_evaluator", "train_cfg", "train_dataloader",
        "val_cfg", "val_dataloader", "val_evaluator", "vis_backends", "visualizer", "work_dir",
    }
)  # fmt: skip

# What a config's text, or mmengine's reader, may raise.
_UNREADABLE = (
    SyntaxError, NameError, TypeError, KeyError, AttributeError, OSError, ImportError, RuntimeError,
)  # fmt: skip
_PRETRAINING = "mmpretrain"  # where some configs' backbones come from

# Parts without a type of their own that take more keys than a config states.
_FREE_FORM = frozenset({"custom_keys", "default_hooks", "env_cfg", "mp_cfg", "paramwise_cfg"})


def load_config(path: str | Path, *, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config and apply ``--cfg-options``.

    An option named in the config's ``linked_options`` changes the value everywhere it is used.

    Args:
        path: The config file, or a config of mmseg or mmdet by its name,
            ``mmdet::detr/detr_r50_8xb2-150e_coco.py``; such a name may also stand in ``_base_``.
        options: Dotted name -> value.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it cannot be read, or an option does not fit.
        KeyError: If an option names nothing in the config.
    """
    path = config_file(path)
    if not path.is_file():
        raise FileNotFoundError(f"config '{path}' does not exist")
    try:
        with without_import_notes(), packaged_bases():
            config = Config.fromfile(path, import_custom_modules=False)
    except _UNREADABLE as error:
        raise ValueError(f"config '{path}' cannot be read: {error}") from error
    _import_modules(config, path)
    changes = _changes(config, options or {})
    try:
        config.merge_from_dict(changes)
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError(f"--cfg-options does not fit '{path}': {error}") from error
    _check_consistency(config)
    for split in ("train", "val", "test"):
        loader = config.get(f"{split}_dataloader") or {}
        if loader.get("num_workers") == 0:
            loader["persistent_workers"] = False  # torch refuses it without workers
    return config


@contextmanager
def building(what: str) -> Iterator[None]:
    """Say in one line that a config does not build: unknown key, wrong type, absent package.

    Raises:
        ValueError: Instead of the error of the class that refused its arguments.
    """
    try:
        yield
    except (
        TypeError,
        KeyError,
        AttributeError,
        AssertionError,
        ImportError,
        RuntimeError,
    ) as error:
        reason = error.args[0] if error.args else error
        raise ValueError(f"{what} cannot be built from the config: {reason}") from error


@contextmanager
def without_import_notes() -> Iterator[None]:
    """Pass on what a config prints, but not what mmseg prints when a paid add-on is absent."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        yield
    for line in printed.getvalue().splitlines():
        if not line.startswith("Could not import OneDL"):
            sys.stdout.write(f"{line}\n")


def _import_modules(config: Config, path: Path) -> None:
    """Import what ``custom_imports`` names, as mmengine does when it reads a config."""
    settings = config.get("custom_imports")
    if not settings:
        return
    if _PRETRAINING in str(settings):
        use_stand_ins(config)
    try:
        with without_import_notes():
            import_modules_from_strings(
                settings["imports"],
                allow_failed_imports=settings.get("allow_failed_imports", False),
            )
    except (ImportError, TypeError, KeyError) as error:
        reason = error.__context__ or error
        advice = "put the folder of a module of yours on PYTHONPATH"
        if isinstance(reason, ModuleNotFoundError) and reason.name == _PRETRAINING:
            advice = f"pip install onedl-{_PRETRAINING}, or {_PRETRAINING} beside mmcv below 2.2"
        raise ValueError(f"config '{path}': custom_imports: {reason}; {advice}") from error


def _changes(config: Config, options: Mapping[str, Any]) -> dict[str, Any]:
    """What options change, by dotted name: linked settings first, then what is written out."""
    links = config.get("linked_options", {})
    for name in options:
        if name not in links:
            _check_option(config, name)
        for other, value in options.items():
            if name.startswith(f"{other}.") and not isinstance(value, dict):
                raise KeyError(f"--cfg-options {name}: '{other}' is given too, as {value!r}")
    linked = {target: options[name] for name in options for target in links.get(name, ())}
    reachable = {
        target: value
        for target, value in linked.items()
        if not _is_switched_off(config, target)
        and not any(target.startswith(f"{name}.") for name in options)
    }
    return reachable | dict(options)


def _is_switched_off(config: Config, name: str) -> bool:
    """Whether a part around the named setting is ``None``: a loader that a config does without."""
    node: Any = config
    for step in name.split(".")[:-1]:
        node = node[int(step)] if isinstance(node, list | tuple) else node.get(step)
        if node is None:
            return True
    return False


def _check_option(config: Config, name: str) -> None:
    node: Any = config.to_dict()
    steps = name.split(".")
    for depth, step in enumerate(steps):
        at = ".".join(steps[: depth + 1])
        if isinstance(node, list | tuple):
            if not step.lstrip("-").isdecimal() or int(step) >= len(node):
                raise KeyError(f"--cfg-options {name}: '{at}' must be 0..{len(node) - 1}")
            node = node[int(step)]
            continue
        if not isinstance(node, Mapping):
            raise KeyError(f"--cfg-options {name}: '{'.'.join(steps[:depth])}' is a plain value")
        if step in node:
            node = node[step]
            continue
        # A class may take more arguments than its config states; it refuses unknown ones itself.
        parent = steps[depth - 1] if depth else ""
        if step in _RUN_SETTINGS if depth == 0 else "type" in node or parent in _FREE_FORM:
            return
        near = difflib.get_close_matches(step, [str(key) for key in node], n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise KeyError(f"--cfg-options {name}: the config has no '{at}'{hint}")


def _check_consistency(config: Config) -> None:
    test_cfg = config.get("model", {}).get("test_cfg") or {}
    if test_cfg.get("mode") == "slide":
        crop, stride = tuple(test_cfg["crop_size"]), tuple(test_cfg["stride"])
        if any(step > side for step, side in zip(stride, crop, strict=True)):
            raise ValueError(
                f"sliding window: stride {stride} must not exceed the crop {crop}, pixels would be "
                "left out; give both, --cfg-options crop_size=... stride=..."
            )
    schedulers = config.get("param_scheduler") or []
    for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
        begin, end = scheduler.get("begin", 0), scheduler.get("end")
        if end is not None and begin >= end:
            raise ValueError(
                f"scheduler {scheduler.get('type')} begins at {begin} and ends at {end}; "
                "with fewer iterations give warmup_iters too"
            )
