"""What is kept of label maps, whichever model made them: one confusion matrix per image.

And where it gives scores of classes, how sure it is of its pixels, by bins.
"""

from __future__ import annotations

import numpy as np

from stl_backbones.errors import InputError
from stl_backbones.metrics import mean_iou
from stl_backbones.records import Cell
from stl_backbones.results import CellStore
from stl_backbones.robustness.tasks.base import Samples, ScoredSet, Tally

CALIBRATION = "pixel_calibration"  # where the model gives scores of classes


class ConfusionScores(ScoredSet):
    """Label maps of images, see `ScoredSet`."""

    metric = "mIoU"

    def tally(self, samples: Samples) -> Tally:
        """The confusion matrix of all images."""
        return samples["confusion_matrix"].sum(axis=0)

    def score_of(self, tally: Tally, images: int) -> float:
        """The mIoU."""
        del images
        return mean_iou(tally)

    def finish(self, store: CellStore, cell: Cell, samples: Samples) -> Samples:
        """Store counts in the narrowest integers that hold them.

        Raises:
            InputError: If every pixel is ignored.
        """
        del store
        counts = samples["confusion_matrix"]
        if not counts.any():
            raise InputError(
                f"cell '{cell.name}': no pixel of the {len(counts)} images counts, all labels are "
                "ignored; are these the label maps?"
            )
        kept = [name for name in ("confusion_matrix", CALIBRATION) if name in samples]
        return {
            name: samples[name].astype(np.min_scalar_type(samples[name].max())) for name in kept
        }


__all__ = ["CALIBRATION", "ConfusionScores"]
