"""How a test's scores are printed: one format, and always a line."""

from __future__ import annotations

import math
from collections.abc import Mapping

NOTHING_FOUND = (
    "the evaluator gives no scores; mmdet's gives none where nothing was detected, an AP of 0"
)


def describe_scores(metrics: Mapping[str, float]) -> str:
    """A line of names and values, as the evaluator scales them.

    Args:
        metrics: Name -> value; mmdet's own metric gives none where nothing was detected.

    Returns:
        Four decimals, so that an AP of 0.3 % as a fraction is no zero; ``n/a`` for NaN, where
        nothing counted.
    """
    texts = (f"{name} {'n/a' if math.isnan(value) else f'{value:.4f}'}"
             for name, value in metrics.items())  # fmt: skip
    return "  ".join(texts) or NOTHING_FOUND


__all__ = ["NOTHING_FOUND", "describe_scores"]
