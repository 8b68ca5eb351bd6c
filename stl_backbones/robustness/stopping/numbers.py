"""The numbers that a sweep may be asked for, by the report's own names and formulas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stl_backbones.corruptions import get_protocol
from stl_backbones.errors import InputError, UserError
from stl_backbones.metrics import ClassScores
from stl_backbones.records import CLEAN, Cell, CellResult, Provenance
from stl_backbones.report.numbers.aggregates import Findings
from stl_backbones.report.numbers.class_gates import (
    EVERY,
    ClassName,
    gate_aggregates,
    split_class_name,
)
from stl_backbones.report.numbers.classes import main_key
from stl_backbones.report.numbers.requirements import find_number
from stl_backbones.report.read.metrics import CellMetric, ClassRecord, SumMetric, TaskMetrics
from stl_backbones.report.read.runs import Run, chosen_part
from stl_backbones.robustness.stopping.linear import Linear, check_metric, clean_score, linear_of

_GUESS = 0.5  # of clean scores, before they are known
_BREAK = "it is where a curve crosses a bound, so it is no mean of one value per image"
_NOT_HERE = ", break:CORRUPTION"  # of what requirements may name
_NO_CLASS_MEAN = "it is no mean of one bounded value per image of the class"
Floats = npt.NDArray[np.float64]


class Numbers:
    """The numbers of a sweep: those of reports, and means of one value per image.

    Args:
        task: What reports say of the task.
        provenance: Of the sweep.
        cells: The corrupted cells that are swept.
        clean: The clean cell; ``None`` before it is scored, when clean scores are taken to be one
            half, and all classes to have images.
    """

    def __init__(
        self,
        task: TaskMetrics,
        provenance: Provenance,
        cells: Sequence[Cell],
        clean: CellResult | None,
    ) -> None:
        self.task = replace(task, cells=(*task.cells, *task.image_means))
        self.metrics = {metric.key: metric for metric in self.task.cells}
        self.clean = clean
        count = len(cells)
        # See `linear_of`.
        one_hot = np.hstack([np.eye(count), np.zeros((count, 1)), np.ones((count, 1))])
        self.scores: dict[Cell, Floats] = dict(zip(cells, one_hot, strict=True))
        replicates = {
            metric.key: {CLEAN: np.full(count + 2, self._clean_score(metric)), **self.scores}
            for metric in self.task.cells
        }
        self.run = Run(label="", folder=Path(), provenance=provenance, replicates=replicates)
        self.protocol = chosen_part(get_protocol(provenance.protocol), [provenance])

    def find(self, name: str) -> Linear:
        """Resolve a name, ``'average'``, ``'fog/5'``, ``'mce'``, ``'class:cat:blur'``, ...

        Raises:
            UnknownNameError: If there is no such number.
            InputError: If it cannot be decided early, or needs cells that are not swept.
        """
        parts = split_class_name(name)
        with _until_words():
            if parts is not None:
                return self._find_of_class(name, parts)
            findings = Findings((self.run,), self.protocol, self.task)
            found = find_number(name, self.run, findings.aggregates[0], findings)
        metric = check_metric(name, self.metrics.get(found.key.metric, self.task.main))
        return linear_of(name, found, metric)

    def _find_of_class(self, name: str, parts: ClassName) -> Linear:
        option, scores = f"--until '{name}'", self.task.class_scores
        if parts.breaks:
            raise InputError(f"{option}: a breaking point cannot be decided early: {_BREAK}")
        if parts.class_name == EVERY:
            raise InputError(f"{option}: expected the name of one class; give an --until for each")
        key = parts.metric or main_key(self.task)
        if key in scores and key not in self.task.class_means:
            raise InputError(
                f"{option}: {scores[key]} of a class cannot be decided early: {_NO_CLASS_MEAN}"
            )
        run = self._run_by_class()
        found = gate_aggregates(name, run, Findings((run,), self.protocol, self.task)) or {}
        metric = check_metric(name, self.metrics[self.task.class_means[key]])
        ((own, aggregate),) = found.items()
        return linear_of(name, aggregate, metric, run.class_names.index(own))

    def _run_by_class(self) -> Run:
        """The sweeps of `linear_of` with scores by class, which are the same for all of them."""
        shape = (len(self.scores) + 2, len(self.run.provenance.classes))
        images, clean = self._clean_by_class(shape[1])

        def record(values: Mapping[str, Floats]) -> ClassRecord:
            wide = {key: np.broadcast_to(one, shape) for key, one in values.items()}
            scores = {key: ClassScores(one[0], one[1:]) for key, one in wide.items()}
            return ClassRecord(scores, truth=images, images=images)

        keys = self.task.class_means
        by_cell = {
            cell: record(dict.fromkeys(keys, one[:, None])) for cell, one in self.scores.items()
        }
        return replace(self.run, classes={CLEAN: record(clean), **by_cell})

    def _clean_by_class(self, classes: int) -> tuple[npt.NDArray[np.int64], dict[str, Floats]]:
        """How many images each class has, and its clean scores ``(1, K)``."""
        if self.clean is None:
            guess = np.full((1, classes), _GUESS)
            return np.ones(classes, np.int64), dict.fromkeys(self.task.class_means, guess)
        label = self.clean.samples[self.task.truth[0]]
        images = np.bincount(label, minlength=classes)
        clean = {}
        for key, name in self.task.class_means.items():
            terms = check_metric(name, self.metrics[name]).terms(self.clean)[:, 0]
            sums = np.bincount(label, terms, minlength=classes)
            clean[key] = (sums / np.maximum(images, 1))[None]
        return images, clean

    def _clean_score(self, metric: CellMetric) -> float:
        if self.clean is None:
            return _GUESS
        is_there = not metric.sample or metric.sample in self.clean.samples
        if not is_there or not isinstance(metric, SumMetric):
            return float("nan")
        return clean_score(metric, self.clean)


@contextmanager
def _until_words() -> Iterator[None]:
    """Errors on names, which reports call requirements."""
    try:
        yield
    except UserError as error:
        text = str(error.args[0]).replace("--require", "--until").replace(_NOT_HERE, "")
        error.args = (text, *error.args[1:])
        raise


__all__ = ["Numbers"]
