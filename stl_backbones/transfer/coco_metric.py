"""COCO's average precision of boxes and masks."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from stl_backbones.datasets.coco_annotations import match_categories
from stl_backbones.errors import InputError
from stl_backbones.evaluation.detection import DetectionMatcher, join_images
from stl_backbones.metrics import AP_NUMBERS, average_precision
from stl_backbones.paths import check_file
from stl_backbones.registry import METRICS

with warnings.catch_warnings():
    # mmdet says so of its other metric, and means its own optional extra.
    warnings.filterwarnings("ignore", message="faster_coco_eval is not installed")
    from mmdet.evaluation import CocoMetric

_NAMES = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")  # mmdet's


@METRICS.register_module()
class CocoAveragePrecision(CocoMetric):
    """mmdet's ``CocoMetric`` of boxes and masks, on the data set that ``data_root`` names.

    AP in percent, unrounded; NaN where there is no object of that size. A model that detects
    nothing has an AP of 0. Categories belong to the model's classes by name, whatever their order,
    and only the images that were tested count: those that ``--skip-broken`` left out do not.

    Args:
        data_root: The data set's folder.
        ann_file: The annotation file below it.
        metric: ``'bbox'``, ``'segm'`` or both.
        collect_device: ``'cpu'`` or ``'gpu'``.
        prefix: Put before the metrics' names; default ``'coco'``.

    Raises:
        FileNotFoundError: If the annotation file is missing.
        ValueError: If the metric is another one.
    """

    truth_keys = ("area",)  # an annotation without iscrowd is no crowd

    def __init__(
        self,
        *,
        data_root: str | Path,
        ann_file: str | Path,
        metric: str | Sequence[str] = ("bbox", "segm"),
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        metric = [metric] if isinstance(metric, str) else metric
        if not metric or not set(metric) <= {"bbox", "segm"}:
            raise InputError(f"metric must be taken from 'bbox', 'segm', got {list(metric)}")
        self.path = check_file(Path(data_root) / ann_file, "annotation file")
        super().__init__(metric=list(metric), collect_device=collect_device, prefix=prefix)
        with contextlib.redirect_stdout(io.StringIO()):
            self._coco_api = COCO(str(self.path))

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Match detections and objects, and compute the precision, in percent."""
        predictions = [prediction for _, prediction in results]
        self.cat_ids = match_categories(
            self._coco_api.dataset["categories"], self.dataset_meta["classes"], source=self.path
        )
        self.img_ids = sorted({prediction["img_id"] for prediction in predictions})
        with tempfile.TemporaryDirectory() as folder:
            files = self.results2json(predictions, f"{folder}/results")
            found = {
                kind: json.loads(Path(files[kind]).read_text(encoding="utf-8"))
                for kind in self.metrics
            }
        return {
            f"{kind}_{name}": value
            for kind in self.metrics
            for name, value in self._average_precision(kind, found[kind]).items()
        }

    def _average_precision(self, kind: str, found: list[dict[str, Any]]) -> dict[str, float]:
        matcher = DetectionMatcher(self._coco_api, category_ids=self.cat_ids, kinds=[kind])
        by_image: dict[int, list[dict[str, Any]]] = {number: [] for number in self.img_ids}
        for detection in found:
            by_image[detection["image_id"]].append(detection)
        records = [matcher.match(number, by_image[number]) for number in self.img_ids]
        scores = average_precision(join_images(records), kind, classes=len(self.cat_ids)).numbers
        return {
            name: 100 * float(scores[number][0])
            for name, number in zip(_NAMES, AP_NUMBERS, strict=True)
        }


__all__ = ["CocoAveragePrecision"]
