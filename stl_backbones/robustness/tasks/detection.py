"""Detection: which detections match which objects, and the detections themselves."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from pycocotools.coco import COCO

from stl_backbones.datasets.coco_annotations import check_scored, coco_of_items, read_annotations
from stl_backbones.errors import InputError
from stl_backbones.evaluation.coco_results import instances_of
from stl_backbones.evaluation.detection import (
    KINDS,
    MAX_DETECTIONS,
    DetectionMatcher,
)
from stl_backbones.robustness.tasks.base import Block
from stl_backbones.robustness.tasks.dense import DenseSet, DenseTask
from stl_backbones.robustness.tasks.kept_detections import DetectionScores
from stl_backbones.robustness.tasks.registry import register_task

_WORDS = {"bbox": "boxes", "segm": "masks"}


class DetectionSet(DetectionScores, DenseSet):
    """A detector on its images, see `ScoredSet`.

    The truth is the annotation file that the config's evaluator reads, else the data set's. The
    categories are those that mmdet's data set found by the class names. Of a data set in another
    format, such as VOC's, it is the objects of its items, as mmdet's ``CocoMetric`` converts them:
    what is difficult is ignored.
    """

    def check_model(self) -> None:
        """Refuse a model of other classes than the data's."""
        self.check_classes()

    def find_classes(self) -> tuple[str, ...]:
        """The names of the scored categories, in the order of the labels."""
        if len(self.data.innermost) > 1:
            raise InputError(
                f"the test data are a union of {len(self.data.innermost)} data sets; expected one "
                "for detection, so inherit the config with _base_ and a test_dataloader of one"
            )
        dataset = self.data.innermost[0]
        self.kinds = self._find_kinds()
        self.truth = COCO()
        if hasattr(dataset, "cat_ids"):
            self.path = Path(next(self._stated_files(), dataset.ann_file))
            self.truth.dataset = read_annotations(self.path)
            self.category_ids = tuple(int(number) for number in dataset.cat_ids)
            self._numbers = {info["img_id"]: int(info["img_id"]) for info in self.data.all_infos}
        else:
            self._convert(dataset)
        with contextlib.redirect_stdout(io.StringIO()):
            self.truth.createIndex()
        absent = [number for number in self.category_ids if number not in self.truth.cats]
        if absent or not self.category_ids:
            raise InputError(
                f"'{self.path}' has {len(self.truth.cats)} categories, but "
                f"{'none' if absent else 'no class'} of the data set's {len(self.category_ids)}: "
                "do the test_evaluator's and the data set's ann_file belong together?"
            )
        return tuple(str(self.truth.cats[number]["name"]) for number in self.category_ids)

    def _convert(self, dataset: Any) -> None:
        """Take the objects of the items of a data set that is not in COCO's format."""
        infos = self.data.all_infos
        if not all("instances" in info for info in infos) or "segm" in self.kinds:
            raise InputError(
                f"{type(dataset).__name__} is not in COCO's format: expected 'instances' in its "
                "items and an evaluator of boxes, or a test_dataloader.dataset of type CocoDataset"
            )
        self.path = Path(dataset.ann_file)
        names = dataset.metainfo["classes"]
        self.category_ids = tuple(range(len(names)))
        self._numbers = {info["img_id"]: number for number, info in enumerate(infos, start=1)}
        self.truth.dataset = coco_of_items(infos, names)

    def _stated_files(self) -> Iterator[str | Path]:
        """Annotation files of the config's evaluators."""
        for evaluator, settings in zip(self.evaluators, self.stated_evaluators, strict=True):
            path = getattr(evaluator, "path", None) or settings.get("ann_file")
            if path:
                yield path

    def check(self) -> None:
        """Refuse an evaluator that counts other images than the data set gives."""
        self.image_numbers = [self._numbers[info["img_id"]] for info in self.data.infos]
        self.matcher = DetectionMatcher(
            self.truth,
            category_ids=self.category_ids,
            kinds=self.kinds,
            max_detections=self._max_detections(),
        )
        given = set(self._numbers.values())
        counted = set(self.truth.imgs)
        unknown = given - counted
        if unknown:
            raise InputError(
                f"'{self.path}', the test_evaluator's, lacks {len(unknown)} of the {len(given)} "
                f"images of the test data set, id {min(unknown)} for one"
            )
        others = counted - given
        if others and not self.data.broken and any(map(_counts_all_images, self.evaluators)):
            raise InputError(
                f"the test_evaluator counts the {len(counted)} images of '{self.path}', the test "
                f"data set gives {len(given)} of them, and the others would count as missed; "
                "give both the same images"
            )
        for number in self.image_numbers:
            for annotation in self.truth.imgToAnns.get(number, ()):
                if annotation.get("category_id") in self.category_ids:
                    masks = "segm" in self.kinds
                    check_scored(annotation, self.truth.imgs[number], masks=masks)
        self.predict_first()
        for note in self.notes():
            print_log(note, logger="current", level=logging.WARNING)

    def _find_kinds(self) -> tuple[str, ...]:
        """What the config's evaluators are asked for: boxes, masks or both."""
        asked = [
            kind
            for evaluator in self.evaluators
            for kind in np.atleast_1d(getattr(evaluator, "metrics", None) or [])
        ]
        kinds = tuple(kind for kind in KINDS if kind in asked)
        if not kinds and asked:
            raise InputError(
                f"the config's test_evaluator asks for none of {', '.join(KINDS)}, but for "
                f"'{asked[0]}'; choose --cfg-options test_evaluator.metric=bbox"
            )
        return kinds or KINDS[:1]

    def _max_detections(self) -> int:
        """How many detections of an image and class the config's evaluators count."""
        counts = [getattr(one, "proposal_nums", None) for one in self.evaluators]
        return max((max(numbers) for numbers in counts if numbers), default=MAX_DETECTIONS)

    def notes(self) -> Iterator[str]:
        """Evaluators that compute something else."""
        for evaluator in self.evaluators:
            if not hasattr(evaluator, "_coco_api") or _computes_otherwise(evaluator):
                yield (
                    f"COCO's AP; the config's test_evaluator {type(evaluator).__name__} computes "
                    "another number"
                )

    def inference(self) -> Iterator[str]:
        """Boxes or masks."""
        yield " and ".join(_WORDS[kind] for kind in self.kinds)

    def files(self) -> Iterator[tuple[str, Path]]:
        """The images and the annotation file."""
        yield from super().files()
        yield "annotations", self.path
        for info, key in zip(self.data.infos, self.keys, strict=True):
            if info.get("xml_path"):
                yield f"{key} objects", Path(info["xml_path"])

    def score_block(self, block: Block, versions: Sequence[Any]) -> Any:
        """Predict the images, and have their records made."""
        predicted = zip(block, self._predict(versions), strict=True)
        return [self.record(image, sample) for image, sample in predicted]

    def record(self, image: int, sample: Any) -> Any:
        """Have a record made; it is waited for in `collect`."""
        name, number = self.keys[image], self.image_numbers[image]
        try:
            instances = instances_of(sample, kinds=self.kinds)
        except ValueError as error:
            raise InputError(f"'{name}': {error}") from error
        return self.submit(name, number, instances)


class DetectionTask(DenseTask):
    """Object detection and instance segmentation by mmdet's models."""

    name = "detection"
    default_protocol = "coco-c"
    bases = (("mmdet", "BaseDetector"),)
    scored = DetectionSet


def _computes_otherwise(evaluator: Any) -> bool:
    """Whether a metric like mmdet's CocoMetric is a subclass that computes another number."""
    own = type(evaluator).compute_metrics.__qualname__.partition(".")[0]
    return own not in ("CocoMetric", "CocoAveragePrecision")


def _counts_all_images(evaluator: Any) -> bool:
    """Whether a metric counts every image of its annotation file, predicted or not."""
    own = type(evaluator).compute_metrics.__qualname__.partition(".")[0]
    return own == "CocoMetric" and getattr(evaluator, "_coco_api", None) is not None


register_task(DetectionTask())

__all__ = ["DetectionSet", "DetectionTask"]
