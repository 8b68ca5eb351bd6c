"""Averaged weights: their update, their place in checkpoints, and the scoring of both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.hooks import EMAHook
from mmengine.model import BaseAveragedModel
from mmengine.runner import Runner, ValLoop
from torch import nn

from stl_backbones.errors import InputError
from stl_backbones.registry import HOOKS, LOOPS, MODELS

WARMUP = 10  # decay = min(decay, (1 + steps) / (10 + steps)), TensorFlow's and torch_ema's rule


@MODELS.register_module()
class WarmedUpEMA(BaseAveragedModel):
    """Exponential average of parameters and buffers, whose decay grows from 0.1.

    A decay of .99992 remembers 12,500 steps: without warm-up the average of a shorter run would be
    little but the fresh weights.

    Args:
        model: The model to average.
        decay: Share of the average that stays in each step.
        **kwargs: As for mmengine's ``BaseAveragedModel``.

    Raises:
        ValueError: If ``decay`` is not in 0..1.
    """

    def __init__(self, model: nn.Module, decay: float = 0.99992, **kwargs: Any) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"the average's decay must be in [0, 1), got {decay}")
        super().__init__(model, update_buffers=True, **kwargs)
        self.decay = decay
        self._steps = 0  # the buffer `steps`, without asking the device

    def decay_at(self, step: int) -> float:
        """The decay after so many steps."""
        return min(self.decay, (1 + step) / (WARMUP + step))

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take one step towards the model's weights, in one kernel for all tensors."""
        source = model.state_dict()
        pairs = [(value, source[name]) for name, value in self.avg_parameters.items()]
        floating = [pair for pair in pairs if pair[0].is_floating_point()]
        weight = 1 - self.decay_at(self._steps) if self._steps else 1.0
        torch._foreach_lerp_([own for own, _ in floating], [new for _, new in floating], weight)
        for own, new in pairs:
            if not own.is_floating_point():
                own.copy_(new)
        self._steps += 1
        self.steps.fill_(self._steps)

    def avg_func(
        self, averaged_param: torch.Tensor, source_param: torch.Tensor, steps: int
    ) -> None:
        """Not called: `update_parameters` averages all tensors at once."""
        raise NotImplementedError

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._steps = int(self.steps)


@HOOKS.register_module()
class EMAWeightsHook(EMAHook):
    """Averages the weights once per optimizer step.

    As mmengine's hook does it, a checkpoint's ``state_dict`` holds the averaged weights, those to
    deploy, and its ``ema_state_dict`` the raw ones. Unlike mmengine's, validation is left to
    `RawAndEMAValLoop`, which scores both.

    Args:
        decay: Share of the average that stays in each step.
    """

    def __init__(self, decay: float = 0.99992) -> None:
        super().__init__(ema_type="WarmedUpEMA", decay=decay)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Update the average, unless gradients are still being gathered."""
        del batch_idx, data_batch, outputs
        counts = runner.optim_wrapper._accumulative_counts
        if (runner.iter + 1) % counts == 0 or runner.iter + 1 == runner.max_iters:
            self.ema_model.update_parameters(self.src_model)

    def before_val_epoch(self, runner: Runner) -> None:
        """Leave the raw weights in place."""

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Leave the raw weights in place."""

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averaged weights into the model for a while."""
        self._swap_ema_parameters()
        try:
            yield
        finally:
            self._swap_ema_parameters()


@LOOPS.register_module()
class RawAndEMAValLoop(ValLoop):
    """Scores the raw weights, ``raw/...``, and those of an `EMAWeightsHook`, ``ema/...``."""

    def run(self) -> dict[str, float]:
        """Run both validations; hooks see one, with the metrics of both."""
        self.runner.call_hook("before_val")
        self.runner.call_hook("before_val_epoch")
        self.runner.model.eval()
        metrics = self._score("raw")
        for hook in self.runner.hooks:
            if isinstance(hook, EMAWeightsHook):
                with hook.averaged():
                    metrics |= self._score("ema")
        self.runner.call_hook("after_val_epoch", metrics=metrics)
        self.runner.call_hook("after_val")
        return metrics

    def _score(self, name: str) -> dict[str, float]:
        for index, batch in enumerate(self.dataloader):
            self.run_iter(index, batch)
        found = self.evaluator.evaluate(len(self.dataloader.dataset))
        return {f"{name}/{metric}": value for metric, value in found.items()}


__all__ = ["EMAWeightsHook", "RawAndEMAValLoop", "WarmedUpEMA"]
