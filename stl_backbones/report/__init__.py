"""From finished sweeps to tables and a page.

One direction: `read` (folders become runs), `numbers` (aggregates of runs), `paper` (published
rows), `tasks` (what differs by task), `contents` (sections), `render` (files).
"""

from stl_backbones.report.read.bundles import write_bundle
from stl_backbones.report.read.metrics import SumMetric
from stl_backbones.report.tasks import Task, get_task, register_task
from stl_backbones.report.write import ReportFiles, make_report

__all__ = [
    "ReportFiles",
    "SumMetric",
    "Task",
    "get_task",
    "make_report",
    "register_task",
    "write_bundle",
]
