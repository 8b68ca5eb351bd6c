"""What describes the numbers of a task; which ones there are is in `task_metrics`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from stl_backbones.metrics import Replicates
from stl_backbones.records import CellResult

DEFAULT_RESAMPLES = 1000

ClassScores = npt.NDArray[np.float64]
Unit = Literal["fraction", "nats"]


@dataclass(frozen=True)
class CellMetric:
    """One number of a cell.

    Attributes:
        key: Name in headers of CSV files and in requirements.
        name: Name in tables.
        definition: One sentence: how it is computed.
        unit: ``'fraction'``, printed as percent, or ``'nats'``.
        lower_is_better: As for errors.
        has_retention: Whether the share of it that corruptions leave is told.
        needs: What only some models give, ``'masks'`` for example; the others have no such number.
    """

    key: str
    name: str
    definition: str
    unit: Unit = "fraction"
    lower_is_better: bool = False
    has_retention: bool = False
    needs: str = ""


@dataclass(frozen=True)
class CellScores:
    """What a cell comes to.

    Attributes:
        replicates: Metric key -> ``(1 + resamples,)`` scores, of the data set and of each resample;
            without those that the model does not have.
        class_scores: ``(classes,)`` fractions, NaN for classes that do not occur in the ground
            truth; ``None`` where the task has no scores by class.
    """

    replicates: Mapping[str, Replicates]
    class_scores: ClassScores | None = None


# A cell, and `(resamples, images)` how often each image is drawn.
ScoreCell = Callable[[CellResult, npt.NDArray[np.float32]], CellScores]


@dataclass(frozen=True)
class Wording:
    """How tables name the means of a task.

    Attributes:
        average: Mean over severities per corruption, then over corruptions.
        retention: That average divided by the clean score.
        short_average: In narrow columns.
        short_retention: In narrow columns.
    """

    average: str = "Average"
    retention: str = "Retention"
    short_average: str = "Avg"
    short_retention: str = "Ret"


def _no_files(result: CellResult, folder: Path) -> None:
    """Most tasks have no files beside their cells."""
    del result, folder


@dataclass(frozen=True)
class TaskMetric:
    """The numbers of a task.

    Attributes:
        cells: The numbers of a cell; the first is the one that tables and charts show.
        score_cell: Computes all of them, of a cell and of its resamples.
        check_files: Refuses a cell whose files beside it, below the folder, are not its own.
        truth: The samples that must be equal in all cells, since resamples pair their images.
        class_score: What scores by class are called; empty where there are none.
        wording: How its means are called.
        aliases: Other names of aggregates in requirements -> their key.
        companions: Protocols whose means are told beside the report's own, where their cells
            were measured.
        sets: Sub-folders with sets of other images, see `stl_backbones.report.sets`.
        has_corruption_error: Whether mCE is told.
        resamples: How many a report makes when none are asked for.
    """

    cells: tuple[CellMetric, ...]
    score_cell: ScoreCell
    check_files: Callable[[CellResult, Path], None] = _no_files
    truth: tuple[str, ...] = ()
    class_score: str = ""
    wording: Wording = field(default_factory=Wording)
    aliases: Mapping[str, str] = field(default_factory=dict)
    companions: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    has_corruption_error: bool = False
    resamples: int = DEFAULT_RESAMPLES

    @property
    def name(self) -> str:
        """Name of the number that tables show."""
        return self.cells[0].name

    @property
    def key(self) -> str:
        """Its name in headers of CSV files."""
        return self.cells[0].key

    @property
    def definition(self) -> str:
        """How it is computed."""
        return self.cells[0].definition

    def scores(self, result: CellResult) -> CellScores:
        """The numbers of a cell, without resamples."""
        return self.score_cell(result, np.empty((0, len(result.image_ids)), np.float32))

    def score(self, result: CellResult) -> float:
        """The number that tables show; NaN if nothing was counted."""
        return float(self.scores(result).replicates[self.key][0])
