"""What a training starts from: the parts of its config, and a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import OPTIMIZERS
from mmengine.runner import Runner
from torch import Tensor

from stl_backbones.engine.data_parallel import bare_model
from stl_backbones.engine.loading import check_fit, whole_model_weights
from stl_backbones.errors import InputError
from stl_backbones.models.weight_values import check_values

TRAINING_PARTS = ("train_dataloader", "optim_wrapper", "train_cfg")
_BODY = "backbone."


def check_parts(config: Config, *names: str) -> None:
    """Refuse a config that lacks what a run needs.

    Raises:
        ValueError: If one of the parts is missing or ``None``.
    """
    missing = [name for name in names if not config.get(name)]
    if missing:
        raise InputError(f"the config has no {' and no '.join(missing)}")


def check_start(runner: Runner, checkpoint: Any, path: str, *, resume: bool) -> None:
    """Refuse a checkpoint that mmengine would take in part, or not at all, silently.

    Args:
        runner: The built run.
        checkpoint: What the file holds.
        path: The file, for errors.
        resume: Whether the run goes on, which needs all of it; else the heads may differ.

    Raises:
        ValueError: If it does not fit, or is no state of a training.
    """
    model = bare_model(runner)
    # A run goes on from its `state_dict`, whatever EMA hooks put there; they know how to part it.
    is_state = resume and isinstance(checkpoint, Mapping) and "state_dict" in checkpoint
    held = checkpoint["state_dict"] if is_state else checkpoint
    weights = whole_model_weights(model, held, path, ema=True)
    runner.register_hook(_StartWeights(weights), priority="HIGHEST")
    if resume:
        check_fit(model, weights, path)
        meta = checkpoint.get("meta") if isinstance(checkpoint, Mapping) else None
        if not isinstance(meta, Mapping) or not {"epoch", "iter"} <= meta.keys():
            raise InputError(
                f"checkpoint '{path}' holds weights and no state of a training to resume; start "
                f"from it, without --resume, with --cfg-options load_from={path}"
            )
        return
    own = {name: value for name, value in model.state_dict().items() if name.startswith(_BODY)}
    fitting = [k for k, v in own.items() if k in weights and weights[k].shape == v.shape]
    # Backbones of OpenMMLab may rename keys while they load; ours has its current ones already.
    ours = hasattr(getattr(model, "backbone", None), "rename_released")
    if len(fitting) < (len(own) if ours else len(own) / 2):
        raise InputError(
            f"checkpoint '{path}' does not fit the config's model: it fills {len(fitting)} of the "
            f"{len(own)} backbone keys. Is it of another architecture?"
        )
    check_values(model, weights, path)


class _StartWeights(Hook):
    """Hands mmengine the weights as they were checked; it knows one wrapping and one key."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.weights: Mapping[str, Tensor] | None = weights

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Replace the file's, once, unless they have the same names."""
        del runner
        weights, self.weights = self.weights, None
        if weights is not None and weights.keys() != checkpoint.get("state_dict", {}).keys():
            checkpoint["state_dict"] = weights


def build_rest(runner: Runner) -> None:
    """Build what mmengine's runner builds when the training begins, so that its errors come first.

    The order is mmengine's: schedules begin at the rate that `auto_scale_lr` makes of it.
    """
    _check_optimizer(runner.optim_wrapper)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    scales = (runner.auto_scale_lr or {}).get("enable", False)
    if runner.param_schedulers is not None and not scales:
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    if runner._val_loop is not None:
        runner.val_loop  # noqa: B018


def _check_optimizer(wrapper: Any) -> None:
    """Mmengine itself says of an unknown one that ``None`` is not callable."""
    kind = wrapper.get("optimizer", {}).get("type") if isinstance(wrapper, Mapping) else None
    if isinstance(kind, str) and OPTIMIZERS.get(kind) is None:
        raise InputError(f"optimizer '{kind}' is not registered; expected one such as 'AdamW'")


__all__ = ["TRAINING_PARTS", "build_rest", "check_parts", "check_start"]
