"""Which tasks there are."""

from __future__ import annotations

import importlib

from stl_backbones.config.bases import BASES
from stl_backbones.errors import InputError, unknown_name
from stl_backbones.robustness.tasks.base import Task

# The module that registers it; imported when it is asked for, since it may need OpenMMLab.
_OWN = {
    "classification": "stl_backbones.robustness.tasks.classification",
    "segmentation": "stl_backbones.robustness.tasks.segmentation",
    "detection": "stl_backbones.robustness.tasks.detection",
}
TASKS: dict[str, Task] = {}


def register_task(task: Task) -> None:
    """Make a task known, and the models of configs that are of it.

    Raises:
        InputError: If another one has its name.
    """
    if type(TASKS.get(task.name, task)) is not type(task):
        raise InputError(f"task '{task.name}' is registered already")
    TASKS[task.name] = task
    BASES.update(dict.fromkeys(task.bases, task.name))


def get_task(name: str) -> Task:
    """A task by its name.

    Raises:
        UnknownNameError: If there is none.
    """
    if name not in TASKS and name in _OWN:
        importlib.import_module(_OWN[name])
    if name not in TASKS:
        raise unknown_name("task", name, dict.fromkeys((*_OWN, *TASKS)))
    return TASKS[name]


__all__ = ["TASKS", "get_task", "register_task"]
