"""One model in several processes: its wrapper without a GPU, and the model in the wrapper."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.runner import Runner

from stl_backbones.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """mmengine's wrapper without a device: it hands torch a GPU's number otherwise.

    Args:
        module: The model.
        device_ids: Ignored; mmengine passes the local rank.
        **kwargs: As for ``MMDistributedDataParallel``.
    """

    def __init__(self, module: torch.nn.Module, device_ids: Any = None, **kwargs: Any) -> None:
        del device_ids
        super().__init__(module=module, device_ids=None, **kwargs)


def bare_model(runner: Runner) -> Any:
    """The runner's model, out of the wrapper that shares its gradients."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


__all__ = ["CPUDistributedDataParallel", "bare_model"]
