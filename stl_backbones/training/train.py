"""Training through mmengine's runner: one way for every task."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from stl_backbones.config.data_check import check_data, check_truth, naming_empty_data
from stl_backbones.config.reading import building, load_config, running
from stl_backbones.datasets.integrity import checking_files_by
from stl_backbones.engine.data_parallel import bare_model
from stl_backbones.engine.precision import train_in
from stl_backbones.errors import InputError
from stl_backbones.models import load_checkpoint, read_checkpoint
from stl_backbones.pretraining import STLClassifier
from stl_backbones.training.pretraining import (
    check_labeler_view,
    number_by_training,
    scale_learning_rate,
)
from stl_backbones.training.resuming import check_same_training, choose_resume
from stl_backbones.training.runs import (
    build_runner,
    prepare_run,
    work_folder_held,
)
from stl_backbones.training.sample_labels import check_every_sample
from stl_backbones.training.starting import (
    TRAINING_PARTS,
    build_rest,
    check_parts,
    check_start,
)

_WHAT = "the training run"
_USES = ("train", "val")


def train(
    config_path: str | Path,
    *,
    work_dir: str | Path | None = None,
    resume: str | None = None,
    amp: str | None = None,
    options: Mapping[str, Any] | None = None,
    data_root: str | Path | None = None,
    launcher: str = "none",
    skip_broken: bool = False,
    auto_scale_lr: bool = False,
    on_start: Callable[[], object] | None = None,
) -> Path:
    """Train the model of a config: a segmentation model, a detector, or a classifier of STL.

    Args:
        config_path: The config file.
        work_dir: Where logs and checkpoints go; default ``work_dirs/<config name>``.
        resume: A checkpoint to go on from, or ``'auto'`` for the newest in ``work_dir``.
        amp: Mixed precision: ``'bfloat16'``, also on the CPU, or ``'float16'``, on a GPU.
        options: ``--cfg-options``.
        data_root: Where the data set lies instead.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        skip_broken: Leave out broken images instead of refusing the data set.
        auto_scale_lr: Scale the learning rate with the batch.
        on_start: Called on the main process once the run can be resumed.

    Returns:
        The work folder.

    Raises:
        ValueError: If config, data, labeler or checkpoint do not fit, or the loss is not finite.
        FileNotFoundError: If one is missing.
    """
    config = load_config(config_path, options=options, data_root=data_root, uses=_USES)
    check_parts(config, *TRAINING_PARTS)
    ranks = prepare_run(
        config, config_path, work_dir=work_dir, launcher=launcher, uses=_USES,
        skip_broken=skip_broken,
    )  # fmt: skip
    train_in(config, amp)
    if auto_scale_lr:
        _scale_rate(config)
    choose_resume(config, resume, ranks)
    # What cannot be read is reported before anything is built.
    start = config.get("load_from") and ranks.on_each(lambda: read_checkpoint(config.load_from))
    with work_folder_held(config, ranks, on_start), warnings.catch_warnings():
        # The schedule counts batches; the first optimizer step may come after several of them.
        warnings.filterwarnings("ignore", r"Detected call of `scheduler.step\(\)` before")
        with checking_files_by(ranks.on_main):
            runner = _build(config, start)
        with running(_WHAT):
            runner.train()
    return Path(config.work_dir)


def _scale_rate(config: Config) -> None:
    """Switch mmengine's scaling of the learning rate on."""
    rule = config.get("auto_scale_lr") or {}
    if not rule.get("base_batch_size"):
        raise InputError(
            "--auto-scale-lr: the config does not say which batch its learning rate belongs to; "
            "give --cfg-options auto_scale_lr.base_batch_size=N"
        )
    rule["enable"] = True


def _build(config: Config, start: Any) -> Runner:
    """Build the runner with all that its training needs, so that every error comes before it."""
    with building(_WHAT), naming_empty_data():
        runner = build_runner(config, _USES)
        runner.train_loop  # noqa: B018  builds the data set
    model, resume = bare_model(runner), bool(config.get("resume"))
    is_classifier = isinstance(model, STLClassifier)
    if is_classifier:
        check_labeler_view(runner)
    if is_classifier and start is not None and not resume:
        # From any file of a FAN; mmengine itself would pass over what does not fit.
        runner.logger.info(str(load_checkpoint(model.backbone, config.load_from)))
        runner._load_from = None
    elif start is not None:
        check_start(runner, start, config.load_from, resume=resume)
        if resume:
            check_same_training(runner, start, config.load_from)
    if is_classifier:
        scale_learning_rate(runner)
    with building(_WHAT), naming_empty_data():
        build_rest(runner)
    if is_classifier:
        number_by_training(runner)
    check_data(model, runner.train_dataloader.dataset, split="train")
    check_every_sample(model, runner.train_dataloader.dataset)
    if runner._val_loop is not None:
        metrics = runner.val_evaluator.metrics
        check_data(model, runner.val_dataloader.dataset, split="val", metrics=metrics)
        check_truth(metrics)
    return runner


__all__ = ["train"]
