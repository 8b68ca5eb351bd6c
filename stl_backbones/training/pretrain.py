"""Pretraining a token labeler or a student through mmengine's runner."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from stl_backbones.config.reading import building, load_config
from stl_backbones.config.tasks import refuse_task
from stl_backbones.datasets.two_views import TwoViews
from stl_backbones.errors import InputError
from stl_backbones.models import load_checkpoint, read_checkpoint
from stl_backbones.training.starting import (
    TRAINING_PARTS,
    bare_model,
    build_rest,
    check_parts,
    check_start,
)
from stl_backbones.training.train import (
    choose_resume,
    prepare_run,
    shorten_console,
    work_folder_held,
)

PRECISIONS = ("bfloat16", "float16")


def pretrain(
    config_path: str | Path,
    *,
    work_dir: str | Path | None = None,
    resume: str | None = None,
    amp: str | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
) -> Path:
    """Train the network of a config in ``configs/cls``.

    Args:
        config_path: The config file.
        work_dir: Where logs and checkpoints go; default ``work_dirs/<config name>``.
        resume: A checkpoint to go on from, or ``'auto'`` for the newest in ``work_dir``.
        amp: Mixed precision: ``'bfloat16'``, also on the CPU, or ``'float16'``, on a GPU.
        options: ``--cfg-options``.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Returns:
        The work folder.

    Raises:
        ValueError: If config, data, labeler or checkpoint do not fit, or the loss is not finite.
        FileNotFoundError: If one is missing.
    """
    config = load_config(config_path, options=options)
    refuse_task(config, ("segmentation", "detection"), "tools/train.py, this is for pretraining")
    check_parts(config, *TRAINING_PARTS)
    prepare_run(config, config_path, work_dir=work_dir, launcher=launcher)
    _use_precision(config, amp)
    if resume is not None:
        choose_resume(config, resume)
    with work_folder_held(config):
        _run(config)
    return Path(config.work_dir)


def _run(config: Config) -> None:
    if config.get("load_from"):
        read_checkpoint(config.load_from)  # what cannot be read is told before anything is built
    with building("the pretraining run"):
        runner = Runner.from_cfg(config)
        runner.train_loop  # noqa: B018  builds the data set: its errors come before any work
    shorten_console(runner.logger)
    _check_labeler_view(runner)
    if config.get("load_from"):
        _start_from(runner, config.load_from, resume=config.get("resume", False))
    scale_learning_rate(runner)
    with building("the pretraining run"):
        build_rest(runner)
    with warnings.catch_warnings():
        # The schedule counts batches; the first optimizer step comes after several of them.
        warnings.filterwarnings("ignore", r"Detected call of `scheduler.step\(\)` before")
        runner.train()


def scale_learning_rate(runner: Runner) -> None:
    """Fit the learning rate to the global batch, and say so in the log.

    The config's rate belongs to ``auto_scale_lr.base_batch_size`` images per step. mmengine's own
    rule does not count accumulated gradients.

    Raises:
        ValueError: If a step needs more images than there are.
    """
    loader, wrapper = runner.train_dataloader, runner.optim_wrapper
    accumulated = wrapper.get("accumulative_counts", 1)
    batch = runner.world_size * loader.batch_size * accumulated
    loader.dataset.check_batch(batch)
    if len(loader) % accumulated:
        runner.logger.warning(
            f"the {len(loader)} batches of an epoch are no multiple of the {accumulated} that make "
            "a step: a run resumed between epochs loses the gradients of the rest"
        )
    rule, runner.auto_scale_lr = runner.auto_scale_lr or {}, None
    if not rule.get("enable"):
        return
    base, lr = rule["base_batch_size"], wrapper.optimizer.lr
    wrapper.optimizer.lr = lr * batch / base
    runner.logger.info(
        f"lr {lr:g} for {base} images a step becomes {wrapper.optimizer.lr:g} for {batch}: "
        f"{runner.world_size} process(es) x {loader.batch_size} x {accumulated} accumulated"
    )


def _check_labeler_view(runner: Runner) -> None:
    """Refuse a labeler's view of which pipeline and preprocessor have different ideas."""
    model = bare_model(runner)
    in_batch = getattr(model.data_preprocessor, "labeler_view", None)
    for step in runner.train_dataloader.dataset.pipeline:
        if isinstance(step, TwoViews) and set(step.labeler_view) != set(in_batch or ()):
            raise InputError(
                f"labeler_view is {list(step.labeler_view)} in the pipeline's TwoViews and "
                f"{list(in_batch or ())} in the data preprocessor; both need the same list"
            )


def _start_from(runner: Runner, path: str, *, resume: bool) -> None:
    """Check the checkpoint of the run that goes on, or fill the network from any FAN's file.

    mmengine itself would pass over what does not fit.
    """
    if resume:
        check_start(runner, read_checkpoint(path), path, resume=True)
    else:
        runner.logger.info(str(load_checkpoint(bare_model(runner).backbone, path)))
        runner._load_from = None


def _use_precision(config: Config, amp: str | None) -> None:
    if amp is None:
        return
    if amp not in PRECISIONS:
        raise InputError(f"--amp must be one of {', '.join(PRECISIONS)}, got '{amp}'")
    if amp == "bfloat16":
        config.optim_wrapper.type = "stl_backbones.BFloat16OptimWrapper"
    elif torch.cuda.is_available():
        config.optim_wrapper.type = "AmpOptimWrapper"
        config.optim_wrapper.setdefault("loss_scale", "dynamic")
    else:
        raise InputError("--amp float16 needs a GPU; take --amp bfloat16 on the CPU")
