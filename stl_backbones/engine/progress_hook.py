"""How far mmengine's runner is: a bar on a terminal, numbers for its log and for the run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from stl_backbones.display import Display, has_bar, rate_text
from stl_backbones.run_log import record, record_progress

_WINDOW = 20  # steps that the rate is a mean of


class ProgressHook(Hook):
    """Shows a bar where somebody looks on; a log has the lines of mmengine's ``LoggerHook``.

    Those of a training get ``images_per_second``.
    """

    priority = "NORMAL"  # after mmengine's timer, before what logs

    def __init__(self) -> None:
        self.training = self.scoring = Display("", "", shown=False)

    def before_train(self, runner: Runner) -> None:
        """Begin a bar."""
        del runner
        self.training = _display("training", "iterations")

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Show and note a step."""
        del batch_idx, outputs
        hub = runner.message_hub
        times = hub.log_scalars.get("train/time")
        if times is None:  # without mmengine's timer
            return
        rate = get_world_size() * _length(data_batch) / max(float(times.mean(_WINDOW)), 1e-9)
        hub.update_scalar("train/images_per_second", rate)
        losses = hub.log_scalars.get("train/loss")
        loss = None if losses is None else float(losses.current())
        done, total, left = runner.iter + 1, runner.max_iters, float(hub.get_info("eta"))
        record_progress(
            done, total, unit="iterations", loss=loss, images_per_second=rate, seconds_left=left
        )
        text = rate_text(rate, "images")
        scores = text if loss is None else f"{text}, loss {loss:.3f}"
        self.training.update(done, total, remaining=left, scores=scores)

    def after_train(self, runner: Runner) -> None:
        """Leave the bar."""
        del runner
        self.training.__exit__()

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin a bar of the validation's own."""
        del runner
        self.scoring = _display("validation", "batches")

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Show a batch."""
        del data_batch, outputs
        self.scoring.update(batch_idx + 1, len(runner.val_dataloader))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Note the scores."""
        self.scoring.__exit__()
        record("scores", iteration=runner.iter, **(metrics or {}))

    def before_test_epoch(self, runner: Runner) -> None:
        """Begin a bar."""
        del runner
        self.scoring = _display("test", "batches")

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Show and note a batch."""
        del data_batch, outputs
        done, total = batch_idx + 1, len(runner.test_dataloader)
        record_progress(done, total, unit="batches")
        self.scoring.update(done, total)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Note the scores."""
        del runner
        self.scoring.__exit__()
        record("scores", **(metrics or {}))


def _display(title: str, unit: str) -> Display:
    return Display(title, unit, shown=is_main_process() and has_bar())


def _length(batch: Any) -> int:
    """How many images a batch has; its inputs are a tensor, a list, or views of one."""
    inputs = batch
    while isinstance(inputs, Mapping) and inputs:
        inputs = inputs.get("inputs", next(iter(inputs.values())))
    return len(inputs) if isinstance(inputs, Sequence) or hasattr(inputs, "shape") else 1


__all__ = ["ProgressHook"]
