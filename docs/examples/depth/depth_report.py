"""Monocular depth in reports: what `depth_task.py` keeps of an image, as numbers of a cell.

Used as `python tools/report.py DIR --custom-imports docs/examples/depth/depth_report.py`; needs
neither torch nor mmseg.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.metrics import mean_of_terms
from stl_backbones.records import CellResult
from stl_backbones.report.read.metrics import SumMetric
from stl_backbones.report.tasks import Task, register_task


def terms(result: CellResult, name: str) -> npt.NDArray[np.floating]:
    """One number an image, ``(images, 1)``."""
    values = result.samples.get(name)
    if values is None or values.shape != (len(result.image_ids),):
        raise InputError(f"expected a sample '{name}' with one number for every image")
    if not (np.isfinite(values.astype(np.float64)) & (values >= 0)).all():
        raise InputError(f"sample '{name}' must hold finite numbers of 0 or more")
    return values.astype(np.float64)[:, None]


register_task(
    Task(
        name="depth",
        cells=(
            SumMetric(
                "d1", "d1", "share of pixels within a factor of 1.25, mean over images",
                terms=lambda result: terms(result, "d1"), score_sums=mean_of_terms,
                has_retention=True,
            ),
            SumMetric(
                "abs_rel", "AbsRel", "error relative to the depth, mean over pixels, then images",
                terms=lambda result: terms(result, "abs_rel"), score_sums=mean_of_terms,
                lower_is_better=True,
            ),
            SumMetric(
                "rmse", "RMSE", "root of the mean squared error of an image, mean over images",
                terms=lambda result: terms(result, "rmse"), score_sums=mean_of_terms, unit="m",
                lower_is_better=True,
            ),
        ),
    )
)  # fmt: skip
