"""STL's two stages as mmengine models, and the training on class labels beside them."""

from stl_backbones.pretraining.classifier import STLClassifier
from stl_backbones.pretraining.frozen import FrozenLabeler, load_labeler
from stl_backbones.pretraining.labeler import TokenLabeler
from stl_backbones.pretraining.preprocessor import STLPreprocessor
from stl_backbones.pretraining.student import STLStudent
from stl_backbones.pretraining.timm_classifier import TimmClassifier

__all__ = [
    "FrozenLabeler",
    "STLClassifier",
    "STLPreprocessor",
    "STLStudent",
    "TimmClassifier",
    "TokenLabeler",
    "load_labeler",
]
