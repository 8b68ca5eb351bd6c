"""FAN backbones, STL pretraining and robustness benchmarks on OpenMMLab and timm.

References:
    Zhao et al. 2023, "Fully Attentional Networks with Self-emerging Token Labeling", ICCV 2023.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_CALLS = {
    **dict.fromkeys(
        ("evaluate", "compare", "load", "show_failures", "Result"), "stl_backbones.api"
    ),
    "evaluate_token_labels": "stl_backbones.api.token_labels",
    "corrupt": "stl_backbones.corruptions",
    **dict.fromkeys(("Detections", "Predictor"), "stl_backbones.robustness.predictor"),
}


def __getattr__(name: str) -> Any:
    """The public calls, imported when they are asked for: each needs torch."""
    if name not in _CALLS:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(_CALLS[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_CALLS]
