"""Configs and what the command line changes in them."""

from __future__ import annotations

import contextlib
import difflib
import io
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from stl_backbones.config.openmmlab import use_stand_ins
from stl_backbones.config.packaged import config_file, packaged_bases
from stl_backbones.config.values import check_kind, check_values
from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.errors import InputError, MissingFileError, UnknownNameError

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

_PRETRAINING = "mmpretrain"  # where some configs' backbones come from

_ENDINGS = (".py", ".json", ".yaml", ".yml")  # that mmengine reads

# What is in a config and no setting of it.
_NO_OPTIONS = {"launcher": "give --launcher", "linked_options": "it says what options change"}

# What may stand before the dot of a registered name, and how those behind it look.
_SCOPES = frozenset({"mmengine", "mmcv", "mmseg", "mmdet", "mmpretrain", "stl_backbones"})
_CLASS_NAME = re.compile(r"[A-Z]\w*")

# Parts without a type of their own that take more keys than a config states: mmengine passes over
# those that it does not know. ``None``: any key.
_FREE_FORM: dict[str, frozenset[str] | None] = {
    "custom_keys": None,
    "default_hooks": None,
    "env_cfg": frozenset({"cudnn_benchmark", "dist_cfg", "mp_cfg", "resource_limit"}),
    "mp_cfg": frozenset({"mp_start_method", "opencv_num_threads"}),
    "paramwise_cfg": frozenset(
        {
            "bias_decay_mult", "bias_lr_mult", "bypass_duplicate", "custom_keys",
            "dcn_offset_lr_mult", "dwconv_decay_mult", "flat_decay_mult", "norm_decay_mult",
        }
    ),
}  # fmt: skip


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
    install_safe_loaders()
    path = config_file(path)
    config = _read(path)
    _import_modules(config, path)
    for name, value in (options or {}).items():
        _check_types(name, value)
    changes = _changes(config, options or {})
    try:
        config.merge_from_dict(changes)
    except (TypeError, KeyError, IndexError) as error:
        raise InputError(f"--cfg-options does not fit '{path}': {error}") from error
    check_values(config)
    for split in ("train", "val", "test"):
        loader = config.get(f"{split}_dataloader") or {}
        if loader.get("num_workers") == 0:
            loader["persistent_workers"] = False  # torch refuses it without workers
    return config


def _read(path: Path) -> Config:
    if path.is_dir():
        raise InputError(f"config '{path}' is a folder; expected a .py file")
    if not path.is_file():
        raise MissingFileError(f"config '{path}' does not exist")
    if path.suffix not in _ENDINGS:
        raise InputError(f"config '{path}' must be a file ending {', '.join(_ENDINGS)}")
    try:
        with without_import_notes(), packaged_bases():
            config = Config.fromfile(path, import_custom_modules=False)
    # A config is a program: whatever it raises is the config's fault.
    except RecursionError as error:
        raise InputError(
            f"config '{path}' cannot be read: do its _base_ files go in a circle?"
        ) from error
    except SystemExit as error:
        raise InputError(f"config '{path}' cannot be read: it calls exit()") from error
    except Exception as error:
        # mmengine's stand-in for a module that cannot be imported says nothing.
        reason = str(error) or "no reason given; does it use a module that is not there?"
        kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
        raise InputError(f"config '{path}' cannot be read: {kind}{reason}") from error
    for name in ("linked_options", "custom_imports"):
        if not isinstance(config.get(name, {}), Mapping | None):
            raise InputError(f"config '{path}': {name} must be a dict(...)")
    return config


@contextmanager
def building(what: str) -> Iterator[None]:
    """Say in one line that a config does not build: unknown key, wrong type, absent package.

    Raises:
        ValueError: Instead of the error of the class that refused its arguments.
    """
    try:
        yield
    except KeyError as error:
        raise InputError(f"{what} cannot be built from the config: {error.args[0]}") from error
    except (ValueError, OSError):
        raise
    except Exception as error:  # of any class that the config names
        reason = error.args[0] if error.args else error
        raise InputError(f"{what} cannot be built from the config: {reason}") from error


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
        raise InputError(f"config '{path}': custom_imports: {reason}; {advice}") from error


def _changes(config: Config, options: Mapping[str, Any]) -> dict[str, Any]:
    """What options change, by dotted name: linked settings first, then what is written out."""
    links = config.get("linked_options") or {}
    for name, given in options.items():
        if name not in links:
            _check_option(config, name, given)
        elif not _is_switched_off(config, links[name][0]):
            _check_option(config, links[name][0], given, told=name)
        for other, value in options.items():
            if name.startswith(f"{other}.") and not isinstance(value, dict):
                raise UnknownNameError(
                    f"--cfg-options {name}: '{other}' is given too, as {value!r}"
                )
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
        try:
            node = node[int(step)] if isinstance(node, list | tuple) else node.get(step)
        except (IndexError, ValueError, AttributeError):
            raise UnknownNameError(
                f"linked_options: the config has no '{name}', which an option is to change; give "
                "the option's parts by their full names"
            ) from None
        if node is None:
            return True
    return False


def _free_keys(config: Config, parent: str) -> frozenset[str] | None:
    """Keys that a part takes beside those stated; ``None`` where that is its class's affair."""
    if parent == "paramwise_cfg" and config.get("optim_wrapper", {}).get("constructor"):
        return None
    return _FREE_FORM.get(parent, frozenset())


def _check_types(name: str, value: Any) -> None:
    """Refuse a ``type`` that is no registered name: mmengine would import a path and call it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_types(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_types(name, inner)
    elif name.rpartition(".")[2] == "type" and "." in str(value):
        scope, _, kind = str(value).partition(".")
        if scope not in _SCOPES or not _CLASS_NAME.fullmatch(kind):
            raise InputError(
                f"--cfg-options {name}: expected a registered name such as 'AdamW' or "
                f"'mmseg.FCNHead', got '{value}'; code of yours is named in a config"
            )


def _check_option(config: Config, name: str, value: Any, *, told: str | None = None) -> None:
    node: Any = config.to_dict()
    steps = name.split(".")
    if steps[0] in _NO_OPTIONS:
        raise UnknownNameError(f"--cfg-options {name}: {_NO_OPTIONS[steps[0]]}")
    for depth, step in enumerate(steps):
        at = ".".join(steps[: depth + 1])
        if isinstance(node, list | tuple):
            if not step.lstrip("-").isdecimal() or int(step) >= len(node):
                raise UnknownNameError(f"--cfg-options {name}: '{at}' must be 0..{len(node) - 1}")
            node = node[int(step)]
            continue
        if not isinstance(node, Mapping):
            raise UnknownNameError(
                f"--cfg-options {name}: '{'.'.join(steps[:depth])}' is a plain value"
            )
        if step in node:
            node = node[step]
            if depth + 1 == len(steps):
                check_kind(told or name, node, value)
            continue
        # A class may take more arguments than its config states; it refuses unknown ones itself.
        parent = steps[depth - 1] if depth else ""
        if step in _RUN_SETTINGS if depth == 0 else "type" in node:
            return
        free = _free_keys(config, parent)
        if free is None or step in free:
            return
        known = [*map(str, node), *free, *(() if depth else config.get("linked_options", {}))]
        near = sorted(set(difflib.get_close_matches(step, known, n=3)))
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UnknownNameError(f"--cfg-options {name}: the config has no '{at}'{hint}")
