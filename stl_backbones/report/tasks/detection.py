"""Detection: COCO's AP of boxes and, where there are any, of masks; the paper's Table 5.

References:
    Michaelis et al. 2019, "Benchmarking Robustness in Object Detection" (arXiv:1907.07484): mPC
    and rPC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError
from stl_backbones.metrics import (
    AP_NUMBERS,
    ClassScores,
    Replicates,
    average_precision,
    binned_error,
)
from stl_backbones.metrics.detection_calibration import (
    LEAST_SCORE,
    detection_calibration_terms,
    has_confidences,
)
from stl_backbones.metrics.detection_ranking import NUM_THRESHOLDS, RankedDetections, rank
from stl_backbones.records import CellResult
from stl_backbones.report.numbers.aggregates import Findings
from stl_backbones.report.numbers.format import MARKS_NOTE
from stl_backbones.report.numbers.keys import CLEAN_KEY, average_key, retention_key
from stl_backbones.report.paper.tables import fraction, published_row, read_paper_table
from stl_backbones.report.read.metrics import (
    CellMetric,
    CellScores,
    ClassRecord,
    SumMetric,
    Wording,
    class_resamples,
    replicate,
)
from stl_backbones.report.sections import Column, Row, Table, Value
from stl_backbones.report.tables import (
    AVERAGE_MEANING,
    corruption_columns,
    model_table,
    score_column,
    size_column,
)
from stl_backbones.report.tasks.base import Task, register_task
from stl_backbones.report.tasks.image_properties import object_share_slices, object_size_slices
from stl_backbones.results.detections import DETECTIONS_DIGEST, detections_path, has_its_detections
from stl_backbones.shift_sets import sets_of

NOT_CORRUPTED = (
    "The paper has no detection scores on corrupted images; its clean ones are in the layout of "
    "its Table 5."
)
TABLE_5_NOTE = (
    "Paper rows are the published ones (STL paper, Table 5): box mAP of Cascade Mask R-CNN on the "
    "clean images of COCO val2017. It has no scores of masks or on corrupted images."
)
MPC_NOTE = (
    "mPC: mean of AP over severities per corruption, then over corruptions; rPC: mPC / clean AP "
    "(Michaelis et al. 2019)."
)
_ENCODER = size_column("encoder", "Encoder size (M)", "Parameters of the backbone, in millions")
BOX, MASK = "box", "mask"
# Sample that counts per image -> samples that have a row for each that is counted.
_COUNTED = {
    "objects": ("object_category", "object_counted"),
    "bbox_detections": ("bbox_score", "bbox_category", "bbox_matched", "bbox_ignored"),
    "segm_detections": ("segm_score", "segm_category", "segm_matched", "segm_ignored"),
}
_AT_ONCE = 1000  # images that are scored each on its own, of a matrix of weights
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


_CALIBRATION = SumMetric(
    "ece", "D-ECE",
    "detection calibration error: gap between scores and the share of boxes that have an object at "
    f"IoU .50, of boxes from score {LEAST_SCORE:g}, 15 bins of equal width over the data set",
    terms=lambda result: detection_calibration_terms(result.samples, "bbox"),
    score_sums=lambda sums, _: binned_error(sums),
    lower_is_better=True, centred=True, needs="scores in 0..1", sample="bbox_score",
)  # fmt: skip


def _check_matches(ranked: RankedDetections, kind: str) -> None:
    """No more objects can be found than there are, at no threshold and of no area."""
    classes = ranked.classes
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


def _table_5_rows(columns: Sequence[Column]) -> tuple[Row, ...]:
    """Size of the encoder and clean box AP as printed; the other columns are empty."""
    empty: dict[str, Value] = {column.key: None for column in columns}
    return tuple(
        published_row(
            row["model"],
            {
                **empty,
                "encoder": row["encoder_params_m"] or None,
                "clean": fraction(Decimal(row["coco_box_map"])),
            },
        )
        for row in read_paper_table("table5_detection.csv")
    )


def _class_record(result: CellResult, scores: Mapping[str, ClassScores]) -> ClassRecord:
    """Objects that count, of any size; predictions that match none have no true class."""
    classes = len(result.provenance.classes)
    counted = result.samples["object_counted"][:, 0]
    category = result.samples["object_category"][counted].astype(np.int64)
    objects = result.samples["objects"].astype(np.int64)
    image = np.repeat(np.arange(len(result.image_ids)), objects)[counted]
    pairs = np.unique(image * classes + category)
    return ClassRecord(
        scores,
        truth=np.bincount(category, minlength=classes),
        images=np.bincount(pairs % classes, minlength=classes),
    )


class _Detection(Task):
    def score_cell(self, result: CellResult, counts: npt.NDArray[np.float32]) -> CellScores:
        images, ids = result.samples.get("image_number"), len(result.image_ids)
        if images is not None and len(images) != ids:
            raise InputError(f"expected a sample 'image_number' of {ids} images, got {len(images)}")
        if images is not None and len(np.unique(images)) != ids:
            raise InputError("sample 'image_number' must name each image once")
        classes = len(result.provenance.classes)
        replicates: dict[str, Replicates] = {}
        by_class: dict[str, ClassScores] = {}
        few = class_resamples(len(counts), classes)
        for name, kind in _KINDS.items():
            if name == BOX or f"{kind}_score" in result.samples:
                ranked = rank(result.samples, kind, classes=classes)
                _check_matches(ranked, kind)
                found = average_precision(
                    result.samples, kind, classes=classes, counts=counts, ranked=ranked
                )
                replicates |= {f"{name}_{number}": found.numbers[number] for number in AP_NUMBERS}
                own = found.by_class
                by_class[f"{name}_ap"] = ClassScores(own[0], own[1 : 1 + few].astype(np.float32))
        if has_confidences(result.samples, "bbox"):
            replicates |= replicate(result, [_CALIBRATION], counts)
        return CellScores(replicates, _class_record(result, by_class))

    def score_images(self, result: CellResult) -> dict[str, npt.NDArray[np.float64]]:
        """Score each image as if it were the whole data set; see `TaskMetrics.score_images`."""
        parts = []
        for start in range(0, len(result.image_ids), _AT_ONCE):
            part = self.images_of(
                result, np.arange(len(result.image_ids))[start : start + _AT_ONCE]
            )
            drawn = np.eye(len(part.image_ids), dtype=np.float32)  # each resample is one image
            parts.append(self.score_cell(part, drawn).replicates)
        keys = parts[0] if parts else ()
        found = {key: np.concatenate([part[key][1:] for part in parts]) for key in keys}
        if _CALIBRATION.key in found:  # resamples are centred, and these are none
            found[_CALIBRATION.key] = binned_error(_CALIBRATION.terms(result).astype(np.float64))
        return found

    def images_of(self, result: CellResult, images: npt.NDArray[np.integer]) -> CellResult:
        """A few images of a cell, with their detections and objects."""
        samples = {"image_number": result.samples["image_number"][images]}
        chosen = np.isin(np.arange(len(result.image_ids)), images)
        for counted, names in _COUNTED.items():
            if counted in result.samples:
                counts = result.samples[counted]
                rows = np.repeat(chosen, counts.astype(np.int64))
                samples |= {counted: counts[images]}
                samples |= {name: result.samples[name][rows] for name in names}
        ids = tuple(result.image_ids[index] for index in images)
        return replace(result, image_ids=ids, samples=samples)

    def image_scores(
        self, result: CellResult, class_index: int | None = None
    ) -> npt.NDArray[np.float64]:
        """An F score of each image at IoU .5, of boxes; see `TaskMetrics.image_scores`.

        Detections count as much as their scores: twice those that find an object, divided by all of
        them and the number of objects. COCO's AP of single images says little, and takes long.
        """
        samples: dict[str, npt.NDArray[Any]] = dict(result.samples)
        images = np.arange(len(result.image_ids))
        detected = np.repeat(images, samples["bbox_detections"])
        objects = np.repeat(images, samples["objects"])
        counts = samples["bbox_ignored"][:, 0] & 1 == 0
        real = samples["object_counted"][:, 0]
        if class_index is not None:
            counts = counts & (samples["bbox_category"] == class_index)
            real = real & (samples["object_category"] == class_index)
        weights = np.where(counts, samples["bbox_score"], 0).astype(np.float64)
        right = weights * (samples["bbox_matched"][:, 0] & 1 == 1)
        there = np.bincount(objects, real, len(images))
        found, given = (np.bincount(detected, each, len(images)) for each in (right, weights))
        return np.where(there > 0, 2 * found / np.maximum(given + there, 1e-12), np.nan)

    def check_files(self, result: CellResult, folder: Path) -> None:
        """The detections may be left out of a copy; others may not stand in for them."""
        path = detections_path(folder, result.cell)
        known = DETECTIONS_DIGEST in result.samples
        if known and path.exists() and not has_its_detections(result, folder):
            raise InputError(
                f"'{path}' was altered after it was written; run the sweep again, which makes it "
                "anew"
            )

    def tables(self, findings: Findings) -> Iterator[Table]:
        if not findings.swept:
            return
        masks = [run.label for run, one in findings.pairs if not one["mask_ap:clean"].is_absent]
        others = [run.label for run in findings.runs if run.label not in masks]
        remarks = (f"Without masks: {', '.join(others)}.",) if masks and others else ()
        main = self.main_table(findings)
        yield self._layout_of_table_5(findings, remarks, has_masks=bool(masks))
        yield main
        if masks:
            yield self._mask_table(findings, remarks)

    def published(self, protocol: str) -> tuple[Sequence[Row], Sequence[str]]:
        self.check_paper(protocol)
        return (), [NOT_CORRUPTED]

    def _layout_of_table_5(
        self, findings: Findings, remarks: Sequence[str], *, has_masks: bool
    ) -> Table:
        """Size of the encoder, clean AP, mPC and rPC of boxes and masks."""
        masks = self._scores(findings, self._masks, "Mask") if has_masks else ()
        columns = (_ENCODER, *self._scores(findings, self.main, "Box"), *masks)
        title = f"Detection (layout of STL, Table 5): AP (%), protocol {findings.protocol.name}"
        rows, notes = (_table_5_rows(columns), [TABLE_5_NOTE]) if findings.paper else ((), [])
        return model_table(findings, title, columns, rows, file="detection",
                           notes=(MPC_NOTE, MARKS_NOTE, *remarks, *notes))  # fmt: skip

    def _mask_table(self, findings: Findings, remarks: Sequence[str]) -> Table:
        """Mask AP by corruption, in the layout of Table 13."""
        metric, protocol = self._masks, findings.protocol
        columns = self._scores(findings, metric, "") + corruption_columns(self, metric, protocol)
        title = f"{metric.name} (%), protocol {protocol.name}"
        notes = [NOT_CORRUPTED] if findings.paper else []
        return model_table(findings, title, columns, file="masks",
                           notes=(MARKS_NOTE, *remarks, *notes))  # fmt: skip

    def _scores(self, findings: Findings, metric: CellMetric, group: str) -> tuple[Column, ...]:
        protocol, wording = findings.protocol, findings.task.wording
        heads = {
            CLEAN_KEY: (
                "mAP" if group else "Clean",
                "AP on clean images, mean over IoU and classes",
            ),
            average_key(protocol): (wording.short_average, AVERAGE_MEANING),
            retention_key(protocol): (
                wording.short_retention,
                f"{wording.average} divided by clean",
            ),
        }
        return tuple(score_column(self, metric, key, *head, group) for key, head in heads.items())

    @property
    def _masks(self) -> CellMetric:
        return next(one for one in self.cells if one.key == "mask_ap")


DETECTION = register_task(
    _Detection(
        name="detection",
        cells=(*_metrics(BOX), *_metrics(MASK), _CALIBRATION),
        truth=("image_number", "objects", "object_category", "object_counted"),
        class_scores={"box_ap": "Box AP", "mask_ap": "Mask AP"},
        counted="objects",
        properties={"class-share": object_share_slices, "object-size": object_size_slices},
        wording=Wording("mPC", "rPC", "mPC", "rPC"),
        aliases={"mpc": "average", "rpc": "retention"},
        companions=("coco-c",),
        image_samples=("objects", "bbox_detections"),
        resamples=0,  # every resample is accumulated anew, which takes its time
        paper_protocols=("coco-c", "all"),
        paper_data="COCO val2017",
        card_extras=("mask_ap:clean", "mask_ap:average"),
        sets=sets_of("detection"),
    )
)
