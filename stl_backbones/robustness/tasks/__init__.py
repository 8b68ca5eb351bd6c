"""Tasks: one object each; `register_task` adds one of your own."""

from stl_backbones.robustness.tasks.base import Samples, ScoredSet, Task
from stl_backbones.robustness.tasks.registry import TASKS, get_task, register_task

__all__ = ["TASKS", "Samples", "ScoredSet", "Task", "get_task", "register_task"]
