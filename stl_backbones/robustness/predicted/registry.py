"""Which tasks a model from anywhere can be scored in."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from stl_backbones.errors import unknown_name
from stl_backbones.packages import require
from stl_backbones.robustness.items import Items
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predictor import Model

# Task -> module, class, default protocol, images of a batch. Imported when it is asked for.
_TASKS = {
    "classification": ("classification", "PredictedClasses", "imagenet-c", 16),
    "segmentation": ("segmentation", "PredictedMaps", "stl-cityscapes-c", 1),
    "detection": ("detection", "PredictedBoxes", "coco-c", 1),
}


def default_protocol(task: str) -> str:
    """The protocol of a sweep that names none.

    Raises:
        UnknownNameError: If there is no such task.
    """
    return _entry(task)[2]


def default_batch_size(task: str) -> int:
    """Images of a batch where the user names no number."""
    return _entry(task)[3]


def open_set(model: Model, items: Items, options: SweepOptions) -> Any:
    """A model on images, ready to be scored: a `stl_backbones.robustness.tasks.ScoredSet`.

    Raises:
        InputError: If model and data do not go together.
        MissingPackageError: If the task needs a package that is not installed.
    """
    module, name, _, _ = _entry(items.task)
    if items.task == "detection":
        require("detection", "pycocotools")
    found = import_module(f"stl_backbones.robustness.predicted.{module}")
    return getattr(found, name)(model, items, options)


def _entry(task: str) -> tuple[str, str, str, int]:
    if task not in _TASKS:
        raise unknown_name("task", task, _TASKS)
    return _TASKS[task]


__all__ = ["default_batch_size", "default_protocol", "open_set"]
