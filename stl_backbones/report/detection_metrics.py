"""The numbers of a detection cell: COCO's AP of boxes and, where there are any, of masks.

References:
    Michaelis et al. 2019, "Benchmarking Robustness in Object Detection" (arXiv:1907.07484): mPC
    and rPC.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.metrics import AP_NUMBERS, Replicates, average_precision
from stl_backbones.metrics.detection_ranking import NUM_THRESHOLDS, rank
from stl_backbones.records import CellResult
from stl_backbones.report.cell_metrics import CellMetric, CellScores, TaskMetric, Wording
from stl_backbones.results.detections import (
    DETECTIONS_DIGEST,
    detections_path,
    has_its_detections,
)

BOX, MASK = "box", "mask"
_KINDS = {BOX: "bbox", MASK: "segm"}  # -> name in samples
# Number -> its name in tables, and what is special about it.
_TOLD = {
    "ap": ("AP", ""),
    "ap50": ("AP50", ", at IoU .50"),
    "ap75": ("AP75", ", at IoU .75"),
    "ap_small": ("APs", ", of objects up to 32 x 32 pixels"),
    "ap_medium": ("APm", ", of objects of 32 x 32 to 96 x 96 pixels"),
    "ap_large": ("APl", ", of objects from 96 x 96 pixels"),
}
_DEFINITION = "COCO's average precision of {}, mean over IoU .50:.05:.95 and classes"
_SHORT = "COCO's average precision of {}{}"


def _metrics(name: str) -> Iterator[CellMetric]:
    things = "boxes" if name == BOX else "masks"
    for number in AP_NUMBERS:
        title, special = _TOLD[number]
        yield CellMetric(
            key=f"{name}_{number}",
            name=f"{name.capitalize()} {title}",
            definition=_SHORT.format(things, special) if special else _DEFINITION.format(things),
            has_retention=number == "ap",
            needs="masks" if name == MASK else "",
        )


def _score(result: CellResult, counts: npt.NDArray[np.float32]) -> CellScores:
    images, ids = result.samples.get("image_number"), len(result.image_ids)
    if images is not None and len(images) != ids:
        raise InputError(f"expected a sample 'image_number' of {ids} images, got {len(images)}")
    if images is not None and len(np.unique(images)) != ids:
        raise InputError("sample 'image_number' must name each image once")
    classes = len(result.provenance.classes)
    replicates: dict[str, Replicates] = {}
    by_class = None
    for name, kind in _KINDS.items():
        if name == BOX or f"{kind}_score" in result.samples:
            _check_matches(result, kind, classes)
            found = average_precision(result.samples, kind, classes=classes, counts=counts)
            replicates |= {f"{name}_{number}": found.numbers[number] for number in AP_NUMBERS}
            by_class = found.by_class if name == BOX else by_class
    return CellScores(replicates, by_class)


def _check_matches(result: CellResult, kind: str, classes: int) -> None:
    """No more objects can be found than there are, at no threshold and of no area."""
    ranked = rank(result.samples, kind, classes=classes)
    category = np.repeat(np.arange(classes), np.diff(ranked.first))
    if ((ranked.matched | ranked.ignored) >> NUM_THRESHOLDS).any():
        raise InputError(f"samples of '{kind}' must be bits of {NUM_THRESHOLDS} thresholds")
    for area, counted in enumerate(ranked.object_counted.T):
        objects = np.bincount(ranked.object_category[counted], minlength=classes)
        for threshold in range(NUM_THRESHOLDS):
            hits = ranked.matched[:, area] & ~ranked.ignored[:, area] & (1 << threshold) != 0
            found = np.bincount(category[hits], minlength=classes)
            if (found > objects).any():
                raise InputError(
                    f"samples of '{kind}' must find no more objects than there are, got "
                    f"{found.sum()} of {objects.sum()}"
                )


def _check_files(result: CellResult, folder: Path) -> None:
    """The detections may be left out of a copy of the folder; others may not stand in for them."""
    path = detections_path(folder, result.cell)
    known = DETECTIONS_DIGEST in result.samples
    if known and path.exists() and not has_its_detections(result, folder):
        raise InputError(
            f"'{path}' was altered after it was written; run the sweep again, which makes it anew"
        )


DETECTION = TaskMetric(
    cells=(*_metrics(BOX), *_metrics(MASK)),
    score_cell=_score,
    check_files=_check_files,
    truth=("image_number", "objects", "object_category", "object_counted"),
    class_score="Box AP",
    wording=Wording("mPC", "rPC", "mPC", "rPC"),
    aliases={"mpc": "average", "rpc": "retention"},
    companions=("coco-c",),
    resamples=0,  # every resample is accumulated anew, which takes its time
)
