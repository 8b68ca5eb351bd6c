"""Hooks that stop a run which cannot end well, and that say in its checkpoints what it was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from stl_backbones.engine.data_parallel import bare_model
from stl_backbones.engine.device_numbers import DeviceNumber
from stl_backbones.engine.distributed import Ranks
from stl_backbones.errors import InputError, some_of
from stl_backbones.models.checkpoint import CARD
from stl_backbones.registry import HOOKS

_LOSSES_IN_SUCCESSION = 5  # not finite, that are no passing overflow of float16


@HOOKS.register_module()
class StopOnBadLoss(Hook):
    """Stops before a loss that is not finite reaches a validation or a checkpoint.

    A loss is read when the next step is done, or a validation or a checkpoint is due: no step waits
    for the device. Then all processes stop, whichever has it. Where losses are scaled (float16),
    the scaler leaves a step out whose gradients are not finite, so only several such losses in
    succession stop the run, or BatchNorm statistics that one of them has spoilt.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._ranks = Ranks()
        self._last: _Step | None = None
        self._in_succession = 0

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Look at the loss of the step before.

        Raises:
            ValueError: If it is not finite; the images of its batch are named.
        """
        del batch_idx
        self._check(runner)
        paths = getattr(bare_model(runner), "last_paths", None)
        self._last = _Step(
            loss=DeviceNumber((outputs or {}).get("loss", 0.0)),
            place=f"epoch {runner.epoch + 1}, step {runner.iter + 1}",
            paths=_paths(data_batch) if paths is None else paths,
        )

    def before_val(self, runner: Runner) -> None:
        """Look at the last loss, in all processes.

        Raises:
            ValueError: If it is not finite in one of them.
        """
        self._ranks.on_each(lambda: self._check(runner, all_is_due=True))

    def before_checkpoint(self, runner: Runner) -> None:
        """Look at the last loss, in all processes.

        Raises:
            ValueError: If it is not finite in one of them.
        """
        self.before_val(runner)

    def after_train(self, runner: Runner) -> None:
        """Look at the last loss of the run."""
        self.before_val(runner)

    def _check(self, runner: Runner, *, all_is_due: bool = False) -> None:
        last, self._last = self._last, None
        loss = 0.0 if last is None else last.loss.read()
        if last is not None:
            self._in_succession = 0 if math.isfinite(loss) else self._in_succession + 1
        if all_is_due and _scales(runner.optim_wrapper):
            _check_statistics(bare_model(runner))
        needed = _LOSSES_IN_SUCCESSION if _scales(runner.optim_wrapper) else 1
        if last is None or math.isfinite(loss) or self._in_succession < needed:
            return
        paths = some_of([str(path) for path in last.paths], shown=8)
        raise InputError(
            f"the loss is {loss} in {last.place}; expected a finite one. Batch: "
            f"{paths or 'unknown'}. The last "
            "checkpoint is from before: --resume in bfloat16 instead of float16, or start anew "
            "from it, --cfg-options load_from=FILE optim_wrapper.optimizer.lr=RATE, at a lower rate"
        )


@dataclass(frozen=True)
class _Step:
    loss: DeviceNumber
    place: str
    paths: Sequence[Any]


def _scales(wrapper: Any) -> bool:
    """Whether an optimizer wrapper, or one of several, scales losses."""
    wrappers = getattr(wrapper, "optim_wrappers", {"": wrapper}).values()
    scalers = [getattr(one, "loss_scaler", None) for one in wrappers]
    return any(scaler is not None and scaler.is_enabled() for scaler in scalers)


def _check_statistics(model: nn.Module) -> None:
    """Refuse BatchNorm statistics that a forward pass beyond float16's range has spoilt."""
    for name, part in model.named_modules():
        if not isinstance(part, _NormBase):
            continue
        if not all(buffer.isfinite().all() for buffer in part.buffers(recurse=False)):
            raise InputError(
                f"the statistics of '{name}' are not finite: activations exceed float16; --resume "
                "in bfloat16 from the last checkpoint"
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
            bare_model(runner).check_classes(classes)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the card."""
        checkpoint["meta"][CARD] = bare_model(runner).card()

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
            for card in (checkpoint["meta"].get(CARD) or {}, bare_model(runner).card())
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


def _paths(data_batch: Any) -> list[str]:
    """Image files of a batch ``{'data_samples': [...]}``, OpenMMLab's form."""
    samples = data_batch.get("data_samples") if isinstance(data_batch, Mapping) else None
    return [sample.img_path for sample in samples or () if hasattr(sample, "img_path")]


__all__ = ["ModelCardHook", "StopOnBadLoss"]
