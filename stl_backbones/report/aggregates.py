"""Every aggregate of a run, on the data set and on each of its resamples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stl_backbones.corruptions.catalog import SEVERITIES, Protocol, get_protocol
from stl_backbones.metrics import (
    IncompleteCellsError,
    Replicates,
    corruption_means,
    mean_corruption_error,
    mean_of,
    mean_over,
    percentile_interval,
    relative_corruption_error,
    retention,
    robust_mean,
    share,
)
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report.runs import Run
from stl_backbones.report.sets import CLEAN_SUFFIX, SET_TITLES
from stl_backbones.report.table import full_name
from stl_backbones.report.task_metrics import CellMetric, TaskMetric, Unit

# Which table it belongs to: the short one of the page's head, or the long one by corruption; what
# is told in neither is in the CSV file.
Place = Literal["summary", "corruption", "detail"]
_Scores = Mapping[Cell, Replicates]


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
        missing: What was not measured: cells, or a set.
        unit: ``'fraction'`` or ``'nats'``.
        lower_is_better: As for errors.
    """

    key: str
    title: str
    place: Place
    replicates: Replicates | None
    missing: tuple[str, ...] = ()
    unit: Unit = "fraction"
    lower_is_better: bool = False

    @property
    def is_absent(self) -> bool:
        """Whether it belongs to a set that was not scored."""
        return any(name.startswith("set ") for name in self.missing)

    @property
    def value(self) -> float | None:
        """The number itself; NaN if nothing was counted."""
        return None if self.replicates is None else float(self.replicates[0])

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval; ``None`` without a value, or without resamples."""
        if self.replicates is None or len(self.replicates) < 2:
            return None
        return percentile_interval(self.replicates[1:])


def aggregates(run: Run, protocol: Protocol, metric: TaskMetric) -> dict[str, Aggregate]:
    """Compute all aggregates of a run: key -> aggregate, in the order of tables."""
    found = [
        *_of_metric(run, metric.cells[0], protocol, prefix=""),
        *_means(run, metric, protocol),
        *(_corruption_errors(run, metric) if metric.companions else ()),
        *_of_sets(run, metric),
    ]
    for one in metric.cells[1:]:
        found += _of_metric(run, one, protocol, prefix=f"{one.key}:")
    return {aggregate.key: aggregate for aggregate in found}


def cell_aggregate(run: Run, metric: CellMetric, cell: Cell, *, key: str) -> Aggregate:
    """The score of one cell."""
    return _make(
        metric,
        key,
        f"{metric.name}, {cell.name}",
        "detail",
        lambda: mean_over(_scores(run, metric), [cell]),
    )


def _of_metric(
    run: Run, metric: CellMetric, protocol: Protocol, *, prefix: str
) -> Iterator[Aggregate]:
    """Clean, average, retention of the main number, then groups, then corruptions."""
    scores, levels = _scores(run, metric), protocol.severities
    title = f"{metric.name}, " if prefix else ""
    average = f"Average, mean of {len(protocol.corruptions)} ({protocol.name})"
    yield _make(
        metric,
        f"{prefix}clean",
        f"{title}clean" if prefix else "Clean",
        "summary",
        lambda: mean_over(scores, [CLEAN]),
    )
    yield _make(
        metric,
        f"{prefix}average",
        f"{title}average" if prefix else average,
        "summary",
        lambda: robust_mean(scores, levels),
    )
    if not prefix:
        yield _make(metric, "retention", "Retention", "summary", lambda: retention(scores, levels))
    for group, names in protocol.columns.items():
        yield _make(
            metric,
            f"{prefix}{group}",
            f"{title}{full_name(group).lower()}" if prefix else f"Group: {full_name(group)}",
            "detail" if prefix else "summary",
            _group_mean(scores, {name: levels[name] for name in names}),
        )
    for name in protocol.corruptions:
        yield _make(
            metric,
            f"{prefix}{name}",
            f"{title}{full_name(name).lower()}" if prefix else full_name(name),
            "detail" if prefix else "corruption",
            _group_mean(scores, {name: levels[name]}),
        )


def _group_mean(scores: _Scores, levels: Mapping[str, Sequence[int]]) -> Callable[[], Replicates]:
    return lambda: mean_of(list(corruption_means(scores, levels).values()))


def _means(run: Run, metric: TaskMetric, protocol: Protocol) -> Iterator[Aggregate]:
    """The means of the task's protocols, each under its own name, and what only they hold."""
    scores = _scores(run, metric.cells[0])
    others = [get_protocol(name) for name in metric.companions]
    for other in others:
        name = other.name
        yield _make(
            metric.cells[0],
            name,
            f"Mean of {len(other.corruptions)} ({name})",
            "detail" if name == protocol.name else "summary",
            _group_mean(scores, other.severities),
        )
    names = dict.fromkeys(name for other in others for name in other.corruptions)
    for name in sorted(names.keys() - protocol.severities.keys()):
        levels = {name: SEVERITIES}
        yield _make(metric.cells[0], name, full_name(name), "detail", _group_mean(scores, levels))


def _corruption_errors(run: Run, metric: TaskMetric) -> Iterator[Aggregate]:
    scores = _scores(run, metric.cells[0])
    yield _make(
        metric.cells[0], "mce", "mCE", "summary", lambda: mean_corruption_error(scores), lower=True
    )
    yield _make(
        metric.cells[0],
        "relative_mce",
        "Relative mCE",
        "summary",
        lambda: relative_corruption_error(scores),
        lower=True,
    )


def _of_sets(run: Run, metric: TaskMetric) -> Iterator[Aggregate]:
    """Accuracy on the sets of other images, and its share of that on clean ones."""
    main = metric.cells[0]
    for name in metric.sets:
        title = SET_TITLES[name]
        own, clean = run.sets.get(name), run.sets.get(f"{name}{CLEAN_SUFFIX}")
        values = {
            name: None if own is None else own.replicates,
            f"{name}{CLEAN_SUFFIX}": None if clean is None else clean.replicates,
        }
        titles = (title, f"ImageNet-1K, {title}'s classes")
        for (key, replicates), heading in zip(values.items(), titles, strict=True):
            for one in metric.cells:
                yield Aggregate(
                    key if one is main else f"{one.key}:{key}",
                    heading if one is main else f"{one.name}, {heading}",
                    "summary" if one is main else "detail",
                    None if replicates is None else replicates[one.key],
                    () if replicates is not None else (f"set {key}",),
                    one.unit,
                    one.lower_is_better,
                )
        absent = tuple(f"set {key}" for key, found in values.items() if found is None)
        yield Aggregate(
            f"{name}-retention",
            f"{title}, retention",
            "summary",
            share(own.replicates[main.key], clean.replicates[main.key])
            if own is not None and clean is not None
            else None,
            absent,
        )


def _scores(run: Run, metric: CellMetric) -> _Scores:
    return run.replicates.get(metric.key, {})


def _make(
    metric: CellMetric,
    key: str,
    title: str,
    place: Place,
    compute: Callable[[], Replicates],
    *,
    lower: bool = False,
) -> Aggregate:
    """Compute it, or tell what is missing."""
    replicates: Replicates | None = None
    missing: tuple[str, ...] = ()
    try:
        replicates = compute()
    except IncompleteCellsError as error:
        missing = tuple(cell.name for cell in error.missing)
    return Aggregate(
        key, title, place, replicates, missing, metric.unit, lower or metric.lower_is_better
    )
