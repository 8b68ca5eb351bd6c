"""From the texts of ``--until`` to a judge, and the record that keeps them as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.records import CLEAN, Cell, CellResult
from stl_backbones.report.read.metrics import SumMetric, TaskMetrics, find_task
from stl_backbones.report.read.runs import SHARED_FIELDS
from stl_backbones.results import CellStore
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.stopping.judge import Judge, Outcome
from stl_backbones.robustness.stopping.linear import Linear, find_linear
from stl_backbones.robustness.stopping.questions import Part, Question
from stl_backbones.robustness.stopping.scores import Scores, clean_scores, read_scores
from stl_backbones.robustness.stopping.targets import DEFAULT_ALPHA, Target, parse_targets
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
    task, cells = find_task(scored.provenance.task), corrupted(scored.cells)
    guess = dict.fromkeys((metric.key for metric in task.cells), 0.5)  # until it is scored
    for target in parse_targets(scored.options.until):
        linear = find_linear(target.name, task, scored.provenance, cells, guess)
        _check_bound(target, linear)
        if target.kind == "better":
            _check_baseline(scored, target, cells)


def _check_bound(target: Target, linear: Linear) -> None:
    is_fixed = "retention" not in target.name  # whose range depends on the clean score
    if target.kind == "gate" and is_fixed and not linear.low <= target.bound <= linear.high:
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
            f"{option}: expected a number, or the folder of a finished sweep, got "
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
    """Resolve all targets, once the clean images are scored."""
    task, cells = find_task(scored.provenance.task), corrupted(scored.cells)
    alpha, total = alpha_of(scored.options), len(scored.keys)
    targets = parse_targets(scored.options.until)
    gates = sum(target.kind != "width" for target in targets)
    known = _known(task, clean)
    scores = Scores((), cells, scored.provenance)
    questions = []
    for target in targets:
        linear = find_linear(target.name, task, scored.provenance, cells, known)
        parts = [Part(linear, scores)]
        if target.kind == "better":
            parts.append(_baseline(target, task, cells, order))
        questions.append(Question(target, parts, total, gates, alpha))
    scores.metrics = tuple({q.parts[0].linear.metric.key: q.parts[0].linear.metric
                            for q in questions}.values())  # fmt: skip
    by_data = clean_scores(scores.metrics, clean)[1]
    scores.clean = {key: terms[order.places] for key, terms in by_data.items()}
    return Judge(questions, scores, total=total, alpha=alpha)


def _known(task: TaskMetrics, clean: CellResult) -> dict[str, float]:
    return clean_scores([one for one in task.cells if isinstance(one, SumMetric)], clean)[0]


def _baseline(target: Target, task: TaskMetrics, cells: Sequence[Cell], order: Order) -> Part:
    store = CellStore(target.baseline)
    known = _known(task, store.read(CLEAN))
    linear = find_linear(target.name, task, store.provenance(), cells, known)
    return Part(linear, read_scores(store, (linear.metric,), cells, order.ids), sign=-1)


def alpha_of(options: SweepOptions) -> float:
    """The chance of a wrong verdict that was asked for."""
    return DEFAULT_ALPHA if options.alpha is None else options.alpha


def identity_of(scored: ScoredSet, order: Order) -> dict[str, Any]:
    """What a run is fixed to before its first block, as a `Provenance` records it."""
    targets = parse_targets(scored.options.until)
    baselines = {
        str(one): CellStore(one.baseline).provenance().checkpoint_sha256
        for one in targets if one.kind == "better"
    }  # fmt: skip
    task, cells = find_task(scored.provenance.task), corrupted(scored.cells)
    guess = dict.fromkeys((metric.key for metric in task.cells), 0.5)
    linears = [find_linear(one.name, task, scored.provenance, cells, guess) for one in targets]
    method = METHOD if all(one.is_mean for one in linears) else f"{METHOD}; {_ASYMPTOTIC}"
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
        "covariate": "none",
        "looks": "gates after every image, precisions at numbers of images that grow by 5 %",
        "cells": [cell.name for cell in cells],
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
