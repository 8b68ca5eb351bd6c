"""Class scores of any model: a few numbers per image."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stl_backbones.datasets.labelled_source import LabelledSource
from stl_backbones.datasets.views import View, WholeImages
from stl_backbones.errors import InputError
from stl_backbones.evaluation.classified import SCORINGS, Readout, check_finite, classify
from stl_backbones.records import Cell
from stl_backbones.robustness.classifier_versions import ClassifierVersions
from stl_backbones.robustness.examined import ClassProbabilities
from stl_backbones.robustness.image_sets import Asked, ImageSet
from stl_backbones.robustness.items import Items
from stl_backbones.robustness.predicted.base import PredictedSet, relative
from stl_backbones.robustness.predictor import Model, Pixels, Result, as_array, text_sha256
from stl_backbones.robustness.tasks.base import Block, Samples, Tally
from stl_backbones.robustness.tasks.classification import probabilities_of
from stl_backbones.robustness.versions import Versions

_LEAST = float(torch.finfo(torch.float32).tiny)  # a probability of 0 is taken for
_SUM = 1e-2  # by which the probabilities of a model may miss 1, in float16 too


class PredictedClasses(PredictedSet):
    """A classifier, see `PredictedSet`."""

    metric = "top-1"

    states = 0  # scores that the model gives
    readout: Readout | None = None

    def prepare(self, first: Sequence[Result]) -> None:
        """Find whether the model gives logits or probabilities."""
        self.states = self.states or len(self.items.classes if self.order is None else self.order)
        found = [self._row(one) for one in first]
        self.are_probabilities = all(
            one.ndim == 1 and len(one) > 1 and one.min() >= 0 and abs(one.sum() - 1) < _SUM
            for one in found
        )

    def inference(self) -> Sequence[str]:
        """How scores are read."""
        return ("probabilities" if self.are_probabilities else "logits",)

    def score_block(self, block: Block, versions: Sequence[Any]) -> Samples:
        """Predict the images together: label, prediction, whether it is among the five best, ..."""
        return self._classified(block, torch.stack(self.records(block, versions)))

    def _classified(self, block: Block, scores: Tensor) -> Samples:
        labels = torch.tensor([self._label(image) for image in block])
        found = (classify if self.readout is None else self.readout.classify)(scores, labels)
        samples = {name: values.numpy() for name, values in found.items()}
        check_finite(samples["confidence"], [self.keys[image] for image in block])
        return samples

    def look(self, image: int, versions: Any) -> tuple[ClassProbabilities, Samples]:
        """The probabilities of an image."""
        block = range(image, image + 1)
        scores = torch.stack(self.records(block, versions))
        own = scores if self.readout is None else self.readout.class_scores(scores)
        return probabilities_of(own[0], self._label(image)), self._classified(block, scores)

    def _label(self, image: int) -> int:
        label = int(self.truth(image))
        if not 0 <= label < len(self.items.classes):
            raise InputError(
                f"'{self.keys[image]}' has label {label}, there are {len(self.items.classes)} "
                "classes, counted from 0"
            )
        return label

    def check_result(self, image: int, size: tuple[int, int], result: Result) -> None:
        """Refuse what are no class scores of the data's classes."""
        super().check_result(image, size, result)
        self._label(image)

    def _row(self, result: Result) -> npt.NDArray[Any]:
        found = as_array(result)
        if found.shape == (1, self.states):
            found = found[0]
        if found.shape != (self.states,) or found.dtype.kind not in "fiu":
            raise InputError(
                f"expected {self.states} class scores ({self.states},), got {found.shape} "
                f"{found.dtype}"
                + ("" if self.order is not None else "; the data set has so many classes")
            )
        return found

    def record(self, image: int, size: tuple[int, int], result: Result) -> Tensor:
        """The class scores ``(K,)``."""
        del image, size
        return self._scores(result)

    def _scores(self, result: Result) -> Tensor:
        found, classes = self._row(result), len(self.items.classes)
        if not np.isfinite(found).all():
            raise InputError("the model's class scores are not finite; are its weights whole?")
        scores = torch.from_numpy(np.ascontiguousarray(found, np.float64))
        if self.are_probabilities:
            scores = scores.clamp(min=_LEAST).log()  # whose softmax they are
        if self.order is not None:
            places = torch.empty(classes, dtype=torch.long)
            for place, own in enumerate(self.order):
                if own >= 0:
                    places[own] = place
            scores = scores[places]
        return scores

    def difference(self, one: Result, other: Result) -> float:
        """By their numbers."""
        return relative(as_array(one), as_array(other))

    def tally(self, samples: Samples) -> Tally:
        """The number of right answers."""
        return (samples["prediction"] == samples["label"]).sum()

    def score_of(self, tally: Tally, images: int) -> float:
        """The accuracy."""
        return float(tally / images)


class FolderClasses(PredictedClasses):
    """A classifier on the images of class folders, ImageNet's among them.

    Args:
        model: The model.
        image_set: The images, and what is scored.
        asked: The options.
        states: Scores that the model gives.
    """

    def __init__(self, model: Model, image_set: ImageSet, asked: Asked, states: int) -> None:
        self.states = states
        self.model, self.options, self.items = model, asked.options, _FolderItems(image_set)
        self.place, self.title, self.cells = image_set.place, image_set.title, image_set.cells
        self.keys, self.order = image_set.images.keys, None
        self._truths = OrderedDict()
        self.readout = image_set.readout
        self.is_on_the_fly = image_set.rules.folders is None
        self.versions = _ViewVersions(model.prepared, image_set)
        differences = self.try_model()
        own = image_set.provenance
        self.provenance = dataclasses.replace(
            own,
            inference=", ".join(filter(None, (own.inference, model.inference, *self.inference()))),
            notes=(*own.notes, *differences),
            device=model.device or own.device,
        )


class _FolderItems(Items):
    """What `PredictedClasses` reads of its items."""

    def __init__(self, image_set: ImageSet) -> None:
        self._images = image_set.images
        self.task, self.classes = "classification", image_set.images.classes

    def image(self, index: int) -> Pixels:
        return np.array(self._images.read(index))

    def truth(self, index: int) -> int:
        return int(self._images.labels[index])


class _ViewVersions(ClassifierVersions):
    """Views of images, as the model takes them."""

    def __init__(self, prepare: Callable[[Pixels], Any], image_set: ImageSet) -> None:
        super().__init__(image_set.images, image_set.rules)
        self._prepare = prepare

    def make_all(self, images: tuple[int, ...], cell: Cell) -> Any:
        """The versions one by one, since each goes through the model's own preparation."""
        return Versions.make_all(self, images, cell)

    def make(self, index: int, cell: Cell) -> Any:
        """Height and width of a version, and what the model takes of it."""
        image = super().make(index, cell)
        return image.shape[:2], self._prepare(image)

    def pack(self, versions: list[Any]) -> Any:
        """A list."""
        return versions


@dataclass(frozen=True)
class PredictedClassifier:
    """What `find_image_sets` reads of a classifier.

    Attributes:
        model: The model.
        folder: The clean images.
        view: What is cut out of an image before it is corrupted.
        num_classes: Scores that the model gives.
    """

    model: Model
    folder: LabelledSource
    view: View
    num_classes: int
    normalisation = ""
    macs = 0

    @classmethod
    def of(cls, model: Model, folder: LabelledSource) -> PredictedClassifier:
        """The model on a folder, with the number of classes found on the first image."""
        view = WholeImages() if model.view is None else model.view
        first = view(folder.read(0))
        found = as_array(model.results([model.prepared(first)])[0])
        if (
            found.ndim not in (1, 2)
            or found.size != found.shape[-1]
            or found.dtype.kind not in "fiu"
        ):
            raise InputError(
                f"expected class scores (K,) of an image, got {found.shape} {found.dtype}"
            )
        found = found.reshape(-1)
        return cls(model, folder, view, len(found))

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    @property
    def recorded(self) -> tuple[str, ...] | None:
        """The model's class names, where they are the folders'."""
        names = self.model.classes
        return names if names is not None and set(self.folder.classes) <= set(names) else None

    @property
    def config_sha256(self) -> str:
        """See `Model`."""
        return text_sha256(f"{self.model.config_sha256} {self.view}")

    @property
    def checkpoint_sha256(self) -> str:
        """See `Model`."""
        return self.model.weights_sha256

    @property
    def notes(self) -> tuple[str, ...]:
        """See `Model`."""
        return self.model.notes

    @property
    def parameters(self) -> int:
        """See `Model`."""
        return self.model.parameters

    @property
    def libraries(self) -> tuple[str, ...]:
        """See `Model`."""
        return self.model.libraries

    def check_scoring(self, scoring: str) -> None:
        """Refuse all but plain class scores."""
        if scoring != SCORINGS[0]:
            raise InputError(f"scoring {scoring} needs a FAN with tokens; '{self.name}' is another")


__all__ = ["FolderClasses", "PredictedClasses", "PredictedClassifier"]
