"""Hooks that stop a run which cannot end well, and that say in its checkpoints what it was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import nn

from stl_backbones.errors import InputError, some_of
from stl_backbones.models.checkpoint import CARD
from stl_backbones.registry import HOOKS


@HOOKS.register_module()
class StopOnBadLoss(Hook):
    """Stops before a loss that is not finite reaches the average or a checkpoint."""

    priority = "VERY_HIGH"

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Look at the loss.

        Raises:
            ValueError: If it is not finite; the images of the batch are named.
        """
        del batch_idx
        loss = _number((outputs or {}).get("loss", 0.0))
        if math.isfinite(loss):
            return
        paths = [
            str(path) for path in getattr(_unwrap(runner.model), "last_paths", _paths(data_batch))
        ]
        raise InputError(
            f"the loss is {loss} in epoch {runner.epoch + 1}, step {runner.iter + 1}; expected a "
            f"finite one. Batch: {some_of(paths, shown=8) or 'unknown'}. The last "
            "checkpoint is from before: --resume in bfloat16 instead of float16, or start anew "
            "from it, --cfg-options load_from=FILE optim_wrapper.optimizer.lr=RATE, at a lower rate"
        )


@HOOKS.register_module()
class ModelCardHook(Hook):
    """Checks that model, labeler and data have the same classes, and describes the model in files.

    The model's ``card()`` becomes ``meta['stl_backbones']`` of its checkpoints.
    """

    def before_run(self, runner: Runner) -> None:
        """Compare class names before training.

        Raises:
            ValueError: If they differ.
        """
        if isinstance(runner._train_loop, BaseLoop):  # not in a mere test
            classes = runner.train_dataloader.dataset.metainfo["classes"]
            _unwrap(runner.model).check_classes(classes)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the card."""
        checkpoint["meta"][CARD] = _unwrap(runner.model).card()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Refuse to resume with another labeler, or with classes of another order.

        Raises:
            ValueError: If the labeler's file or the classes differ from those before.
        """
        if not runner._resume:
            return
        _check_same_classes(
            (checkpoint["meta"].get("dataset_meta") or {}).get("classes"),
            runner.train_dataloader.dataset.metainfo["classes"],
        )
        before, now = (
            (card.get("labeler") or {})
            for card in (checkpoint["meta"].get(CARD) or {}, _unwrap(runner.model).card())
        )
        if before and before["sha256"] != now.get("sha256"):
            raise InputError(
                f"this run began with labeler '{before['file']}' (sha256 {before['sha256'][:12]}), "
                f"'{now.get('file')}' is another file; go on with the first, or start anew"
            )
        print_log("resumed with the same model and labeler", logger="current")


def _check_same_classes(before: Sequence[str] | None, now: Sequence[str]) -> None:
    if before and tuple(before) != tuple(now):
        changed = [name for name in (*before, *now) if (name in before) != (name in now)]
        raise InputError(
            "this run began with other training classes, or another order of them "
            f"({some_of(changed or now)}); go on with the same class folders, or start anew"
        )


def _number(loss: torch.Tensor | float) -> float:
    return loss.item() if isinstance(loss, torch.Tensor) else float(loss)


def _paths(data_batch: Any) -> list[str]:
    """Image files of a batch ``{'data_samples': [...]}``, OpenMMLab's form."""
    samples = data_batch.get("data_samples") if isinstance(data_batch, Mapping) else None
    return [sample.img_path for sample in samples or () if hasattr(sample, "img_path")]


def _unwrap(model: nn.Module) -> Any:
    return model.module if is_model_wrapper(model) else model


__all__ = ["ModelCardHook", "StopOnBadLoss"]
