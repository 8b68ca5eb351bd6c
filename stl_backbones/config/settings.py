"""The top-level settings of a config that mmengine's runner and our tools read, by their use."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mmengine.config import Config

SPLITS = ("train", "val", "test")

# What `mmengine.runner.Runner` reads, beside the parts of a split.
_ALWAYS = frozenset(
    {
        "activation_checkpointing", "cfg", "compile", "custom_hooks", "custom_imports",
        "data_preprocessor", "default_hooks", "default_scope", "efficient_conv_bn_eval", "env_cfg",
        "experiment_name", "find_unused_parameters", "launcher", "load_from", "log_level",
        "log_processor", "model_wrapper_cfg", "randomness", "resume", "runner_type", "sync_bn",
        "visualizer", "work_dir",
    }
)  # fmt: skip

# What a tool that works on a split alone reads.
PARTS = {
    "train": (
        "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr",
    ),
    "val": ("val_dataloader", "val_cfg", "val_evaluator"),
    "test": ("test_dataloader", "test_cfg", "test_evaluator"),
}  # fmt: skip

RUN_SETTINGS = _ALWAYS.union(*PARTS.values())
# What our own tools read beside.
MODEL_SETTINGS = frozenset({"model", "tta_model", "tta_pipeline", "linked_options"})


def without_unused(config: Config, uses: Collection[str]) -> dict[str, Any]:
    """The top-level settings without the parts of splits that are not in use."""
    unused = {name for split in SPLITS if split not in uses for name in PARTS[split]}
    return {name: value for name, value in config.items() if name not in unused}


__all__ = ["MODEL_SETTINGS", "PARTS", "RUN_SETTINGS", "SPLITS", "without_unused"]
