"""Which parameters AdamW shrinks."""

from __future__ import annotations

from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from stl_backbones.errors import InputError
from stl_backbones.registry import OPTIM_WRAPPER_CONSTRUCTORS


def split_by_decay(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable parameters with weight decay, and those without.

    Without: 1-d parameters, biases, and what the model's ``no_weight_decay()`` names.
    """
    named: set[str] = getattr(model, "no_weight_decay", set)()
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            free = parameter.ndim <= 1 or name.endswith(".bias") or name in named
            (kept if free else decayed).append(parameter)
    return decayed, kept


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class NoDecayConstructor:
    """Two parameter groups, see `split_by_decay`.

    mmengine's own constructor makes a group of every parameter, which keeps torch from updating
    them all in a few kernels.

    Args:
        optim_wrapper_cfg: The wrapper's config with its ``optimizer``.
        paramwise_cfg: Must be absent.

    Raises:
        ValueError: If ``paramwise_cfg`` is given.
    """

    def __init__(
        self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None
    ) -> None:
        if paramwise_cfg:
            raise InputError(f"NoDecayConstructor takes no paramwise_cfg, got {paramwise_cfg}")
        self.wrapper_config = dict(optim_wrapper_cfg)
        self.optimizer_config = dict(self.wrapper_config.pop("optimizer"))

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer and its wrapper."""
        inner: Any = model.module if is_model_wrapper(model) else model
        decayed, kept = split_by_decay(inner)
        groups = [{"params": decayed}, {"params": kept, "weight_decay": 0.0}]
        optimizer = OPTIMIZERS.build({**self.optimizer_config, "params": groups})
        config = {"type": "OptimWrapper", **self.wrapper_config}
        return OPTIM_WRAPPERS.build(config, default_args={"optimizer": optimizer})


__all__ = ["NoDecayConstructor", "split_by_decay"]
