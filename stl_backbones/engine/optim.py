"""Mixed precision that works without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import nn

from stl_backbones.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Autocast to bfloat16, on the CPU too; bfloat16 needs no loss scaling.

    mmengine's ``AmpOptimWrapper`` refuses the CPU.

    Args:
        **kwargs: As for mmengine's ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass under autocast."""
        with (
            super().optim_context(model),
            torch.autocast(get_device().partition(":")[0], torch.bfloat16),
        ):
            yield
