"""What training a classifier of STL needs beside: learning rate, labeler's view, files of a FAN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.runner import Runner

from stl_backbones.datasets.imagenet import ImageNetFolder
from stl_backbones.datasets.two_views import TwoViews
from stl_backbones.engine.data_parallel import bare_model
from stl_backbones.errors import InputError


def scale_learning_rate(runner: Runner) -> None:
    """Fit the learning rate to the global batch, and log it.

    The config's rate belongs to ``auto_scale_lr.base_batch_size`` images per step. mmengine's own
    rule does not count accumulated gradients.

    Raises:
        ValueError: If a step needs more images than there are.
    """
    loader, wrapper = runner.train_dataloader, runner.optim_wrapper
    accumulated = wrapper.get("accumulative_counts", 1)
    batch = runner.world_size * loader.batch_size * accumulated
    loader.dataset.check_batch(batch)
    rule, runner.auto_scale_lr = runner.auto_scale_lr or {}, None
    if not rule.get("enable"):
        return
    base, lr = rule["base_batch_size"], wrapper.optimizer.lr
    wrapper.optimizer.lr = lr * batch / base
    runner.logger.info(
        f"lr {lr:g} for {base} images a step becomes {wrapper.optimizer.lr:g} for {batch}: "
        f"{runner.world_size} process(es) x {loader.batch_size} x {accumulated} accumulated"
    )


def number_by_training(runner: Runner) -> None:
    """Label the validation images by the classes of the training images.

    Raises:
        ValueError: If there is a class that training has not.
    """
    if runner._val_loop is not None and isinstance(runner.val_dataloader.dataset, ImageNetFolder):
        _number(
            runner.val_dataloader.dataset,
            runner.val_evaluator,
            runner.train_dataloader.dataset.classes,
        )


def number_by_checkpoint(runner: Runner, checkpoint: Any) -> None:
    """Label the test images by the classes that the checkpoint was trained on, if it says them.

    Raises:
        ValueError: If there is a class that training had not.
    """
    dataset, meta = runner.test_dataloader.dataset, checkpoint.get("meta") or {}
    classes = (meta.get("dataset_meta") or {}).get("classes")
    if classes and isinstance(dataset, ImageNetFolder):
        _number(dataset, runner.test_evaluator, classes)


def _number(dataset: ImageNetFolder, evaluator: Evaluator, classes: Sequence[str]) -> None:
    dataset.number_by(classes)
    evaluator.dataset_meta = dataset.metainfo


def check_labeler_view(runner: Runner) -> None:
    """Refuse a labeler's view on which pipeline and preprocessor disagree."""
    model = bare_model(runner)
    in_batch = getattr(model.data_preprocessor, "labeler_view", None)
    for step in runner.train_dataloader.dataset.pipeline:
        if isinstance(step, TwoViews) and set(step.labeler_view) != set(in_batch or ()):
            raise InputError(
                f"labeler_view is {list(step.labeler_view)} in the pipeline's TwoViews and "
                f"{list(in_batch or ())} in the data preprocessor; both need the same list"
            )


__all__ = [
    "check_labeler_view",
    "number_by_checkpoint",
    "number_by_training",
    "scale_learning_rate",
]
