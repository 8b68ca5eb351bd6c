"""Sources of models: one object each."""

from stl_backbones.robustness.sources.base import DenseModel, Source

__all__ = ["DenseModel", "Source"]
