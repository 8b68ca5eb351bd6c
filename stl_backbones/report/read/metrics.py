"""The numbers of a cell: what a task says for its sweeps to be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
from scipy import sparse

from stl_backbones.errors import InputError
from stl_backbones.metrics import ClassScores, Replicates, weighted_sums
from stl_backbones.records import CellResult, Provenance

DEFAULT_RESAMPLES = 1000

# Of a cell and what stands behind the property's colon: the values in the order of tables, and each
# image's, empty for an image that is in no slice.
ImageProperty = Callable[[CellResult, str], tuple[Sequence[str], Sequence[str]]]
_CLASS_RESAMPLES = 200_000  # classes x resamples: more for each class would not fit many cells
_LEAST_RESAMPLES = 200


def class_resamples(resamples: int, classes: int) -> int:
    """How many of the resamples the scores by class are made of: all, unless classes are many."""
    return min(resamples, max(_LEAST_RESAMPLES, _CLASS_RESAMPLES // max(1, classes)))


@dataclass(frozen=True)
class CellMetric:
    """One number of a cell.

    Attributes:
        key: Name in headers of CSV files and in requirements.
        name: Name in tables.
        definition: One sentence: how it is computed.
        unit: ``'fraction'``, printed as percent, or what it is measured in, ``'nats'`` for example.
        lower_is_better: As for errors.
        has_retention: Whether the share of it that corruptions leave is reported.
        needs: What only some models give, ``'masks'`` for example; the others have no such number.
        sample: The sample that it is made of, where cells of before lack it: of these it is not
            reported. Empty for a number that every cell has.
    """

    key: str
    name: str
    definition: str
    unit: str = "fraction"
    lower_is_better: bool = False
    has_retention: bool = False
    needs: str = ""
    sample: str = ""

    @property
    def shown_unit(self) -> str:
        """The unit in tables: ``'%'`` for fractions."""
        return "%" if self.unit == "fraction" else self.unit

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Which end is the best."""
        return "lower" if self.lower_is_better else "higher"


@dataclass(frozen=True, kw_only=True)
class SumMetric(CellMetric):
    """A number made of sums over images: one definition for the data set and its resamples.

    Attributes:
        terms: Cell -> ``(images, S)``: what each image adds to S sums.
        score_sums: Sums ``(..., S)`` and number of images -> ``(...)`` scores; NaN if nothing
            counted.
        centred: Whether resamples are shifted to have the data's own score as their mean. Needed
            where resampling itself raises a score, as it does the absolute values of ECE.
        fits: Whether a cell has the number; ``None``: see ``sample``.
    """

    terms: Callable[[CellResult], npt.NDArray[np.floating]]
    score_sums: Callable[[npt.NDArray[np.float64], int], npt.NDArray[np.float64]]
    centred: bool = False
    fits: Callable[[CellResult], bool] | None = None


def share_of_sums(sums: npt.NDArray[np.float64], images: int) -> npt.NDArray[np.float64]:
    """The first of two sums as a share of the second; NaN where that is 0."""
    del images
    whole = sums[..., 1]
    found: npt.NDArray[np.float64] = np.full(whole.shape, np.nan)
    np.divide(sums[..., 0], whole, out=found, where=whole > 0)
    return found


def replicate(
    result: CellResult, metrics: Sequence[SumMetric], counts: npt.NDArray[np.float32]
) -> dict[str, Replicates]:
    """Score a cell and its resamples.

    Args:
        result: The cell.
        metrics: Which numbers.
        counts: ``(resamples, images)``.

    Returns:
        Metric key -> ``(1 + resamples,)`` scores, the first of the images as they are.
    """
    sums = sums_of_resamples([one.terms(result) for one in metrics], counts)
    return score_resamples(metrics, sums, len(result.image_ids))


def sums_of_resamples(
    terms: Sequence[npt.NDArray[np.floating]], counts: npt.NDArray[np.float32]
) -> list[npt.NDArray[np.float64]]:
    """Sum terms over the images, and over those of each resample.

    Args:
        terms: Of each metric ``(images, S)``.
        counts: ``(resamples, images)``.

    Returns:
        Of each metric ``(1 + resamples, S)``.
    """
    drawn = weighted_sums(counts, np.concatenate(terms, axis=1))
    parts = np.split(drawn, np.cumsum([part.shape[1] for part in terms])[:-1], axis=1)
    return [
        np.vstack([own.sum(axis=0, dtype=np.float64), part])
        for own, part in zip(terms, parts, strict=True)
    ]


def score_resamples(
    metrics: Sequence[SumMetric], sums: Sequence[npt.NDArray[np.float64]], images: int
) -> dict[str, Replicates]:
    """Scores from `sums_of_resamples`; see `replicate`."""
    found = {}
    for one, own in zip(metrics, sums, strict=True):
        scores = one.score_sums(own, images)
        if one.centred and len(scores) > 1:
            scores[1:] = np.maximum(scores[1:] + scores[0] - scores[1:].mean(), 0)
        found[one.key] = scores
    return found


@dataclass(frozen=True)
class ClassRecord:
    """What a cell says of its classes.

    Attributes:
        scores: Key of a score by class -> the scores, resampled as often as `class_resamples` says.
        truth: ``(classes,)`` how many images, pixels or objects of the ground truth are of it.
        images: ``(classes,)`` on how many images it occurs.
        confusion: ``(classes, classes)`` counts, rows = ground truth, sparse where most are zero;
            ``None`` where predictions have no true class.
    """

    scores: Mapping[str, ClassScores]
    truth: npt.NDArray[np.integer]
    images: npt.NDArray[np.integer]
    confusion: npt.NDArray[np.int64] | sparse.csr_array | None = None


ClassScorer = Callable[[CellResult], ClassRecord]


@dataclass(frozen=True)
class CellScores:
    """What a cell comes to.

    Attributes:
        replicates: Metric key -> ``(1 + resamples,)`` scores, of the data set and of each resample;
            without those that the model does not have.
        classes: The scores by class, where they are made together with the others.
    """

    replicates: Mapping[str, Replicates]
    classes: ClassRecord | None = None


@dataclass(frozen=True)
class Wording:
    """How tables name the mean over corruptions and its share of the clean score."""

    average: str = "Average"
    retention: str = "Retention"
    short_average: str = "Avg"
    short_retention: str = "Ret"

    def of_choice(self) -> Wording:
        """The same of the mean over chosen cells, which is no protocol's."""
        return Wording("Mean of chosen", "Retention of chosen", "Chosen", "Ret chosen")


@dataclass(frozen=True)
class TaskMetrics:
    """The numbers of a task.

    Attributes:
        name: The task's name, as sweeps record it.
        cells: The numbers of a cell; the first is the one that tables and charts show.
        truth: The samples that must be equal in all cells, since resamples pair their images.
        class_scores: Key of a score by class -> its name in tables, the one that charts show first;
            empty where there are none.
        counted: What the ground truth of a class is counted in: images, pixels or objects.
        wording: How its means are called.
        aliases: Other names of aggregates in requirements -> their key.
        companions: Protocols whose means are reported beside the report's own, where their cells
            were measured.
        sets: Sub-folder -> title of the set of other images in it, see `sets`.
        has_corruption_error: Whether mCE is reported.
        resamples: How many a report makes when none are asked for.
        image_samples: Samples of one number an image, which the file of images shows as they are.
        properties: Name -> what cuts the data set into slices by that property of its images.
        class_means: Key of a score by class -> key of the number that it is the mean of, over the
            images whose first sample of ``truth`` is the class.
        image_means: Means of one number in 0..1 an image, NaN for images without any, that only
            sweeps that may stop early are asked for.
        confidence: Clean cell -> ``(images,)`` probability of the true class.
    """

    name: str
    cells: tuple[CellMetric, ...]
    truth: tuple[str, ...] = ()
    class_scores: Mapping[str, str] = field(default_factory=dict)
    counted: str = "images"
    wording: Wording = field(default_factory=Wording)
    aliases: Mapping[str, str] = field(default_factory=dict)
    companions: tuple[str, ...] = ()
    sets: Mapping[str, str] = field(default_factory=dict)
    has_corruption_error: bool = False
    resamples: int = DEFAULT_RESAMPLES
    image_samples: tuple[str, ...] = ()
    properties: Mapping[str, ImageProperty] = field(default_factory=dict)
    class_means: Mapping[str, str] = field(default_factory=dict)
    image_means: tuple[SumMetric, ...] = ()
    confidence: Callable[[CellResult], npt.NDArray[np.float64]] | None = None

    @property
    def main(self) -> CellMetric:
        """The number that tables and charts show."""
        return self.cells[0]

    def score_cell(self, result: CellResult, counts: npt.NDArray[np.float32]) -> CellScores:
        """Score a cell and its resamples; here by numbers that are all `SumMetric`.

        Args:
            result: The cell.
            counts: ``(resamples, images)`` how often each image is drawn.

        Raises:
            ValueError: If the samples are impossible.
        """
        return CellScores(replicate(result, self.sums(result), counts))

    def score_images(self, result: CellResult) -> dict[str, npt.NDArray[np.float64]]:
        """Score each image as if it were the whole data set.

        Returns:
            Metric key -> ``(images,)``; without the metrics that the model does not have.
        """
        return {
            one.key: one.score_sums(one.terms(result).astype(np.float64), 1)
            for one in self.sums(result)
        }

    def sums(self, result: CellResult) -> tuple[SumMetric, ...]:
        """The numbers that are sums over images, of those whose sample the cell has."""
        found = (one for one in self.cells if not one.sample or one.sample in result.samples)
        known = cast("tuple[SumMetric, ...]", tuple(found))
        return tuple(one for one in known if one.fits is None or one.fits(result))

    def images_of(self, result: CellResult, images: npt.NDArray[np.integer]) -> CellResult:
        """A few images of a cell, as if there were no others; here of one row an image.

        Args:
            result: The cell.
            images: Positions, in rising order.
        """
        ids = tuple(result.image_ids[index] for index in images)
        samples = {name: rows[images] for name, rows in result.samples.items()}
        return replace(result, image_ids=ids, samples=samples)

    def image_scores(
        self, result: CellResult, class_index: int | None = None
    ) -> npt.NDArray[np.float64]:
        """How well each image went, by which the worst are found.

        Args:
            result: The cell.
            class_index: Only this class of the images; ``None``: all.

        Returns:
            ``(images,)``, the higher the better, in 0..1 for the tasks here; NaN for images without
            anything to count. Here the main number of each image.

        Raises:
            InputError: If the task has no such scores by class.
        """
        if class_index is not None:
            raise InputError(f"task '{self.name}' has no scores of an image's classes")
        scores = self.score_images(result)[self.main.key]
        return -scores if self.main.lower_is_better else scores

    def class_scorer(self, drawn: npt.NDArray[np.float32]) -> ClassScorer | None:
        """What scores the classes of a store's cells; ``None`` where `score_cell` does, or nothing.

        Args:
            drawn: ``(images, resamples)`` how often each resample has each image.
        """
        del drawn
        return None

    def why_apart(self, record: Provenance) -> str:
        """Why numbers so measured may not stand beside the paper's: a phrase, or nothing."""
        del record
        return ""

    def check_files(self, result: CellResult, folder: Path) -> None:
        """Refuse, by a ValueError, a cell whose files beside it below the folder are another's."""
        del result, folder


TASKS: dict[str, TaskMetrics] = {}  # filled by `stl_backbones.report.tasks.register_task`


def find_task(name: str) -> TaskMetrics:
    """Look a task up; a ValueError names the registered ones."""
    if name not in TASKS:
        raise InputError(
            f"no report for task '{name}'; expected one of {', '.join(TASKS)}; for a task of your "
            "own, name its module with --custom-imports"
        )
    return TASKS[name]
