"""The numbers of a detection cell: COCO's AP of boxes and, where there are any, of masks.

References:
    Michaelis et al. 2019, "Benchmarking Robustness in Object Detection" (arXiv:1907.07484): mPC
    and rPC.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from stl_backbones.metrics import AP_NUMBERS, Replicates, average_precision
from stl_backbones.records import CellResult
from stl_backbones.report.cell_metrics import CellMetric, CellScores, TaskMetric, Wording

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
        raise ValueError(f"expected a sample 'image_number' of {ids} images, got {len(images)}")
    classes = len(result.provenance.classes)
    replicates: dict[str, Replicates] = {}
    by_class = None
    for name, kind in _KINDS.items():
        if name == BOX or f"{kind}_score" in result.samples:
            found = average_precision(result.samples, kind, classes=classes, counts=counts)
            replicates |= {f"{name}_{number}": found.numbers[number] for number in AP_NUMBERS}
            by_class = found.by_class if name == BOX else by_class
    return CellScores(replicates, by_class)


DETECTION = TaskMetric(
    cells=(*_metrics(BOX), *_metrics(MASK)),
    score_cell=_score,
    truth=("image_number", "objects", "object_category", "object_counted"),
    class_score="Box AP",
    wording=Wording("mPC", "rPC", "mPC", "rPC"),
    aliases={"mpc": "average", "rpc": "retention"},
    companions=("coco-c",),
    resamples=0,  # every resample is accumulated anew, which takes its time
)
