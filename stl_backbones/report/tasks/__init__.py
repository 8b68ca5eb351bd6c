"""What differs by task: one file each, which registers its object."""

from stl_backbones.report.read.metrics import TASKS
from stl_backbones.report.tasks.base import Task, get_task, register_task
from stl_backbones.report.tasks.segmentation import SEGMENTATION  # the order of messages

from stl_backbones.report.tasks.classification import CLASSIFICATION  # isort: skip
from stl_backbones.report.tasks.detection import DETECTION  # isort: skip

__all__ = [
    "CLASSIFICATION", "DETECTION", "SEGMENTATION", "TASKS", "Task", "get_task", "register_task",
]  # fmt: skip
