"""From the texts of ``--until`` to a judge, and the record that keeps them as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.records import CLEAN, Cell, CellResult
from stl_backbones.report.read.metrics import TaskMetrics, find_task
from stl_backbones.report.read.runs import SHARED_FIELDS
from stl_backbones.results import CellStore
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.stopping.judge import Judge, Outcome
from stl_backbones.robustness.stopping.linear import Linear
from stl_backbones.robustness.stopping.numbers import Numbers
from stl_backbones.robustness.stopping.questions import Part, Question
from stl_backbones.robustness.stopping.scores import Scores, clean_terms, read_scores
from stl_backbones.robustness.stopping.targets import (
    CONFIDENCE,
    DEFAULT_ALPHA,
    DEFAULT_COVARIATE,
    NO_COVARIATE,
    Target,
    parse_targets,
)
from stl_backbones.robustness.tasks.base import ScoredSet
from stl_backbones.sequential import METHOD, order_digest, visit_order

# What is fixed before the first block; precisions may change, since intervals hold at any time.
IDENTITY = ("gates", "alpha", "order_seed", "order_digest", "images", "method", "covariate",
            "baselines", "cells")  # fmt: skip
_ASYMPTOTIC = "leave-one-out values and Robbins' boundary, asymptotic"


@dataclass(frozen=True)
class Order:
    """The order that images are visited in.

    Attributes:
        places: ``(N,)`` index in the data set of each visited image.
        ids: Their ids.
        seed: What decided it.
    """

    places: np.ndarray
    ids: tuple[str, ...]
    seed: int

    @property
    def digest(self) -> str:
        """Of the ids in this order."""
        return order_digest(self.ids)


def find_order(keys: Sequence[str], seed: int) -> Order:
    """The visit order of a set.

    Raises:
        InputError: If it holds too few images to draw from.
    """
    if len(keys) < 2:
        raise InputError(f"--until draws images, and the set holds {len(keys)}: leave it out")
    places = visit_order(keys, seed)
    return Order(places, tuple(keys[index] for index in places), seed)


def corrupted(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells in which images are drawn."""
    return tuple(cell for cell in cells if not cell.is_clean)


def check_targets(scored: ScoredSet) -> None:
    """Refuse what cannot be decided, before anything is scored.

    Raises:
        InputError: If a number is none of this sweep's, or a bound lies out of its range.
        UnknownNameError: If a name is unknown.
        MissingFileError: If a baseline is missing.
    """
    task = find_task(scored.provenance.task)
    numbers = _numbers(scored, None)
    check_covariate(task, scored.options)
    asked: dict[object, Target] = {}
    for target in parse_targets(scored.options.until):
        linear = numbers.find(target.name)
        _check_bound(target, linear)
        twin = asked.setdefault(_meaning(target, linear), target)
        if twin is not target:
            raise InputError(
                f"--until asks for one number twice: '{twin}' and '{target}'; expected one bound"
            )
        if target.kind == "better":
            _check_baseline(scored, target, corrupted(scored.cells))


def _numbers(scored: ScoredSet, clean: CellResult | None) -> Numbers:
    task, cells = find_task(scored.provenance.task), corrupted(scored.cells)
    return Numbers(task, scored.provenance, cells, clean)


def check_covariate(task: TaskMetrics, options: SweepOptions) -> None:
    """Refuse a covariate that the task does not have.

    Raises:
        InputError: If it has none.
    """
    if options.covariate == CONFIDENCE and task.confidence is None:
        raise InputError(
            f"--covariate {CONFIDENCE} is a classifier's clean probability of the true class, and "
            f"a {task.name} model gives none: expected none"
        )


def _meaning(target: Target, linear: Linear) -> object:
    """What is asked, whatever it is called."""
    numbers = (linear.metric.key, linear.class_index, linear.weights.tobytes(), linear.offset)
    return (target.kind, target.baseline, target.side, *numbers)


def _check_bound(target: Target, linear: Linear) -> None:
    # Their range depends on the clean score, which is guessed so far.
    varies = linear.is_known or any(word in target.name for word in ("retention", "relative"))
    if target.kind == "gate" and not varies and not linear.low <= target.bound <= linear.high:
        raise InputError(
            f"--until '{target}': {target.name} lies in {linear.low:.3g}..{linear.high:.3g}, so no "
            "sweep can miss or meet that bound; expected a fraction, 0.60 for 60 %"
        )


def _check_baseline(scored: ScoredSet, target: Target, cells: Sequence[Cell]) -> None:
    """Refuse a baseline of other images, protocol or engine, or one that is not whole."""
    option = f"--until '{target}'"
    folder = Path(target.baseline)
    if not folder.is_dir():
        raise MissingFileError(
            f"{option}: expected a number such as 0.60, or the folder of a finished sweep, got "
            f"'{target.baseline}'"
        )
    store = CellStore(folder)
    theirs, own = store.provenance(), scored.provenance
    if theirs.sampling:
        raise InputError(f"{option}: that sweep stopped early; expected one of all images")
    custom = {
        name for name, version in theirs.custom_versions.items()
        if own.custom_versions.get(name, version) != version
    }  # fmt: skip
    others = [name for name in (*SHARED_FIELDS, "protocol")
              if getattr(theirs, name) != getattr(own, name)]  # fmt: skip
    others += [f"version of {name}" for name in sorted(custom)]
    if others:
        raise InputError(
            f"{option}: the baseline was measured with another {', '.join(others)}; expected the "
            "same images, corrupted alike"
        )
    missing = [cell.name for cell in (CLEAN, *cells) if cell not in store.cells()]
    if missing:
        raise InputError(
            f"{option}: the baseline lacks {len(missing)} cells of this sweep, {missing[0]} among "
            "them"
        )
    if sorted(store.read(CLEAN).image_ids) != sorted(scored.keys):
        raise InputError(f"{option}: the baseline holds other images")


def make_judge(scored: ScoredSet, clean: CellResult, order: Order) -> Judge:
    """Resolve all targets, once the clean images are scored.

    Raises:
        InputError: If a number is undefined on them, or too few images count for it.
    """
    task, numbers = find_task(scored.provenance.task), _numbers(scored, clean)
    alpha, total = alpha_of(scored.options), len(scored.keys)
    targets = parse_targets(scored.options.until)
    linears = {target: numbers.find(target.name) for target in targets}
    metrics = tuple({one.metric.key: one.metric for one in linears.values()}.values())
    scores = Scores(metrics, corrupted(scored.cells), scored.provenance,
                    clean=clean_terms(metrics, clean, order.places))  # fmt: skip
    confidence = _confidence(task, scored.options, clean)
    gates = sum(target.kind != "width" for target in targets)
    questions = []
    for target, linear in linears.items():
        parts = [Part(linear, scores)]
        z = None if confidence is None else confidence[order.places]
        if target.kind == "better":
            parts.append(_baseline(target, scored, order))
            z = None  # the difference of two models goes by it too little
        counted = _counted(target, linear, scores, task, clean, order)
        questions.append(Question(target, parts, total, gates, alpha, counted, z))
    return Judge(questions, scores, total=total, alpha=alpha)


def _confidence(
    task: TaskMetrics, options: SweepOptions, clean: CellResult
) -> npt.NDArray[np.float64] | None:
    """``(N,)`` in the data set's order; ``None`` where it is not used."""
    if covariate_of(task, options) != CONFIDENCE or task.confidence is None:
        return None
    return task.confidence(clean)


def _counted(
    target: Target,
    linear: Linear,
    scores: Scores,
    task: TaskMetrics,
    clean: CellResult,
    order: Order,
) -> npt.NDArray[np.bool_]:
    """``(N,)`` in visit order: the images that a number is the mean of."""
    if not linear.is_mean:
        return np.ones(len(order.ids), np.bool_)
    counted = ~np.isnan(scores.clean[linear.metric.key][:, 0])
    if linear.class_index is not None:
        counted &= clean.samples[task.truth[0]][order.places] == linear.class_index
    if counted.sum() < 2:
        raise InputError(
            f"--until '{target}' draws images, and {int(counted.sum())} of the set counts for "
            f"{target.name}: leave it out"
        )
    return counted


def _baseline(target: Target, scored: ScoredSet, order: Order) -> Part:
    task, cells = find_task(scored.provenance.task), corrupted(scored.cells)
    store = CellStore(target.baseline)
    numbers = Numbers(task, store.provenance(), cells, store.read(CLEAN))
    linear = numbers.find(target.name)
    return Part(linear, read_scores(store, (linear.metric,), cells, order.ids), sign=-1)


def alpha_of(options: SweepOptions) -> float:
    """The chance of a wrong verdict that was asked for."""
    return DEFAULT_ALPHA if options.alpha is None else options.alpha


def covariate_of(task: TaskMetrics, options: SweepOptions) -> str:
    """What narrows the intervals of a sweep."""
    default = DEFAULT_COVARIATE if task.confidence is not None else NO_COVARIATE
    return options.covariate or default


def identity_of(scored: ScoredSet, order: Order) -> dict[str, Any]:
    """What a run is fixed to before its first block, as a `Provenance` records it."""
    targets = parse_targets(scored.options.until)
    baselines = {
        str(one): CellStore(one.baseline).provenance().checkpoint_sha256
        for one in targets if one.kind == "better"
    }  # fmt: skip
    numbers = _numbers(scored, None)
    is_exact = all(numbers.find(one.name).is_mean for one in targets)
    method = METHOD if is_exact else f"{METHOD}; {_ASYMPTOTIC}"
    return {
        "design": "simple random, without replacement",
        "method": method,
        "order_seed": order.seed,
        "order_digest": order.digest,
        "images": len(order.ids),
        "alpha": alpha_of(scored.options),
        "gates": [str(one) for one in targets if one.kind != "width"],
        "widths": [str(one) for one in targets if one.kind == "width"],
        "baselines": baselines,
        "covariate": covariate_of(find_task(scored.provenance.task), scored.options),
        "looks": "gates after every image, precisions at numbers of images that grow by 5 %",
        "cells": [cell.name for cell in corrupted(scored.cells)],
    }


def check_identity(place: Path, recorded: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse to go on with other gates than a folder was begun with.

    Raises:
        InputError: If something that is fixed differs.
    """
    for name in IDENTITY:
        if recorded.get(name) != asked[name]:
            raise InputError(
                f"'{place}' was begun with --until of other {name.replace('_', ' ')} "
                f"({_short(recorded.get(name))}, now {_short(asked[name])}), which is fixed before "
                "the first image; choose another --work-dir"
            )


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def with_outcome(sampling: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    """The record of a sweep that has stopped."""
    return {
        **sampling,
        "scored": outcome.scored,
        "decided": outcome.images,
        "verdict": outcome.verdict,
        "headline": outcome.headline,
        "targets": [
            {"target": one.text, "estimate": one.estimate, "low": one.low, "high": one.high}
            for one in outcome.targets
        ],
    }


__all__ = [
    "Order", "alpha_of", "check_identity", "check_targets", "corrupted", "find_order",
    "identity_of", "make_judge", "with_outcome",
]  # fmt: skip
