"""ReaL: the labels of Beyer et al. for ImageNet-1K's validation images, from stored predictions.

References:
    Beyer et al. 2020, "Are we done with ImageNet?", arXiv:2006.07159; labels Apache-2.0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError, MissingFileError, some_of
from stl_backbones.plain_files import read_json
from stl_backbones.records import CellResult
from stl_backbones.report.read.metrics import SumMetric, share_of_sums
from stl_backbones.report.read.runs import Run
from stl_backbones.results import CellStore

REAL = "real"  # key of the number
_IMAGES, _CLASSES = 50_000, 1000
_NUMBER = re.compile(r"(?:.*/)?ILSVRC2012_val_(\d{8})(?!\d).*")


def read_real_labels(path: str | Path) -> SumMetric:
    """The accuracy by the labels of a ``real.json``.

    Images without a label leave numerator and denominator. Images are matched by the number in
    their file's name.

    Raises:
        MissingFileError: If there is no such file.
        InputError: If it is another file.
    """
    option = f"--real-labels '{path}'"
    if not Path(path).is_file():
        raise MissingFileError(f"{option}: there is no such file; expected real.json of ReaL")
    try:
        found = read_json(path)
        lengths = [len(one) for one in found]
        flat = [label for one in found for label in one]
        if not all(type(label) is int for label in flat):
            raise ValueError("its labels are no whole numbers")
        labels = np.array(flat, dtype=np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{option} is no list of lists of labels: {error}") from error
    if len(lengths) != _IMAGES or (
        labels.size and not 0 <= labels.min() <= labels.max() < _CLASSES
    ):
        raise InputError(
            f"{option} has labels of {len(lengths)} images; expected {_IMAGES} lists of labels "
            "0..999, those of ImageNet-1K's validation images in the order of their numbers"
        )
    table = np.zeros((_IMAGES, _CLASSES), dtype=bool)
    table[np.repeat(np.arange(_IMAGES), lengths), labels] = True

    def terms(result: CellResult) -> npt.NDArray[np.floating]:
        return _terms(result, table)

    return SumMetric(
        REAL, "ReaL", "top-1 by ReaL's labels, of images that have any", terms=terms,
        score_sums=share_of_sums, has_retention=True, fits=_is_of_validation,
    )  # fmt: skip


def check_real_sweeps(runs: Sequence[Run]) -> None:
    """Refuse sweeps of other images than ReaL's labels are for.

    Raises:
        InputError: If one is.
    """
    for run in runs:
        classes = run.provenance.classes
        names = (
            () if not run.scores else CellStore(run.folder).read(next(iter(run.scores))).image_ids
        )
        others = [one for one in names if _NUMBER.fullmatch(one) is None]
        if not names or others or len(classes) != _CLASSES or list(classes) != sorted(classes):
            what = f"images such as {some_of(others)}" if others else f"{len(classes)} classes"
            raise InputError(
                "--real-labels are for ImageNet-1K's validation images, ILSVRC2012_val_..., by its "
                f"1000 classes; '{run.label}' holds {what if names else 'no sweep'}"
            )


def _is_of_validation(result: CellResult) -> bool:
    """Whether a cell is of validation images and all classes; sets of others have no ReaL."""
    return len(result.provenance.classes) == _CLASSES and all(
        _NUMBER.fullmatch(one) for one in result.image_ids
    )


def _terms(result: CellResult, table: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """``(images, 2)``: whether the prediction is one of an image's labels; whether it has any."""
    found = [_NUMBER.fullmatch(one) for one in result.image_ids]
    numbers = np.array([int(one[1]) for one in found if one is not None]) - 1
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < _IMAGES:
        raise InputError(
            f"expected image numbers 1..{_IMAGES}, got {numbers.min() + 1}..{numbers.max() + 1}"
        )
    own = table[numbers]
    right = own[np.arange(len(own)), result.samples["prediction"].astype(np.int64)]
    return np.stack([right, own.any(axis=1)], axis=1).astype(np.float32)


__all__ = ["REAL", "check_real_sweeps", "read_real_labels"]
