"""STL's two stages as mmengine models."""

from stl_backbones.pretraining.classifier import STLClassifier
from stl_backbones.pretraining.frozen import FrozenLabeler, load_labeler
from stl_backbones.pretraining.labeler import TokenLabeler
from stl_backbones.pretraining.preprocessor import STLPreprocessor
from stl_backbones.pretraining.student import STLStudent

__all__ = [
    "FrozenLabeler",
    "STLClassifier",
    "STLPreprocessor",
    "STLStudent",
    "TokenLabeler",
    "load_labeler",
]
