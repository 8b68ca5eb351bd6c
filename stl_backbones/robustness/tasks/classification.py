"""Classification: a few numbers per image. torch and timm are all that it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from stl_backbones.engine.distributed import Ranks
from stl_backbones.errors import InputError
from stl_backbones.evaluation.classified import check_finite, classify
from stl_backbones.robustness.classifier_versions import ClassifierVersions
from stl_backbones.robustness.examined import ClassProbabilities
from stl_backbones.robustness.image_sets import Asked, ImageSet, find_image_sets
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.base import device_of
from stl_backbones.robustness.sources.classifier import VIEW_OPTIONS, Classifier, ViewOptions
from stl_backbones.robustness.tasks.base import Block, Samples, ScoredSet, Tally, Task
from stl_backbones.robustness.tasks.registry import register_task


class ClassificationSet(ScoredSet):
    """A classifier on one image set, see `ScoredSet`."""

    metric = "top-1"

    def __init__(self, classifier: Classifier, image_set: ImageSet, asked: Asked) -> None:
        self.classifier, self.scoring, self.options = classifier, asked.scoring, asked.options
        self.place, self.title = image_set.place, image_set.title
        self.provenance, self.cells = image_set.provenance, image_set.cells
        self.keys = image_set.images.keys
        self.device = device_of(classifier.network)
        self.versions = ClassifierVersions(image_set.images, image_set.rules, device=self.device)
        self.is_on_the_fly = image_set.rules.folders is None
        self.labels = torch.from_numpy(image_set.images.labels).to(self.device)
        self.readout = image_set.readout

    def score_block(self, block: Block, versions: Tensor) -> dict[str, Tensor]:
        """One batch of the network."""
        return self._classified(self._scores(versions), block)

    def _scores(self, versions: Tensor) -> Tensor:
        return self.classifier.scores(versions, self.scoring, amp=self.options.amp)

    def _classified(self, scores: Tensor, block: Block) -> dict[str, Tensor]:
        labels = self.labels[list(block)]
        return (classify if self.readout is None else self.readout.classify)(scores, labels)

    def look(self, image: int, versions: Tensor) -> tuple[ClassProbabilities, Samples]:
        """The probabilities of an image."""
        scores, block = self._scores(versions), range(image, image + 1)
        samples = self.collect(block, self._classified(scores, block))
        own = scores if self.readout is None else self.readout.class_scores(scores)
        return probabilities_of(own[0], int(self.labels[image])), samples

    def seen(self, image: int, versions: Tensor, pixels: Any) -> Any:
        """The pixels that the network takes."""
        del image, pixels
        return versions[0].cpu().numpy()

    def collect(self, block: Block, kept: dict[str, Tensor]) -> Samples:
        """Only now, so that an accelerator works on while the next batches are handed over."""
        samples = {name: values.cpu().numpy() for name, values in kept.items()}
        check_finite(samples["confidence"], [self.keys[index] for index in block])
        return samples

    def tally(self, samples: Samples) -> Tally:
        """The number of right answers."""
        return (samples["prediction"] == samples["label"]).sum()

    def score_of(self, tally: Tally, images: int) -> float:
        """The accuracy."""
        return float(tally / images)


def probabilities_of(scores: Tensor, label: int) -> ClassProbabilities:
    """The probabilities of an image's class scores ``(K,)``."""
    return ClassProbabilities(scores.double().softmax(dim=0).cpu().numpy(), label)


class ClassificationTask(Task):
    """Image classification: ImageNet and its relatives, or class folders of the user's own."""

    name = "classification"
    default_protocol = "imagenet-c"
    bases = (("stl_backbones.pretraining", "STLClassifier"),)
    options: Mapping[str, Any] = {
        "scoring": "cls",
        "resize_rule": None,  # see `default_rule`
        "jpeg85": False,
        "imagenet_a": None,
        "imagenet_r": None,
        "sets": None,
        "allow_missing": False,
        "classes": None,
        **dict.fromkeys(VIEW_OPTIONS),
    }

    @property
    def default_batch_size(self) -> int:
        """128 with an accelerator, else 16."""
        return 128 if torch.cuda.is_available() else 16

    def resolved(self, options: SweepOptions) -> SweepOptions:
        """The options, checked, with the task's defaults filled in."""
        resolved = super().resolved(options)
        if options.task_options.get("jpeg85") and options.corrupted_root is not None:
            raise InputError("--jpeg85 is for images corrupted here; the files are taken as is")
        return resolved

    def from_config(self, source: Any, options: SweepOptions) -> Classifier:
        """Build the classifier of a pretraining config."""
        from stl_backbones.robustness.sources import config_classifier

        folder = config_classifier.open_config_folder(source.config, source.data_root)
        classifier = config_classifier.open_config_classifier(
            source.config,
            source.checkpoint,
            name=source.name,
            view_options=ViewOptions.of(options.task_options),
            ema=source.ema,
        )
        return dataclasses.replace(classifier, folder=folder)

    def open(self, subject: Classifier, options: SweepOptions, ranks: Ranks) -> list[ScoredSet]:
        """Find the image sets, once for all processes."""
        asked = asked_of(options)
        found = ranks.on_main(lambda: find_image_sets(subject, asked))
        return [ClassificationSet(subject, image_set, asked) for image_set in found]


def asked_of(options: SweepOptions, *, rule: str | None = None) -> Asked:
    """What resolved options ask for.

    Args:
        options: The options.
        rule: The resize rule, where the options name none.
    """
    own = {k: v for k, v in options.task_options.items() if k not in VIEW_OPTIONS}
    rule = own.pop("resize_rule", None) or rule
    return Asked(options, resize_rule=rule or "", **own)


register_task(ClassificationTask())

__all__ = ["ClassificationSet", "ClassificationTask", "asked_of", "probabilities_of"]
