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
from stl_backbones.report.cell_metrics import CellMetric, TaskMetric, Unit, Wording
from stl_backbones.report.runs import Run
from stl_backbones.report.sets import CLEAN_SUFFIX, SET_TITLES
from stl_backbones.report.table import full_name

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
        missing: What was not measured: cells, a set, or what the model does not give.
        unit: ``'fraction'`` or ``'nats'``.
        lower_is_better: As for errors.
        is_absent: Whether it belongs to a set that was not scored, or the model has no such number.
    """

    key: str
    title: str
    place: Place
    replicates: Replicates | None
    missing: tuple[str, ...] = ()
    unit: Unit = "fraction"
    lower_is_better: bool = False
    is_absent: bool = False

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
        *_of_main(run, metric, protocol),
        *_means(run, metric, protocol),
        *(_corruption_errors(run, metric) if metric.has_corruption_error else ()),
        *_of_sets(run, metric),
    ]
    for one in metric.cells[1:]:
        found += _of_other(run, one, protocol, metric.wording)
    return {aggregate.key: aggregate for aggregate in found}


def cell_aggregate(run: Run, metric: CellMetric, cell: Cell, *, key: str) -> Aggregate:
    """The score of one cell."""
    title, scores = f"{metric.name}, {cell.name}", _scores(run, metric)
    return _make(run, metric, key, title, "detail", lambda: mean_over(scores, [cell]))


def _of_main(run: Run, metric: TaskMetric, protocol: Protocol) -> Iterator[Aggregate]:
    """Clean, average, retention of the main number, then groups, then corruptions."""
    main, wording, levels = metric.cells[0], metric.wording, protocol.severities
    average = f"{wording.average}, mean of {len(protocol.corruptions)} ({protocol.name})"
    yield from _overall(run, main, protocol, ("Clean", average, wording.retention))
    scores = _scores(run, main)
    for group, names in protocol.columns.items():
        mean = _group_mean(scores, {name: levels[name] for name in names})
        yield _make(run, main, group, f"Group: {full_name(group)}", "summary", mean)
    for name in protocol.corruptions:
        mean = _group_mean(scores, {name: levels[name]})
        yield _make(run, main, name, full_name(name), "corruption", mean)


def _of_other(
    run: Run, metric: CellMetric, protocol: Protocol, wording: Wording
) -> Iterator[Aggregate]:
    """The same of another number."""
    prefix, levels, scores = f"{metric.key}:", protocol.severities, _scores(run, metric)
    names = ("clean", *map(_inline, (wording.average, wording.retention)))
    titles = tuple(f"{metric.name}, {name}" for name in names)
    yield from _overall(run, metric, protocol, titles, prefix=prefix)
    places = {
        **{group: {name: levels[name] for name in names}
           for group, names in protocol.columns.items()},
        **{name: {name: levels[name]} for name in protocol.corruptions},
    }  # fmt: skip
    for place, chosen in places.items():
        title = f"{metric.name}, {full_name(place).lower()}"
        yield _make(run, metric, f"{prefix}{place}", title, "detail", _group_mean(scores, chosen))


def _overall(
    run: Run, metric: CellMetric, protocol: Protocol, titles: Sequence[str], prefix: str = ""
) -> Iterator[Aggregate]:
    """Clean, average, and retention where the number has one."""
    scores, levels = _scores(run, metric), protocol.severities
    computed: dict[str, Callable[[], Replicates]] = {
        "clean": lambda: mean_over(scores, [CLEAN]),
        "average": lambda: robust_mean(scores, levels),
        "retention": lambda: retention(scores, levels),
    }
    for (key, compute), title in zip(computed.items(), titles, strict=True):
        if key != "retention" or metric.has_retention:
            yield _make(run, metric, f"{prefix}{key}", title, "summary", compute)


def _inline(name: str) -> str:
    """A heading within a phrase: ``'average'``, but ``'mPC'``."""
    return name.lower() if name.istitle() else name


def _group_mean(scores: _Scores, levels: Mapping[str, Sequence[int]]) -> Callable[[], Replicates]:
    return lambda: mean_of(list(corruption_means(scores, levels).values()))


def _means(run: Run, metric: TaskMetric, protocol: Protocol) -> Iterator[Aggregate]:
    """The means of the task's protocols, each under its own name, and what only they hold."""
    scores = _scores(run, metric.cells[0])
    others = [get_protocol(name) for name in metric.companions]
    for other in others:
        name = other.name
        yield _make(
            run,
            metric.cells[0],
            name,
            f"Mean of {len(other.corruptions)} ({name})",
            "detail" if name == protocol.name else "summary",
            _group_mean(scores, other.severities),
        )
    names = dict.fromkeys(name for other in others for name in other.corruptions)
    for name in sorted(names.keys() - protocol.severities.keys()):
        levels = {name: SEVERITIES}
        mean = _group_mean(scores, levels)
        yield _make(run, metric.cells[0], name, full_name(name), "detail", mean)


def _corruption_errors(run: Run, metric: TaskMetric) -> Iterator[Aggregate]:
    main = metric.cells[0]
    scores = _scores(run, main)
    errors: dict[str, tuple[str, Callable[[], Replicates]]] = {
        "mce": ("mCE", lambda: mean_corruption_error(scores)),
        "relative_mce": ("Relative mCE", lambda: relative_corruption_error(scores)),
    }
    for key, (title, compute) in errors.items():
        yield _make(run, main, key, title, "summary", compute, lower=True)


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
                    is_absent=replicates is None,
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
            is_absent=bool(absent),
        )


def _scores(run: Run, metric: CellMetric) -> _Scores:
    return run.replicates.get(metric.key, {})


def _make(
    run: Run,
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
    lacks = bool(metric.needs and run.replicates and metric.key not in run.replicates)
    try:
        replicates = compute()
    except IncompleteCellsError as error:
        missing = (metric.needs,) if lacks else tuple(cell.name for cell in error.missing)
    return Aggregate(
        key,
        title,
        place,
        replicates,
        missing,
        metric.unit,
        lower or metric.lower_is_better,
        is_absent=lacks,
    )
