"""Numbers that are functions of sums over images: one definition for the data set and resamples.

A resample's sums are one product of matrices, see `stl_backbones.metrics.bootstrap`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stl_backbones.metrics import Replicates, weighted_sums
from stl_backbones.records import CellResult
from stl_backbones.report.cell_metrics import CellMetric, CellScores, ClassScores, ScoreCell


@dataclass(frozen=True, kw_only=True)
class SumMetric(CellMetric):
    """A number made of sums over images.

    Attributes:
        terms: Cell -> ``(images, S)``: what each image adds to S sums.
        score_sums: Sums ``(..., S)`` and number of images -> ``(...)`` scores; NaN if nothing
            counted.
        centred: Whether resamples are shifted to have the data's own score as their mean. Needed
            where resampling itself raises a score, as it does the absolute values of ECE.
    """

    terms: Callable[[CellResult], npt.NDArray[np.floating]]
    score_sums: Callable[[npt.NDArray[np.float64], int], npt.NDArray[np.float64]]
    centred: bool = False


def scores_of_sums(
    metrics: Sequence[SumMetric], class_scores: Callable[[CellResult], ClassScores] | None = None
) -> ScoreCell:
    """Make what scores the cells of a task.

    Args:
        metrics: Its numbers.
        class_scores: Cell -> ``(classes,)`` scores by class.
    """

    def score(result: CellResult, counts: npt.NDArray[np.float32]) -> CellScores:
        by_class = None if class_scores is None else class_scores(result)
        return CellScores(replicate(result, metrics, counts), by_class)

    return score


def replicate(
    result: CellResult, metrics: Sequence[SumMetric], counts: npt.NDArray[np.float32]
) -> dict[str, Replicates]:
    """Score a cell and its resamples.

    Args:
        result: The cell.
        metrics: Which numbers.
        counts: ``(resamples, images)``.

    Returns:
        Metric key -> ``(1 + resamples,)`` scores, the first of the images as they are.
    """
    images = len(result.image_ids)
    terms = [one.terms(result) for one in metrics]
    drawn = weighted_sums(counts, np.concatenate(terms, axis=1))
    parts = np.split(drawn, np.cumsum([part.shape[1] for part in terms])[:-1], axis=1)
    found = {}
    for one, own, part in zip(metrics, terms, parts, strict=True):
        sums = np.vstack([own.sum(axis=0, dtype=np.float64), part])
        scores = one.score_sums(sums, images)
        if one.centred and len(scores) > 1:
            scores[1:] = np.maximum(scores[1:] + scores[0] - scores[1:].mean(), 0)
        found[one.key] = scores
    return found
