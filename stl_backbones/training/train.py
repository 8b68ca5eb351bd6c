"""Training and testing through mmengine's runner."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from stl_backbones.cli.interrupts import run_begins
from stl_backbones.config.reading import building, load_config
from stl_backbones.config.tasks import refuse_task
from stl_backbones.engine.checkpointing import find_resume, write_whole_files
from stl_backbones.engine.distributed import start_distributed
from stl_backbones.engine.loading import check_fit, remap_legacy_keys
from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.errors import MissingFileError
from stl_backbones.models import read_checkpoint, select_state_dict
from stl_backbones.results.lock import LOCK_NAME, locked
from stl_backbones.training.starting import (
    TRAINING_PARTS,
    bare_model,
    build_rest,
    check_parts,
    check_start,
)

_LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def train(
    config_path: str | Path,
    *,
    work_dir: str | Path | None = None,
    resume: str | None = None,
    amp: bool = False,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    skip_broken: bool = False,
) -> Path:
    """Train the model of a config.

    Args:
        config_path: The config file.
        work_dir: Where logs and checkpoints go; default ``work_dirs/<config name>``.
        resume: A checkpoint to go on from, or ``'auto'`` for the newest in ``work_dir``.
        amp: Mixed precision: float16 on a GPU, bfloat16 on the CPU.
        options: ``--cfg-options``.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        skip_broken: Leave out broken images instead of refusing the data set.

    Returns:
        The work folder.

    Raises:
        ValueError: If config, data or checkpoint do not fit.
        FileNotFoundError: If one is missing.
    """
    config = load_config(config_path, options=options)
    refuse_task(config, ("classification",), "tools/pretrain.py")
    check_parts(config, *TRAINING_PARTS)
    prepare_run(config, config_path, work_dir=work_dir, launcher=launcher, skip_broken=skip_broken)
    if amp:
        _use_amp(config)
    if resume is not None:
        choose_resume(config, resume)
    start = read_checkpoint(config.load_from) if config.get("load_from") else None
    with work_folder_held(config):
        with building("the training run"):
            runner = Runner.from_cfg(config)
            runner.train_loop  # noqa: B018  builds the data set: its errors come before any work
            build_rest(runner)
        if start is not None:
            check_start(runner, start, config.load_from, resume=bool(config.get("resume")))
        shorten_console(runner.logger)
        runner.train()
    return Path(config.work_dir)


def evaluate(
    config_path: str | Path,
    checkpoint: str | Path,
    *,
    work_dir: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    skip_broken: bool = False,
) -> dict[str, float]:
    """Score a checkpoint on the config's test data.

    Returns:
        Metric name -> value, as the config's test evaluator names and scales them.

    Raises:
        ValueError: If config, data or checkpoint do not fit.
        FileNotFoundError: If one is missing.
    """
    config = load_config(config_path, options=options)
    check_parts(config, "test_dataloader", "test_evaluator")
    prepare_run(config, config_path, work_dir=work_dir, launcher=launcher, skip_broken=skip_broken)
    config.load_from = str(checkpoint)
    weights = select_state_dict(read_checkpoint(checkpoint), ema=False)
    with building("the test run"):
        runner = Runner.from_cfg(config)
        runner.test_loop  # noqa: B018  builds the data set: its errors come before any work
    model = bare_model(runner)
    check_fit(model, remap_legacy_keys(model, weights), checkpoint)
    return runner.test()


def choose_resume(config: Config, resume: str) -> None:
    """Have the run go on from a checkpoint.

    Args:
        config: The config; its work folder is chosen already.
        resume: A file, or ``'auto'`` for the newest of the work folder. A run that was stopped
            before its first checkpoint starts anew.

    Raises:
        FileNotFoundError: If there is nothing to go on with.
    """
    folder = Path(config.work_dir)
    path = find_resume(folder) if resume == "auto" else Path(resume)
    if path is not None:
        config.resume = True
        config.load_from = str(path)
    elif not (folder / LOCK_NAME).exists():
        raise MissingFileError(
            f"nothing to resume: no run was started in '{folder}'; leave --resume out to start one"
        )


@contextmanager
def work_folder_held(config: Config) -> Iterator[None]:
    """Hold the work folder: one run at a time.

    Raises:
        HeldError: If another process runs in it.
    """
    with ExitStack() as stack:
        if is_main_process():
            stack.enter_context(locked(config.work_dir))
            run_begins()
        yield


def prepare_run(
    config: Config,
    config_path: str | Path,
    *,
    work_dir: str | Path | None,
    launcher: str,
    skip_broken: bool = False,
) -> None:
    """Join the launcher's processes and make the config fit them and its work folder.

    Raises:
        ValueError: If the launcher did not start this process.
        PermissionError: If the work folder cannot be written to.
    """
    start_distributed(launcher)
    install_safe_loaders()
    write_whole_files()
    config.launcher = launcher
    config.work_dir = str(work_dir or config.get("work_dir") or default_work_dir(config_path))
    Path(config.work_dir).mkdir(parents=True, exist_ok=True)
    if not os.access(config.work_dir, os.W_OK):
        raise PermissionError(f"work folder '{config.work_dir}' is not writable")
    saving = config.get("default_hooks", {}).get("checkpoint")
    if saving and saving.type == "CheckpointHook":
        saving.type = "stl_backbones.SafeCheckpointHook"
    if launcher != "none" and not torch.cuda.is_available():
        config.model_wrapper_cfg = {"type": "stl_backbones.CPUDistributedDataParallel"}
        _replace_sync_bn(config.model)
    loaders = [config[name] for name in _LOADERS if config.get(name)]
    for loader in loaders:
        if not torch.cuda.is_available():
            loader.pin_memory = False  # torch warns about it without a GPU
        if skip_broken:
            loader.dataset.skip_broken = True


def default_work_dir(config_path: str | Path) -> Path:
    """OpenMMLab's default: ``work_dirs/<config name>``."""
    return Path("work_dirs") / Path(config_path).stem


def shorten_console(logger: logging.Logger) -> None:
    """Keep mmengine's lines on every single parameter in the log file, off the terminal."""
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(lambda record: not _is_on_parameter(record.getMessage()))


def _is_on_parameter(message: str) -> bool:
    return message.startswith("paramwise_") or "since its requires_grad=False" in message


def _use_amp(config: Config) -> None:
    if torch.cuda.is_available():
        config.optim_wrapper.type = "AmpOptimWrapper"
        config.optim_wrapper.setdefault("loss_scale", "dynamic")
    else:
        config.optim_wrapper.type = "stl_backbones.BFloat16OptimWrapper"


def _replace_sync_bn(node: Any) -> None:
    """SyncBN needs GPUs; on the CPU each process norms its own share."""
    if isinstance(node, dict):
        if node.get("type") == "SyncBN":
            node["type"] = "BN"
        for value in node.values():
            _replace_sync_bn(value)
    elif isinstance(node, list | tuple):
        for value in node:
            _replace_sync_bn(value)
