"""Accuracy of each class, of the data set and of its resamples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

_Float = TypeVar("_Float", bound=np.floating)


@dataclass(frozen=True)
class ClassScores:
    """One number of every class.

    Attributes:
        values: ``(K,)`` fractions; NaN for classes that do not occur in the ground truth.
        resampled: ``(R, K)`` the same of each resample; NaN where the class does not occur in it.
    """

    values: npt.NDArray[np.float64]
    resampled: npt.NDArray[np.floating]


class ClassAccuracy:
    """Top-1 accuracy of each class; for a class only the images that show it are visited.

    Args:
        label: ``(N,)`` true classes.
        classes: Number of classes K.
        drawn: ``(N, R)`` float32, how often each resample has each image.
    """

    def __init__(
        self, label: npt.NDArray[np.integer], *, classes: int, drawn: npt.NDArray[np.float32]
    ) -> None:
        self.label, self._classes = label, classes
        self._order = np.argsort(label, kind="stable")
        self._sorted_label = label[self._order]
        self._drawn = drawn[self._order]  # the images of a class are neighbours: twice the speed
        self._images = np.bincount(label, minlength=classes).astype(np.float64)
        self._drawn_images = self._sum(np.ones(len(label), np.bool_))

    def __call__(self, prediction: npt.NDArray[np.integer]) -> ClassScores:
        """Score predictions ``(N,)``."""
        right = (prediction == self.label)[self._order]
        hits = np.bincount(self._sorted_label[right], minlength=self._classes)
        if 2 * right.sum() <= len(right):
            drawn_hits = self._sum(right)
        else:  # there are fewer errors to visit; sums of counts are exact
            drawn_hits = self._drawn_images - self._sum(~right)
        return ClassScores(_ratio(hits, self._images), _ratio(drawn_hits, self._drawn_images).T)

    def _sum(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """``(K, R)`` how often the chosen images of each class are drawn."""
        columns = np.flatnonzero(chosen)
        counts = np.bincount(self._sorted_label[columns], minlength=self._classes)
        first = np.concatenate([[0], np.cumsum(counts)])
        ones = np.ones(len(columns), np.float32)
        matrix = sparse.csr_array((ones, columns, first), shape=(self._classes, len(chosen)))
        sums: npt.NDArray[np.float32] = matrix @ self._drawn
        return sums


def _ratio(part: npt.NDArray[np.number], whole: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    out = np.full(whole.shape, np.nan, dtype=whole.dtype)
    np.divide(part, whole, out=out, where=whole > 0)
    return out
