"""Segmentation: one confusion matrix per image, and how sure the model is of its pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.registry import TRANSFORMS

from stl_backbones.config.data_check import ignored_label
from stl_backbones.config.reading import building
from stl_backbones.errors import InputError
from stl_backbones.evaluation.pixel_calibration import Kind, count_confidences, kind_of_scores
from stl_backbones.evaluation.segmentation import confusion_of, count_pixels, planes_of
from stl_backbones.metrics import ignored_text
from stl_backbones.records import CLEAN
from stl_backbones.robustness.examined import LabelMaps
from stl_backbones.robustness.pipeline import add_labels
from stl_backbones.robustness.slide_crops import CROPS, predict_crops_together
from stl_backbones.robustness.tasks.base import Block, Samples
from stl_backbones.robustness.tasks.dense import DenseSet, DenseTask
from stl_backbones.robustness.tasks.kept_confusions import CALIBRATION, ConfusionScores
from stl_backbones.robustness.tasks.registry import register_task

_ROUNDED = 0.0051  # percent: mmseg rounds to hundredths


class SegmentationSet(ConfusionScores, DenseSet):
    """A segmentation model on its images, see `ScoredSet`."""

    scores_kind: Kind | None = None  # of its class scores

    def check_model(self) -> None:
        """Refuse a model of other classes than the data's."""
        self.check_classes()

    def check(self) -> None:
        """Find the truth, and the label that is ignored, by running the pipeline on an image."""
        sample = self.versions.make(0, CLEAN)
        if "gt_sem_seg" not in _packed(sample):
            with building("mmseg's LoadAnnotations"):
                add_labels(self.versions.steps, TRANSFORMS.build)
            sample = self.versions.make(0, CLEAN)
        if "gt_sem_seg" not in _packed(sample):
            raise InputError(
                "the test pipeline packs no label map: expected 'gt_sem_seg' in the data samples"
            )
        self.ignore_index, self.contradiction = ignored_label(
            self.subject.inner, self.data.innermost, self.evaluators
        )
        predicted = self.predict_first()
        self.scores_kind = self._kind_of_scores(predicted[0])
        self._check_evaluators(predicted)
        self.crops_together = predict_crops_together(
            self.subject.inner, self.device, self.predict_first
        )

    def _check_evaluators(self, predicted: list[Any]) -> None:
        """Hold the confusion matrix of an image to what the config's evaluators make of it."""
        samples = self.collect(range(1), self.record(0, predicted[0]))
        own = {"mIoU": 100 * self.score_of(self.tally(samples), 1)}
        for evaluator in self.evaluators:
            theirs = _evaluate(evaluator, predicted, self.data.dataset.metainfo)
            for name in own.keys() & theirs.keys():
                if abs(own[name] - float(theirs[name])) > _ROUNDED:
                    raise InputError(
                        f"the test_evaluator {type(evaluator).__name__} scores "
                        f"'{self.keys[0]}' with {name} {float(theirs[name]):.2f}, its confusion "
                        f"matrix comes to {own[name]:.2f}: expected an evaluator that counts "
                        f"every pixel whose label is not {self.ignore_index}"
                    )

    def _kind_of_scores(self, sample: Any) -> Kind | None:
        """What the scores are that its labels were chosen by; ``None`` where there are none.

        Of test-time augmentation mmseg leaves the scores of the last view, which are not those.
        """
        if "seg_logits" not in sample or self.options.task_options.get("tta"):
            return None
        scores, guess = sample.seg_logits.data, sample.pred_sem_seg.data.squeeze(0)
        if len(scores) > 1 and not bool((scores.argmax(dim=0) == guess).all()):
            return None
        return kind_of_scores(scores)

    def notes(self) -> Iterator[str]:
        """Who states another ignored label."""
        if self.contradiction:
            yield self.contradiction

    def inference(self) -> Iterator[str]:
        """Whole images or sliding windows, and an unusual ignored label."""
        test_cfg = getattr(self.subject.inner, "test_cfg", None) or {}
        mode = str(test_cfg.get("mode", "whole"))
        if mode == "slide":
            crop, stride = test_cfg["crop_size"], test_cfg["stride"]
            mode = f"slide crop={crop[0]}x{crop[1]} stride={stride[0]}x{stride[1]}"
            mode += f" {CROPS} crops at once" if self.crops_together else ""
        yield mode
        yield from ignored_text(self.ignore_index)

    def record(self, image: int, sample: Any) -> dict[str, Any]:
        """``confusion_matrix`` ``(1, K * K + 4)``, as `count_pixels` gives it.

        And ``pixel_calibration`` ``(1, 3, bins)``, of `count_confidences`, where there are scores.
        """
        with self._naming(image):
            counts = count_pixels(
                sample, num_classes=len(self.classes), ignore_index=self.ignore_index
            )
        if self.scores_kind is None:
            return {"confusion_matrix": counts[None]}
        scores, guess = sample.seg_logits.data, sample.pred_sem_seg.data.squeeze(0)
        label = sample.gt_sem_seg.data.squeeze(0).to(guess.device, non_blocking=True)
        binned = count_confidences(
            scores, guess, label, kind=self.scores_kind, ignore_index=self.ignore_index
        )
        return {"confusion_matrix": counts[None], CALIBRATION: binned[None]}

    def look(self, image: int, versions: Any) -> tuple[LabelMaps, Samples]:
        """The label map of an image."""
        (sample,) = self._predict(versions)
        samples = self.collect(range(image, image + 1), self.record(image, sample))
        found, truth = planes_of(sample)
        palette = (self.data.dataset.metainfo or {}).get("palette") or ()
        return LabelMaps(found, truth, self.ignore_index, palette), samples

    def collect(self, block: Block, kept: Mapping[str, Any]) -> Samples:
        """``confusion_matrix`` ``(n, K, K)``."""
        arrays, matrices = super().collect(block, kept), []
        for image, counts in zip(block, arrays["confusion_matrix"], strict=True):
            with self._naming(image):
                matrices.append(confusion_of(counts, len(self.classes)))
        return {**arrays, "confusion_matrix": np.stack(matrices)}

    @contextmanager
    def _naming(self, image: int) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise InputError(f"'{self.keys[image]}': {error}") from error


class SegmentationTask(DenseTask):
    """Semantic segmentation by mmseg's models."""

    name = "segmentation"
    default_protocol = "stl-cityscapes-c"
    bases = (("mmseg", "BaseSegmentor"),)
    scored = SegmentationSet


def _evaluate(evaluator: Any, predicted: list[Any], metainfo: Any) -> dict[str, Any]:
    """A metric's numbers of a few predicted samples; the metric forgets them."""
    logger = MMLogger.get_current_instance()
    disabled, logger.disabled = logger.disabled, True  # mmseg's metric prints a table
    try:
        with building("the test evaluator on the first image", fails="fails"):
            evaluator.dataset_meta = metainfo
            Evaluator([evaluator]).process(predicted, {})
            return dict(evaluator.compute_metrics(evaluator.results))
    finally:
        logger.disabled = disabled
        evaluator.results.clear()


def _packed(item: Any) -> Any:
    """The sample of what a pipeline gives, or the first view of test-time augmentation."""
    if not isinstance(item, Mapping) or "data_samples" not in item:
        raise InputError(
            "the test pipeline packs no sample: expected 'data_samples' in what it gives, as its "
            "last step PackSegInputs makes them"
        )
    samples = item["data_samples"]
    return samples[0] if isinstance(samples, list | tuple) else samples


register_task(SegmentationTask())

__all__ = ["SegmentationSet", "SegmentationTask"]
