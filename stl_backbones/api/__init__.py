"""The Python calls: `evaluate`, `load`, `compare` and `show_failures`."""

from stl_backbones.api.evaluate import evaluate, make_source
from stl_backbones.api.failures import show_failures
from stl_backbones.api.result import Result, compare, load

__all__ = ["Result", "compare", "evaluate", "load", "make_source", "show_failures"]
