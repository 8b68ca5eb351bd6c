"""Every aggregate of a run, on the data set and on each of its resamples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Literal

from stl_backbones.corruptions.catalog import SEVERITIES, Protocol, get_protocol
from stl_backbones.metrics import (
    IncompleteCellsError,
    Replicates,
    mean_corruption_error,
    mean_over,
    percentile_interval,
    relative_corruption_error,
    retention,
    robust_mean,
    share,
)
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.numbers.format import full_name
from stl_backbones.report.read.cells import Draws
from stl_backbones.report.read.metrics import CellMetric, TaskMetrics
from stl_backbones.report.read.runs import Run
from stl_backbones.report.read.sets import CLEAN_SUFFIX

# Which table it belongs to: the short one of the page's head, or the long one by corruption; what
# is shown in neither is in the CSV file.
Place = Literal["summary", "corruption", "detail"]


@dataclass(frozen=True)
class Aggregate:
    """One number of a run.

    Attributes:
        key: Its name in CSV files and in requirements, for example ``'average'`` or
            ``'ece:fog'``.
        title: Its name in tables.
        place: The table that it belongs to.
        replicates: ``(1 + resamples,)`` values, of the data set and of each resample; ``None``
            if something is missing.
        missing: What was not measured: cells, a set, or what the model does not give.
        unit: That of its metric.
        lower_is_better: As for errors.
        is_absent: Whether it belongs to a set that was not scored, or the model has no such number.
        highest: No fraction of its kind is above it.
    """

    key: str
    title: str
    place: Place
    replicates: Replicates | None
    missing: tuple[str, ...] = ()
    unit: str = "fraction"
    lower_is_better: bool = False
    is_absent: bool = False
    highest: float = 1.0

    @property
    def value(self) -> float | None:
        """The number itself; NaN if nothing was counted."""
        return None if self.replicates is None else float(self.replicates[0])

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval; ``None`` without a value, or without resamples."""
        if self.replicates is None or len(self.replicates) < 2:
            return None
        return percentile_interval(self.replicates[1:])


@dataclass(frozen=True)
class Findings:
    """The runs of one report and all their aggregates.

    Attributes:
        runs: One's own models, at least one.
        protocol: The protocol that they were read for.
        task: Their task.
        draws: The resamples that they were read with.
        paper: Whether the paper's rows stand beside them.
    """

    runs: tuple[Run, ...]
    protocol: Protocol
    task: TaskMetrics
    draws: Draws = field(default_factory=lambda: Draws(resamples=0))
    paper: bool = False

    @cached_property
    def aggregates(self) -> tuple[dict[str, Aggregate], ...]:
        """Of each run: key -> aggregate, in the order of tables."""
        return tuple(_aggregates(run, self.protocol, self.task) for run in self.runs)

    @property
    def swept(self) -> bool:
        """Whether any of the runs has a sweep, and not only sets of other images."""
        return any(run.swept for run in self.runs)

    @property
    def pairs(self) -> Iterator[tuple[Run, dict[str, Aggregate]]]:
        """The runs with their aggregates."""
        return zip(self.runs, self.aggregates, strict=True)


def _aggregates(run: Run, protocol: Protocol, task: TaskMetrics) -> dict[str, Aggregate]:
    main, *others = task.cells
    found = [
        *_of_metric(run, main, protocol, task),
        *_means(run, protocol, task),
        *(_corruption_errors(run, main) if task.has_corruption_error else ()),
        *_of_sets(run, task),
        *(one for metric in others for one in _of_metric(run, metric, protocol, task)),
    ]
    return {aggregate.key: aggregate for aggregate in found}


def cell_aggregate(run: Run, metric: CellMetric, cell: Cell, *, key: str) -> Aggregate:
    """The score of one cell."""
    title, scores = f"{metric.name}, {cell.name}", _scores(run, metric)
    return _make(run, metric, key, title, "detail", lambda: mean_over(scores, [cell]))


def _of_metric(
    run: Run, metric: CellMetric, protocol: Protocol, task: TaskMetrics
) -> Iterator[Aggregate]:
    """Clean, average, retention where it has one, then groups, then corruptions."""
    make, scores = partial(_make, run, metric), _scores(run, metric)
    wording, levels, is_main = task.wording, protocol.severities, metric is task.main
    key = partial(task.key_of, metric)
    group_place: Place = "summary" if is_main else "detail"
    place: Place = "corruption" if is_main else "detail"

    def title(name: str, of_main: str) -> str:
        return of_main if is_main else f"{metric.name}, {name}"

    yield make(key("clean"), title("clean", "Clean"), "summary",
               partial(mean_over, scores, [CLEAN]))  # fmt: skip
    average = f"{wording.average}, mean of {len(protocol.corruptions)} ({protocol.name})"
    yield make(key("average"), title(_inline(wording.average), average), "summary",
               partial(robust_mean, scores, levels))  # fmt: skip
    if metric.has_retention:
        name = title(_inline(wording.retention), wording.retention)
        kept = partial(retention, scores, levels)
        yield replace(make(key("retention"), name, "summary", kept), unit="fraction")
    for group, names in protocol.columns.items():
        name, chosen = full_name(group), {name: levels[name] for name in names}
        yield make(key(group), title(name.lower(), f"Group: {name}"), group_place,
                   partial(robust_mean, scores, chosen))  # fmt: skip
    for corruption in protocol.corruptions:
        name, chosen = full_name(corruption), {corruption: levels[corruption]}
        yield make(key(corruption), title(name.lower(), name), place,
                   partial(robust_mean, scores, chosen))  # fmt: skip


def _inline(name: str) -> str:
    """A heading within a phrase: ``'average'``, but ``'mPC'``."""
    return name.lower() if name.istitle() else name


def _means(run: Run, protocol: Protocol, task: TaskMetrics) -> Iterator[Aggregate]:
    """The means of the task's protocols, each under its own name, and what only they hold."""
    make, scores = partial(_make, run, task.main), _scores(run, task.main)
    others = [get_protocol(name) for name in task.companions]
    for other in others:
        title = f"Mean of {len(other.corruptions)} ({other.name})"
        place: Place = "detail" if other.name == protocol.name else "summary"
        yield make(other.name, title, place, partial(robust_mean, scores, other.severities))
    names = {name for other in others for name in other.corruptions}
    for name in sorted(names - protocol.severities.keys()):
        mean = partial(robust_mean, scores, {name: SEVERITIES})
        yield make(name, full_name(name), "detail", mean)


def _corruption_errors(run: Run, main: CellMetric) -> Iterator[Aggregate]:
    make, scores = partial(_make, run, main), _scores(run, main)
    for error in (
        make("mce", "mCE", "summary", partial(mean_corruption_error, scores)),
        make("relative_mce", "Relative mCE", "summary", partial(relative_corruption_error, scores)),
    ):
        yield replace(error, lower_is_better=True, highest=10.0)


def _of_sets(run: Run, task: TaskMetrics) -> Iterator[Aggregate]:
    """Accuracy on the sets of other images, and its share of that on clean ones."""
    for name, title in task.sets.items():
        clean = f"{name}{CLEAN_SUFFIX}"
        titles = {name: title, clean: f"ImageNet-1K, {title}'s classes"}
        absent = tuple(f"set {key}" for key in titles if key not in run.sets)
        for key, heading in titles.items():
            yield _of_set(run, task.main, key, key, heading, "summary")
            for one in task.cells[1:]:
                title_of = f"{one.name}, {heading}"
                yield _of_set(run, one, key, task.key_of(one, key), title_of, "detail")
        kept = None
        if not absent:
            parts = (run.sets[key].replicates[task.main.key][CLEAN] for key in titles)
            kept = share(*parts)
        yield Aggregate(f"{name}-retention", f"{title}, retention", "summary", kept, absent,
                        is_absent=bool(absent))  # fmt: skip


def _of_set(
    run: Run, metric: CellMetric, image_set: str, key: str, title: str, place: Place
) -> Aggregate:
    """The score of one set."""
    own = run.sets.get(image_set)
    found = None if own is None else own.replicates[metric.key][CLEAN]
    missing = (f"set {image_set}",) if own is None else ()
    return Aggregate(key, title, place, found, missing, metric.unit, metric.lower_is_better,
                     is_absent=own is None)  # fmt: skip


def _scores(run: Run, metric: CellMetric) -> Mapping[Cell, Replicates]:
    return run.replicates.get(metric.key, {})


def _make(
    run: Run,
    metric: CellMetric,
    key: str,
    title: str,
    place: Place,
    compute: Callable[[], Replicates],
) -> Aggregate:
    """Compute it, or tell what is missing."""
    replicates: Replicates | None = None
    missing: tuple[str, ...] = ()
    lacks = bool(metric.needs and run.replicates and metric.key not in run.replicates)
    try:
        replicates = compute()
    except IncompleteCellsError as error:
        missing = (metric.needs,) if lacks else tuple(cell.name for cell in error.missing)
    return Aggregate(key, title, place, replicates, missing, metric.unit, metric.lower_is_better,
                     is_absent=lacks)  # fmt: skip
