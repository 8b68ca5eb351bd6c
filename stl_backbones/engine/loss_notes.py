"""What mmengine notes of each training step for its log, without waiting for the device."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.runner import Runner

from stl_backbones.engine.device_numbers import DeviceNumber
from stl_backbones.registry import HOOKS


@HOOKS.register_module()
class LateRuntimeInfoHook(RuntimeInfoHook):
    """mmengine's hook, whose losses of a step on a GPU are noted when they are there.

    All are, in the order of the steps, before a line of the log, a validation or a checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self._coming: deque[dict[str, DeviceNumber]] = deque()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Note the losses that are there, of this step too if it is logged."""
        del data_batch
        self._coming.append({name: DeviceNumber(loss) for name, loss in (outputs or {}).items()})
        is_logged = self.end_of_epoch(runner.train_dataloader, batch_idx) or any(
            isinstance(hook, LoggerHook) and self.every_n_inner_iters(batch_idx, hook.interval)
            for hook in runner.hooks
        )
        self._note(runner, all_of_them=is_logged)

    def before_val(self, runner: Runner) -> None:
        """Note all that is to come."""
        self._note(runner, all_of_them=True)
        super().before_val(runner)

    def before_checkpoint(self, runner: Runner) -> None:
        """Note all that is to come: a checkpoint holds the notes."""
        self._note(runner, all_of_them=True)

    def _note(self, runner: Runner, *, all_of_them: bool) -> None:
        while self._coming:
            if not all_of_them and not all(one.is_there for one in self._coming[0].values()):
                return
            for name, loss in self._coming.popleft().items():
                runner.message_hub.update_scalar(f"train/{name}", loss.read())


__all__ = ["LateRuntimeInfoHook"]
