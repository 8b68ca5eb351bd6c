"""Which base class of a config's model means which task."""

from __future__ import annotations

# How the module's name begins, and the class -> task; `register_task` adds a user's own.
BASES: dict[tuple[str, str], str] = {
    ("stl_backbones.pretraining", "STLClassifier"): "classification",
    ("mmseg", "BaseSegmentor"): "segmentation",
    ("mmdet", "BaseDetector"): "detection",
}

__all__ = ["BASES"]
