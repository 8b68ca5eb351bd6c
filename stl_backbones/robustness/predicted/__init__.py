"""Scoring a `stl_backbones.robustness.predictor.Model`: one file a task, without OpenMMLab."""

from stl_backbones.robustness.predicted.registry import default_protocol, open_set

__all__ = ["default_protocol", "open_set"]
