"""COCO's average precision of boxes and masks."""

from __future__ import annotations

import contextlib
import io
import json
import math
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stl_backbones.datasets.coco import match_categories
from stl_backbones.registry import METRICS

with warnings.catch_warnings():
    # mmdet says so of its other metric, and means its own optional extra.
    warnings.filterwarnings("ignore", message="faster_coco_eval is not installed")
    from mmdet.evaluation import CocoMetric

# COCOeval's statistics: at most 100 detections per image.
_STATISTICS = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")
_MAX_DETECTIONS = [1, 10, 100]


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

    def __init__(
        self,
        *,
        data_root: str | Path,
        ann_file: str | Path,
        metric: Sequence[str] = ("bbox", "segm"),
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        if not metric or not set(metric) <= {"bbox", "segm"}:
            raise ValueError(f"metric must be taken from 'bbox', 'segm', got {list(metric)}")
        self.path = Path(data_root) / ann_file
        if not self.path.is_file():
            raise FileNotFoundError(f"annotation file '{self.path}' does not exist")
        super().__init__(metric=list(metric), collect_device=collect_device, prefix=prefix)
        with contextlib.redirect_stdout(io.StringIO()):
            self._coco_api = COCO(str(self.path))
        for annotation in self._coco_api.dataset["annotations"]:
            annotation.setdefault("iscrowd", 0)  # the format's default, which COCOeval needs

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
        if kind == "segm":
            for detection in found:
                del detection["bbox"]  # or its area would say whether the object is small
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(self._coco_api, _as_coco(self._coco_api, found), kind)
            evaluation.params.catIds = self.cat_ids
            evaluation.params.imgIds = self.img_ids
            evaluation.params.maxDets = _MAX_DETECTIONS
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        # COCO writes -1 where there is no object.
        values = [100 * value if value >= 0 else math.nan for value in evaluation.stats.tolist()]
        return dict(zip(_STATISTICS, values, strict=False))


def _as_coco(truth: COCO, found: list[dict[str, Any]]) -> COCO:
    if found:
        return truth.loadRes(found)
    nothing = COCO()  # loadRes fails on an empty list
    nothing.dataset = {
        "images": truth.dataset["images"],
        "categories": truth.dataset["categories"],
        "annotations": [],
    }
    nothing.createIndex()
    return nothing


__all__ = ["CocoAveragePrecision"]
