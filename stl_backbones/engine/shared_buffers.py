"""One set of buffers for all processes: what is validated and saved is no single process's own.

Each process of a job counts BatchNorm's statistics over its own images; mmengine shares gradients
alone (``broadcast_buffers=False``).
"""

from __future__ import annotations

from collections import defaultdict

import torch
import torch.distributed as dist
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from torch import Tensor, nn


def share_buffers(model: nn.Module) -> None:
    """Set a model's saved buffers to their mean over the processes, integers to the main process's.

    Buffers that are equal in all processes stay the same bits. Does nothing without a group.

    Args:
        model: The model, in any wrapper; every process of the job calls this.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    saved = model.state_dict().keys()
    alike: dict[tuple[torch.dtype, torch.device], list[Tensor]] = defaultdict(list)
    for name, buffer in model.named_buffers():
        if name in saved and buffer.numel():
            alike[buffer.dtype, buffer.device].append(buffer.data)
    for buffers in alike.values():
        _share(buffers)


def _share(buffers: list[Tensor]) -> None:
    """Share buffers of one type in one or two messages."""
    own = torch.cat([buffer.reshape(-1) for buffer in buffers])
    shared = own.clone()
    dist.broadcast(shared.view(torch.uint8), src=0)
    if own.is_floating_point():
        # Of the differences: a mean of equal numbers may be another one in its last bit.
        off = torch.where(own == shared, 0, own - shared)
        dist.all_reduce(off)
        shared += off / dist.get_world_size()
    for buffer, part in zip(buffers, shared.split([b.numel() for b in buffers]), strict=True):
        buffer.copy_(part.view_as(buffer))


class SharedBuffersHook(Hook):
    """Shares buffers, those of averaged weights too, before each validation and each checkpoint."""

    def before_val(self, runner: Runner) -> None:
        """Share before hooks put averaged weights into the model."""
        share_buffers(runner.model)
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                share_buffers(hook.ema_model)

    def before_checkpoint(self, runner: Runner) -> None:
        """Share before a checkpoint is made, see `stl_backbones.training.runs`."""
        self.before_val(runner)


__all__ = ["SharedBuffersHook", "share_buffers"]
