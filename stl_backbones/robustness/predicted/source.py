"""A model from anywhere with the data that it is scored on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from stl_backbones.datasets.image_list import read_image_list
from stl_backbones.datasets.labelled_source import LabelledSource
from stl_backbones.engine.distributed import Ranks
from stl_backbones.errors import InputError
from stl_backbones.robustness.image_sets import find_image_sets
from stl_backbones.robustness.items import ChosenItems, Items
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.classification import FolderClasses, PredictedClassifier
from stl_backbones.robustness.predicted.registry import (
    default_batch_size,
    default_protocol,
    open_set,
)
from stl_backbones.robustness.predictor import Model
from stl_backbones.robustness.tasks import ScoredSet, get_task
from stl_backbones.robustness.tasks.classification import asked_of
from stl_backbones.robustness.tasks.shift_data import (
    SHIFT_OPTIONS,
    as_set,
    check_shift_options,
    find_shift_data,
    shift_options,
)


@dataclass(frozen=True)
class PredictedSource:
    """A model, and its data.

    Attributes:
        build: Makes the model for a task; called on every process, with the resolved options.
        data: Opens the images and their truth: `Items`, or class folders.
        classes: Of class folders: the model's class names, in the order of its results.
    """

    build: Callable[[str, SweepOptions], Model]
    data: Callable[[SweepOptions], Items | LabelledSource]
    classes: tuple[str, ...] | None = None

    def open_sets(self, options: SweepOptions, ranks: Ranks) -> Sequence[ScoredSet]:
        """Check model and data before anything is scored; called on every process.

        Raises:
            InputError: If model, data and options do not fit together.
            MissingFileError: If something named is missing.
        """
        data = ranks.on_each(lambda: self._open_data(options))
        if isinstance(data, LabelledSource):
            return self._open_folders(data, options, ranks)
        check_shift_options(options, data.task)
        others = [name for name in options.task_options if name not in SHIFT_OPTIONS]
        if others:
            words = ", ".join(f"--{name.replace('_', '-')}" for name in others)
            raise InputError(f"{words}: not an option of {data.task} by a model of this kind")
        options = options.resolved(
            protocol=default_protocol(data.task), batch_size=default_batch_size(data.task)
        )
        found = ranks.on_each(lambda: list(find_shift_data(options, data.task)))
        model = ranks.on_each(lambda: self.build(data.task, options))
        made = [ranks.on_each(lambda: open_set(model, data, options))]
        own = shift_options(options)
        for one in found:
            opened = ranks.on_each(partial(lambda one: open_set(model, one.items(own), own), one))
            made.append(as_set(opened, one))
        return made

    def _open_data(self, options: SweepOptions) -> Items | LabelledSource:
        """The data, or the images of a list; of class folders these are taken later."""
        if options.image_list is None:
            return self.data(options)
        data = self.data(dataclasses.replace(options, limit=None))
        if isinstance(data, LabelledSource):
            return data
        chosen = read_image_list(options.image_list).select(data.keys, data.title)
        return ChosenItems(data, chosen[: options.limit])

    def _open_folders(
        self, folder: LabelledSource, options: SweepOptions, ranks: Ranks
    ) -> Sequence[ScoredSet]:
        options = get_task("classification").resolved(options)
        model = ranks.on_each(lambda: self.build("classification", options))
        asked = asked_of(options, rule="model" if model.view is None else None)
        own = model.classes
        if self.classes is not None and not (own and set(own) == set(self.classes)):
            asked = dataclasses.replace(asked, classes=self.classes)
        classifier = ranks.on_each(lambda: PredictedClassifier.of(model, folder))
        found = ranks.on_main(lambda: find_image_sets(classifier, asked))
        return ranks.on_each(
            lambda: [FolderClasses(model, one, asked, classifier.num_classes) for one in found]
        )


__all__ = ["PredictedSource"]
