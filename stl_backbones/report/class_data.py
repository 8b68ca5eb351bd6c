"""Unrounded numbers by class for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from stl_backbones.metrics import ClassScores, percentile_intervals
from stl_backbones.report.data import PROVENANCE, Line, measured_with
from stl_backbones.report.numbers.aggregates import Findings
from stl_backbones.report.numbers.breaking import Bound, Points, class_points, level_at, points_of
from stl_backbones.report.numbers.classes import main_key, occurring
from stl_backbones.report.numbers.flows import Flows
from stl_backbones.report.read.runs import Run
from stl_backbones.report.read.text import plain
from stl_backbones.report.sections import DataFile


def class_file(findings: Findings) -> DataFile:
    """One line per model, cell of the protocol, and class that occurs in the ground truth.

    A score is empty where it is missing; its interval is `nan` where the class occurs in too few of
    the resamples, and empty where there are none.
    """
    task = findings.task

    def lines() -> Iterator[Line]:
        for run in findings.runs:
            classes = occurring(run)
            names = [plain(run.provenance.classes[index]) for index in classes]
            for cell in findings.protocol.cells():
                if cell not in run.classes:
                    continue
                record = run.classes[cell]
                scores = (record.scores.get(key) for key in task.class_scores)
                columns = [part for one in scores for part in _class_columns(one, classes)]
                truth = (values[classes].tolist() for values in (record.truth, record.images))
                for name, *values in zip(names, *columns, *truth, strict=True):
                    yield (run.label, name, cell.corruption, cell.severity, *values)

    scores = [f"{key}_{end}fraction" for key in task.class_scores for end in ("", "low_", "high_")]
    counts = (f"truth_{task.counted}", "truth_on_images")
    header = ("model", "class", "corruption", "severity", *scores, *counts, *PROVENANCE)
    return DataFile("classes", header, tuple(lines()), _ends(findings))


def _class_columns(
    scores: ClassScores | None, classes: npt.NDArray[np.intp]
) -> Sequence[Sequence[float | None]]:
    """Values, lower and upper ends of classes."""
    nothing = [None] * len(classes)
    if scores is None:
        return (nothing, nothing, nothing)
    values = scores.values[classes].tolist()
    if not len(scores.resampled):
        return (values, nothing, nothing)
    return (values, *percentile_intervals(scores.resampled[:, classes]).tolist())


def _ends(findings: Findings) -> dict[str, Sequence[str]]:
    """What each model's lines were measured with."""
    return {run.label: measured_with(findings, run)[""] for run in findings.runs}


def flow_file(findings: Findings, found: Sequence[Flows]) -> DataFile:
    """One line per model, corruption and flow between two classes, the largest first.

    Args:
        findings: The models.
        found: The flows of each, see `flows`.
    """

    def lines() -> Iterator[Line]:
        for run, by_corruption in zip(findings.runs, found, strict=True):
            names = [plain(name) for name in run.provenance.classes]
            for several in by_corruption.values():
                for flow in several:
                    yield (run.label, flow.cell.corruption, flow.cell.severity, names[flow.truth],
                           names[flow.prediction], flow.share, flow.clean_share,
                           flow.count)  # fmt: skip

    header = ("model", "corruption", "severity", "truth", "prediction", "share_fraction",
              "clean_share_fraction", findings.task.counted)  # fmt: skip
    return DataFile("flows", (*header, *PROVENANCE), tuple(lines()), _ends(findings))


def breaking_file(findings: Findings) -> DataFile:
    """One line per model, corruption, and class; an empty class is the model's own score.

    A severity of `inf` was not reached up to the strongest one that was measured.
    """
    key, protocol = main_key(findings.task), findings.protocol

    def lines(bound: Bound) -> Iterator[Line]:
        for run in findings.runs:
            for name in protocol.corruptions:
                own = points_of(run, protocol, name, bound, findings.task.main)
                if own is not None:
                    ends = (None, None) if own.intervals is None else own.intervals.tolist()
                    point = float(own.replicates[0])
                    yield (run.label, "", name, str(bound), point, *ends, own.strongest,
                           level_at(point, name))  # fmt: skip
                yield from _of_classes(run, bound, class_points(run, protocol, name, bound, key))

    header = (
        "model",
        "class",
        "corruption",
        "bound",
        "severity",
        "low",
        "high",
        "strongest",
        "level",
    )
    made = () if findings.bound is None else tuple(lines(findings.bound))
    return DataFile("breaking_points", (*header, *PROVENANCE), made, _ends(findings))


def _of_classes(run: Run, bound: Bound, points: Points | None) -> Iterator[Line]:
    if points is None:
        return
    intervals = points.intervals
    for index in occurring(run):
        ends = (None, None) if intervals is None else intervals[:, index].tolist()
        point = float(points.replicates[0, index])
        yield (run.label, plain(run.provenance.classes[index]), points.corruption, str(bound),
               point, *ends, points.strongest, level_at(point, points.corruption))  # fmt: skip
