"""Every aggregate of a run, on the data set and on each of its resamples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Literal

from stl_backbones.corruptions.catalog import SEVERITIES
from stl_backbones.corruptions.protocols import Protocol, get_protocol
from stl_backbones.errors import UnknownNameError
from stl_backbones.metrics import (
    IncompleteCellsError,
    Replicates,
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
from stl_backbones.report.numbers.breaking import Bound
from stl_backbones.report.numbers.format import full_name
from stl_backbones.report.numbers.keys import CLEAN_KEY, Key, average_key, retention_key
from stl_backbones.report.read.cells import Draws
from stl_backbones.report.read.metrics import CellMetric, TaskMetrics
from stl_backbones.report.read.runs import Run
from stl_backbones.report.read.sets import SHAPE_BIAS, own_clean
from stl_backbones.report.read.text import listed
from stl_backbones.shift_sets import COCO_O, DOMAINS, SHIFT_SETS, SLOPE

# Which table it belongs to: the short one of the page's head, or the long one by corruption; what
# is shown in neither is in the CSV file.
NO_RATIO = (
    "AlexNet's errors are of ImageNet-1K's validation images and classes, and these are others"
)
_LISTED = ("imagenet-a", "imagenet-r")  # of Table 3: said to be missing where they are
Place = Literal["summary", "corruption", "detail"]


@dataclass(frozen=True)
class Aggregate:
    """One number of a run.

    Attributes:
        key: What it is of.
        title: Its name in tables.
        place: The table that it belongs to.
        replicates: ``(1 + resamples,)`` values, of the data set and of each resample; ``None``
            if something is missing.
        missing: What was not measured: cells, a set, or what the model does not give.
        unit: That of its metric.
        lower_is_better: As for errors.
        is_absent: Whether it belongs to a set that was not scored, or the model has no such number.
        highest: No fraction of its kind is above it.
        make_interval: Resamples -> ends of the interval.
    """

    key: Key
    title: str
    place: Place
    replicates: Replicates | None
    missing: tuple[str, ...] = ()
    unit: str = "fraction"
    lower_is_better: bool = False
    is_absent: bool = False
    highest: float = 1.0
    make_interval: Callable[[Replicates], tuple[float, float]] = percentile_interval

    @property
    def value(self) -> float | None:
        """The number itself; NaN if nothing was counted."""
        return None if self.replicates is None else float(self.replicates[0])

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval; ``None`` without a value, or without resamples."""
        if self.replicates is None or len(self.replicates) < 2:
            return None
        return self.make_interval(self.replicates[1:])


class Aggregates(Mapping[str, Aggregate]):
    """The aggregates of a run by name, in the order of tables.

    Args:
        found: They.
        task: Their task.
    """

    def __init__(self, found: Iterable[Aggregate], task: TaskMetrics) -> None:
        self._by_text = {one.key.text: one for one in found}
        self._spelled: dict[str, list[Aggregate]] = {}
        for one in self._by_text.values():
            for text in one.key.spellings(task):
                self._spelled.setdefault(text, []).append(one)

    def __getitem__(self, name: str) -> Aggregate:
        """Look one up by its own name, or by any other that means it alone.

        Raises:
            KeyError: If none has the name, or several have it; they are named.
        """
        found = [self._by_text[name]] if name in self._by_text else self._spelled.get(name, [])
        if len(found) == 1:
            return found[0]
        if not found:
            raise KeyError(name)
        keys = " or ".join(f"'{one.key.text}'" for one in found)
        raise UnknownNameError(f"'{name}' has {len(found)} meanings; write {keys}")

    def __contains__(self, name: object) -> bool:
        return name in self._spelled

    def __iter__(self) -> Iterator[str]:
        """Each one's name in CSV files: the short one, if that means it alone."""
        for text, one in self._by_text.items():
            short = one.key.short
            yield short if self._spelled[short] == [one] else text

    def __len__(self) -> int:
        return len(self._by_text)


@dataclass(frozen=True)
class Findings:
    """The runs of one report and all their aggregates.

    Attributes:
        runs: One's own models, at least one.
        protocol: The protocol that they were read for.
        task: Their task.
        draws: The resamples that they were read with.
        paper: Whether the paper's rows stand beside them.
        means: Name -> corruptions of the protocol: means that were asked for.
        bound: The score below which a model is broken; ``None`` where breaking points are not
            asked for.
        published: Whose published numbers are shown too.
    """

    runs: tuple[Run, ...]
    protocol: Protocol
    task: TaskMetrics
    draws: Draws = field(default_factory=lambda: Draws(resamples=0))
    paper: bool = False
    means: Mapping[str, Sequence[str]] = field(default_factory=dict)
    bound: Bound | None = None
    published: Sequence[str] = ()

    def __post_init__(self) -> None:
        """A mean over chosen cells is called so, and not by the names of a protocol's."""
        if self.protocol.part_of:
            own = replace(self.task, wording=self.task.wording.of_choice(), aliases={})
            object.__setattr__(self, "task", own)

    @cached_property
    def aggregates(self) -> tuple[Aggregates, ...]:
        """Of each run."""
        return tuple(_aggregates(run, self) for run in self.runs)

    @property
    def swept(self) -> bool:
        """Whether any of the runs has a sweep, and not only sets of other images."""
        return any(run.swept for run in self.runs)

    @property
    def pairs(self) -> Iterator[tuple[Run, Aggregates]]:
        """The runs with their aggregates."""
        return zip(self.runs, self.aggregates, strict=True)


def _aggregates(run: Run, findings: Findings) -> Aggregates:
    task = findings.task
    main, *others = task.cells
    found = [
        *_of_metric(run, main, findings),
        *_means(run, findings),
        *(_corruption_errors(run, main) if task.has_corruption_error else ()),
        *_of_sets(run, findings),
        *_of_domains(run, task),
        *(one for metric in others for one in _of_metric(run, metric, findings)),
    ]
    return Aggregates(found, task)


def cell_aggregate(run: Run, metric: CellMetric, cell: Cell) -> Aggregate:
    """The score of one cell."""
    title, scores = f"{metric.name}, {cell.name}", _scores(run, metric)
    key = Key("cell", cell.name, metric.key)
    return _make(run, metric, key, title, "detail", lambda: mean_over(scores, [cell]))


def _of_metric(run: Run, metric: CellMetric, findings: Findings) -> Iterator[Aggregate]:
    """Clean, average, retention where it has one, then groups, then corruptions."""
    task, protocol = findings.task, findings.protocol
    scores, levels, wording = _scores(run, metric), protocol.severities, task.wording
    is_main = metric is task.main
    group_place: Place = "summary" if is_main else "detail"
    place: Place = "corruption" if is_main else "detail"

    def make(
        key: Key, inline: str, of_main: str, place: Place, compute: Callable[[], Replicates]
    ) -> Aggregate:
        title = of_main if is_main else f"{metric.name}, {inline}"
        return _make(run, metric, key.of(task, metric), title, place, compute)

    def mean_of(names: Sequence[str]) -> Callable[[], Replicates]:
        return partial(robust_mean, scores, {name: levels[name] for name in names})

    yield make(CLEAN_KEY, "clean", "Clean", "summary", partial(mean_over, scores, [CLEAN]))
    average = f"{wording.average}, mean of {len(protocol.corruptions)} ({protocol.name})"
    if protocol.part_of:
        average = f"{wording.average} ({len(protocol.corruptions)} corruptions)"
    if protocol.corruptions:
        yield make(average_key(protocol), _inline(wording.average), average, "summary",
                   mean_of(protocol.corruptions))  # fmt: skip
    if metric.has_retention and protocol.corruptions:
        kept = partial(retention, scores, levels)
        one = make(retention_key(protocol), _inline(wording.retention), wording.retention,
                   "summary", kept)  # fmt: skip
        yield replace(one, unit="fraction")
    for name, names in findings.means.items():
        title = f"Mean {name}, of {len(names)} ({listed(names, limit=4)})"
        yield make(Key("mean", name), title, title, group_place, mean_of(names))
    for group, names in protocol.columns.items():
        name = full_name(group)
        yield make(Key("group", group), name.lower(), f"Group: {name}", group_place,
                   mean_of(names))  # fmt: skip
    for corruption in protocol.corruptions:
        name = full_name(corruption)
        yield make(Key("corruption", corruption), name.lower(), name, place,
                   mean_of([corruption]))  # fmt: skip


def _inline(name: str) -> str:
    """A heading within a phrase: ``'average'``, but ``'mPC'``."""
    return name.lower() if name.istitle() else name


def _means(run: Run, findings: Findings) -> Iterator[Aggregate]:
    """The means of the task's protocols, each under its own name, and what only they hold.

    One of which no model has all cells, beside another protocol or a choice of cells, is a detail.
    """
    protocol, task = findings.protocol, findings.task
    make, scores = partial(_make, run, task.main), _scores(run, task.main)
    others = [get_protocol(name) for name in task.companions]
    others = [other for other in others if other.strengths == protocol.strengths]
    for other in others:
        title = f"Mean of {len(other.corruptions)} ({other.name})"
        is_whole = any(not one.missing(other) for one in findings.runs)
        is_shown = other.name != protocol.name and (is_whole or protocol.name in task.companions)
        place: Place = "summary" if is_shown else "detail"
        yield make(
            Key("mean", other.name), title, place, partial(robust_mean, scores, other.severities)
        )
    names = {name for other in others for name in other.corruptions}
    for name in sorted(names - protocol.severities.keys()):
        mean = partial(robust_mean, scores, {name: SEVERITIES})
        yield make(Key("corruption", name), full_name(name), "detail", mean)


def _corruption_errors(run: Run, main: CellMetric) -> Iterator[Aggregate]:
    make, scores = partial(_make, run, main), _scores(run, main)
    for error in (
        make(Key("mce"), "mCE", "summary", partial(mean_corruption_error, scores)),
        make(
            Key("relative_mce"), "Relative mCE", "summary",
            partial(relative_corruption_error, scores),
        ),
    ):  # fmt: skip
        known = replace(error, lower_is_better=True, highest=10.0)
        if run.provenance.imagenet_val:
            yield known
        else:
            yield replace(known, replicates=None, missing=(NO_RATIO,), is_absent=True)


def _of_sets(run: Run, findings: Findings) -> Iterator[Aggregate]:
    """The number on the sets of other images, and its share of that on clean ones."""
    task = findings.task
    measured = {name for one in findings.runs for name in (*one.sets, *one.unfinished)}
    for name, title in task.sets.items():
        clean, known = own_clean(name, run.sets), SHIFT_SETS.get(name)
        if known is not None and name not in _LISTED and not {name, clean} & measured:
            continue
        partner = f"ImageNet-1K, {title}'s classes"
        if known is not None and known.clean_title:
            partner = known.clean_title
        titles = {name: title, **({clean: partner} if clean else {})}
        absent = tuple(f"set {key}" for key in titles if key not in run.sets)
        for key, heading in titles.items():
            yield _of_set(run, task.main, Key("set", key), heading, "summary")
            for one in task.cells[1:]:
                own = Key("set", key).of(task, one)
                yield _of_set(run, one, own, f"{one.name}, {heading}", "detail")
        if not clean and CLEAN not in _scores(run, task.main):
            absent = (*absent, CLEAN.name)
        kept = None
        if not absent:
            whole = run.sets[clean].replicates[task.main.key] if clean else _scores(run, task.main)
            kept = share(run.sets[name].replicates[task.main.key][CLEAN], whole[CLEAN])
        yield Aggregate(Key("set-retention", name), f"{title}, retention", "summary", kept,
                        absent, is_absent=bool(absent))  # fmt: skip
        if name in run.sets and SHAPE_BIAS in run.sets[name].replicates:
            found = run.sets[name].replicates[SHAPE_BIAS][CLEAN]
            yield Aggregate(Key("shape_bias"), "Shape bias", "summary", found)


def _of_domains(run: Run, task: TaskMetrics) -> Iterator[Aggregate]:
    """The mean of COCO-O's domains, never AP of the pooled images, and effective robustness."""
    there = [name for name in DOMAINS if name in run.sets]
    if not there:
        return
    lacking = tuple(f"set {name}" for name in DOMAINS if name not in run.sets)
    scores = [run.sets[name].replicates[task.main.key][CLEAN] for name in there]
    mean = None if lacking else mean_of(scores)
    clean = _scores(run, task.main).get(CLEAN)
    title = f"COCO-O, mean of {len(DOMAINS)} domains"
    yield Aggregate(Key("set", COCO_O), title, "summary", mean, lacking)
    lacking = lacking if clean is not None else (*lacking, CLEAN.name)
    kept = None if mean is None or clean is None else share(mean, clean)
    yield Aggregate(Key("set-retention", COCO_O), "COCO-O, retention", "summary", kept, lacking)
    above = None if mean is None or clean is None else mean - SLOPE * clean
    title = f"Effective robustness (COCO-O - {SLOPE} x clean)"
    yield Aggregate(Key("effective_robustness"), title, "summary", above, lacking)


def _of_set(run: Run, metric: CellMetric, key: Key, title: str, place: Place) -> Aggregate:
    """The score of one set."""
    own = run.sets.get(key.name)
    found = None if own is None else own.replicates.get(metric.key, {}).get(CLEAN)
    missing = (f"set {key.name}",) if own is None else ()
    return Aggregate(key, title, place, found, missing, metric.unit, metric.lower_is_better,
                     is_absent=own is None)  # fmt: skip


def _scores(run: Run, metric: CellMetric) -> Mapping[Cell, Replicates]:
    return run.replicates.get(metric.key, {})


def _make(
    run: Run,
    metric: CellMetric,
    key: Key,
    title: str,
    place: Place,
    compute: Callable[[], Replicates],
) -> Aggregate:
    """Compute it, or name what is missing."""
    replicates: Replicates | None = None
    missing: tuple[str, ...] = ()
    lacks = bool(metric.needs and run.replicates and metric.key not in run.replicates)
    try:
        replicates = compute()
    except IncompleteCellsError as error:
        missing = (metric.needs,) if lacks else tuple(cell.name for cell in error.missing)
    return Aggregate(key, title, place, replicates, missing, metric.unit, metric.lower_is_better,
                     is_absent=lacks)  # fmt: skip
