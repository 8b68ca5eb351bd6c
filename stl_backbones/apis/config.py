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

# Parts without a type of their own that take more keys than a config states.
_FREE_FORM = frozenset({"custom_keys", "default_hooks", "env_cfg", "mp_cfg", "paramwise_cfg"})


def load_config(path: str | Path, *, options: Mapping[str, Any] | None = None) -> Config:
    """Read a text config and apply ``--cfg-options``.

    An option named in the config's ``linked_options`` changes the value everywhere it is used.

    Args:
        path: The config file.
        options: Dotted name -> value.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it cannot be read, or an option does not fit.
        KeyError: If an option names nothing in the config.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"config '{path}' does not exist")
    try:
        with without_import_notes():
            config = Config.fromfile(path)
    except (SyntaxError, NameError, TypeError, KeyError, AttributeError, OSError) as error:
        raise ValueError(f"config '{path}' cannot be read: {error}") from error
    except ImportError as error:
        # mmengine's own message spells sys.path out; what failed is two errors further down.
        cause = error.__cause__ or error
        raise ValueError(
            f"config '{path}': custom_imports: {cause.__context__ or cause}; put the folder of a "
            "module of yours on PYTHONPATH"
        ) from error
    links = config.get("linked_options", {})
    changes: dict[str, Any] = {}
    for name, value in (options or {}).items():
        if name not in links:
            _check_option(config, name)
        changes |= dict.fromkeys((*links.get(name, ()), name), value)
    # What is written out beats what a link gives.
    changes |= {name: value for name, value in (options or {}).items() if "." in name}
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
    """Say in one line that a config does not build: an unknown key or a wrong type.

    Raises:
        ValueError: Instead of the error of the class that refused its arguments.
    """
    try:
        yield
    except (TypeError, KeyError, AttributeError, AssertionError, ImportError) as error:
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
