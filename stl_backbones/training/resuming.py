"""Going on with a training: from which checkpoint, and whether it is still the same training."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner

from stl_backbones.config.settings import PARTS, RUN_SETTINGS
from stl_backbones.config.walk import walk
from stl_backbones.engine.checkpointing import PROCESSES, find_resume, kept_checkpoints
from stl_backbones.engine.distributed import Ranks
from stl_backbones.errors import InputError, MissingFileError, some_of
from stl_backbones.results.lock import LOCK_NAME

_SHOWN = 5
_ABSENT = "not stated"

# Settings that another part of the curve does not depend on; all others must stay.
_FREE_PARTS = frozenset(
    {
        "activation_checkpointing", "cfg", "compile", "custom_imports", "default_hooks",
        "default_scope", "env_cfg", "experiment_name", "find_unused_parameters", "launcher",
        "load_from", "log_level", "log_processor", "model_wrapper_cfg", "resume", "visualizer",
        "work_dir", *PARTS["val"], *PARTS["test"],
    }
)  # fmt: skip
# Names at any depth: paths, workers, memory, device, and how often the run is validated.
_FREE_NAMES = frozenset(
    {
        "ann_file", "backend_args", "checkpoint", "data_prefix", "data_root", "deterministic",
        "diff_rank_seed", "dynamic_intervals", "init_cfg", "lazy_init", "max_broken", "max_refetch",
        "multiprocessing_context", "num_workers",
        "persistent_workers", "pin_memory", "prefetch_factor", "pretrained", "serialize_data",
        "skip_broken", "test_cfg", "val_begin", "val_interval", "with_cp",
    }
)  # fmt: skip
_PRECISION = frozenset(f"optim_wrapper.{name}" for name in ("type", "dtype", "loss_scale"))
_ALIKE = {"SyncBN": "BN"}  # which it becomes where there is no GPU


def choose_resume(config: Config, resume: str | None, ranks: Ranks) -> None:
    """Have the run go on from a checkpoint, or say that it begins at 0 where others lie.

    The main process chooses for all: what the others see of a folder may be another moment's.

    Args:
        config: The config; its work folder is chosen already.
        resume: A file, or ``'auto'`` for the newest of the work folder. A run that was stopped
            before its first checkpoint starts anew, with a word. ``None``: as the config says.
        ranks: The processes of the run.

    Raises:
        FileNotFoundError: If there is nothing to go on with.
    """
    path = ranks.on_main(lambda: _find(config, resume))
    if path is not None:
        config.resume = True
        config.load_from = str(path)


def _find(config: Config, resume: str | None) -> Path | None:
    """The checkpoint to go on from, if the run is not to begin at 0 or as the config says."""
    folder = Path(config.work_dir)
    if resume is None and config.get("resume") and not config.get("load_from"):
        resume = "auto" if (folder / LOCK_NAME).exists() else None  # OpenMMLab's habit
    if resume is None:
        if not config.get("resume"):
            _warn_of_earlier_work(folder)
        return None
    path = find_resume(folder) if resume == "auto" else Path(resume)
    if path is not None:
        return path
    kept = kept_checkpoints(folder)
    was_started = (folder / LOCK_NAME).exists()
    if kept and not (was_started and _is_before_first(folder, kept)):
        raise MissingFileError(
            f"nothing to resume: of {some_of(sorted(file.name for file in kept))} in '{folder}' "
            "none is a whole checkpoint epoch_N.pth or iter_N.pth; give one, --resume FILE, or "
            "leave --resume out to begin at 0"
        )
    if not was_started:
        raise MissingFileError(
            f"nothing to resume: no run was started in '{folder}'; leave --resume out to start one"
        )
    _say(f"the run in '{folder}' was stopped before its first checkpoint: it begins at 0")
    return None


def _is_before_first(folder: Path, kept: Iterable[Path]) -> bool:
    """Whether a run was stopped before a checkpoint to go on from: best ones have no optimizer."""
    is_named = (folder / "last_checkpoint").exists()
    return not is_named and all(path.name.startswith("best_") for path in kept)


def check_same_training(runner: Runner, checkpoint: Mapping[str, Any], path: str) -> None:
    """Refuse to go on with another training than the checkpoint's: its curve would be neither's.

    The config that mmengine keeps in a checkpoint is compared with the run's, setting by setting;
    paths, workers, logging, precision and validation may change. The text is read as data.

    Args:
        runner: The built run.
        checkpoint: A checkpoint with the state of a training.
        path: The file, for the error.

    Raises:
        ValueError: If a setting differs, or the number of processes.
    """
    meta = checkpoint["meta"]
    before, now = _settings(meta.get("cfg")), _settings(runner.cfg.pretty_text)
    if before:
        before["processes"] = meta.get(PROCESSES, runner.world_size)
        now["processes"] = runner.world_size
    elif is_main_process():
        runner.logger.warning(f"'{path}' holds no config: whether it is this training is not known")
    changed = [
        f"{name} {before.get(name, _ABSENT)} -> {now.get(name, _ABSENT)}"
        for name in sorted(before.keys() | now.keys() if before else ())
        if before.get(name, _ABSENT) != now.get(name, _ABSENT)
    ]
    if changed:
        raise InputError(
            f"'{path}' belongs to another training: {some_of(changed, shown=_SHOWN)}; resume with "
            f"the same, or start anew from its weights: leave --resume out and give another "
            f"--work-dir and --cfg-options load_from={path}"
        )


def _settings(text: Any) -> dict[str, Any]:
    """The settings in a config's text that must stay, by dotted name; nothing if it is none."""
    try:
        body = ast.parse(text).body if isinstance(text, str) else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, Any] = {}
    for line in body:
        if not isinstance(line, ast.Assign) or not isinstance(name := line.targets[0], ast.Name):
            continue
        if name.id not in {"model", *RUN_SETTINGS} - _FREE_PARTS:
            continue
        for steps, value in walk(_read(line.value), (name.id,)):
            dotted = ".".join(steps)
            if value not in ({}, []) and isinstance(value, dict | list):
                continue
            if not _FREE_NAMES.intersection(steps) and dotted not in _PRECISION:
                found[dotted] = _ALIKE.get(str(value), value)
    return found


def _read(node: ast.expr) -> Any:
    """What a value's text says, without running it: dicts, lists, and everything else by itself."""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {str(_read(key)): _read(value) for key, value in pairs if key is not None}
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "dict":
        content = {str(word.arg): _read(word.value) for word in node.keywords}
        for part in node.args:  # dict({'a b': 1})
            content |= _read(part) if isinstance(part, ast.Dict) else {"": _read(part)}
        return content
    if isinstance(node, ast.List | ast.Tuple):
        return [_read(item) for item in node.elts]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _warn_of_earlier_work(folder: Path) -> None:
    kept = sorted(path.name for path in kept_checkpoints(folder))
    if kept:
        _say(
            f"'{folder}' holds checkpoints of an earlier run ({some_of(kept)}); this one begins at "
            "0 and writes over them; --resume goes on with the earlier one",
            level=logging.WARNING,
        )


def _say(text: str, *, level: int = logging.INFO) -> None:
    if is_main_process():
        print_log(text, logger=None, level=level)


__all__ = ["check_same_training", "choose_resume"]
