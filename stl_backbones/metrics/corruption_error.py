"""Mean corruption error: a model's errors as shares of AlexNet's.

References:
    Hendrycks & Dietterich 2019, arXiv:1903.12261, section 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from stl_backbones.metrics.robustness import (
    IncompleteCellsError,
    Score,
    corruption_means,
    mean_of,
)
from stl_backbones.records import CLEAN, Cell

# AlexNet's top-1 error on ImageNet-C, mean over the five severities, as published with the
# benchmark (github.com/hendrycks/robustness) to six digits.
ALEXNET_ERRORS: Mapping[str, float] = MappingProxyType(
    {
        "gaussian_noise": 0.886428,
        "shot_noise": 0.894468,
        "impulse_noise": 0.922640,
        "defocus_blur": 0.819880,
        "glass_blur": 0.826268,
        "motion_blur": 0.785948,
        "zoom_blur": 0.798360,
        "snow": 0.866816,
        "frost": 0.826572,
        "fog": 0.819324,
        "brightness": 0.564592,
        "contrast": 0.853204,
        "elastic_transform": 0.646056,
        "pixelate": 0.717840,
        "jpeg_compression": 0.606500,
    }
)
# torchvision's AlexNet_Weights.IMAGENET1K_V1, the network of those errors: acc@1 56.522.
ALEXNET_CLEAN_ERROR = 0.43478
SEVERITIES = (1, 2, 3, 4, 5)
_LEVELS = dict.fromkeys(ALEXNET_ERRORS, SEVERITIES)


def mean_corruption_error(accuracy: Mapping[Cell, Score]) -> Score:
    """MCE: per corruption mean error / AlexNet's mean error, then the mean of the 15.

    Args:
        accuracy: Cell -> top-1 accuracy as a fraction.

    Returns:
        A fraction; 1 is AlexNet, lower is better.

    Raises:
        IncompleteCellsError: If one of the 75 cells has no score.
    """
    means = corruption_means(accuracy, _LEVELS)
    return mean_of([(1 - means[name]) / error for name, error in ALEXNET_ERRORS.items()])


def relative_corruption_error(accuracy: Mapping[Cell, Score]) -> Score:
    """Relative mCE: the error that corruptions add, as a share of what they add to AlexNet's.

    Takes and returns what `mean_corruption_error` does.

    Raises:
        IncompleteCellsError: If one of the 75 cells, or the clean one, has no score.
    """
    missing = [cell for cell in (CLEAN, *corruption_error_cells()) if cell not in accuracy]
    if missing:
        raise IncompleteCellsError(missing)
    means = corruption_means(accuracy, _LEVELS)
    return mean_of(
        [
            (accuracy[CLEAN] - means[name]) / (error - ALEXNET_CLEAN_ERROR)
            for name, error in ALEXNET_ERRORS.items()
        ]
    )


def corruption_error_cells() -> tuple[Cell, ...]:
    """The corrupted cells that mCE needs."""
    return tuple(Cell(name, level) for name in ALEXNET_ERRORS for level in SEVERITIES)
