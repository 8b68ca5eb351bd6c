"""The robustness sweep of any model: every image in every cell of a protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stl_backbones.engine.distributed import Ranks, start_distributed
from stl_backbones.engine.precision import repeatable_scoring
from stl_backbones.packages import require
from stl_backbones.records import CLEAN
from stl_backbones.results.conditions import write_conditions
from stl_backbones.robustness.dry_run import SweepEstimate, estimate_set
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.source import PredictedSource
from stl_backbones.robustness.progress import OnProgress
from stl_backbones.robustness.runner import run_blocks
from stl_backbones.robustness.sources import Source
from stl_backbones.robustness.stopping.judge import Outcome
from stl_backbones.robustness.stopping.plan import check_targets
from stl_backbones.robustness.stopping.run import begun_sampling, run_until
from stl_backbones.robustness.stopping.targets import check_stopping
from stl_backbones.robustness.tasks import ScoredSet, get_task
from stl_backbones.run_log import add_sink, is_collecting, record


def sweep(
    source: Source | PredictedSource,
    *,
    work_dir: str | Path,
    options: SweepOptions,
    launcher: str = "none",
    on_progress: OnProgress | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    vis_backends: Sequence[Any] | None = None,
) -> Path:
    """Score a model on every cell of a protocol.

    Finished blocks of images are kept in ``work_dir``; the same call goes on where a killed one
    stopped, and ends with the same files.

    Args:
        source: The model, and what says on which data.
        work_dir: The sweep's folder.
        options: What to sweep.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        on_progress: Called on the main process when images are finished.
        on_outcome: Called on every process with what a sweep with ``options.until`` came to.
        vis_backends: Of mmengine, see `stl_backbones.robustness.vis_backends.open_sink`; default:
            what a config names. The numbers go where the run's log goes.

    Returns:
        ``work_dir``.

    Raises:
        InputError: If model, data, options or folder do not fit together.
        UnknownNameError: If model, protocol or corruption are unknown.
        MissingFileError: If something named is missing.
    """
    place, is_first = Path(work_dir), True
    for scored, ranks in open_sets(source, options, launcher):
        folder = place / scored.place
        if is_first:
            config = getattr(source, "config", None)
            ranks.on_main(partial(_add_vis_backends, vis_backends, place, config))
            is_first = False
        is_drawn = set(scored.cells) != {CLEAN} and (
            bool(options.until) or ranks.on_main(partial(begun_sampling, folder))
        )
        if not is_drawn:
            run_blocks(scored, folder, ranks, on_progress)
            ranks.on_main(partial(write_conditions, folder, scored.keys, scored.conditions))
            continue
        outcome = run_until(scored, folder, ranks, on_progress)
        if outcome is not None and ranks.is_main:
            record("verdict", verdict=outcome.verdict, images=outcome.images)
        if outcome is not None and on_outcome is not None:
            on_outcome(outcome)
    return place


def _add_vis_backends(backends: Sequence[Any] | None, place: Path, config: Any) -> None:
    """Hand the numbers of the current run's log to mmengine's visualizer too."""
    if not is_collecting() or (backends is None and config is None):
        return
    require("vis_backends", "mmengine")
    from stl_backbones.robustness.vis_backends import open_sink

    sink = open_sink(backends, place, config=config)
    if sink is not None:
        add_sink(sink)


def estimate_sweep(
    source: Source | PredictedSource,
    *,
    work_dir: str | Path,
    options: SweepOptions,
    launcher: str = "none",
) -> list[SweepEstimate]:
    """Say what a sweep would take, after scoring a few images; nothing is written.

    Args:
        source: The model, and what says on which data.
        work_dir: The sweep's folder; what is finished there counts as done.
        options: What to sweep.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Returns:
        One estimate per data set.

    Raises:
        InputError: If model, data and options do not fit together.
        UnknownNameError: If model, protocol or corruption are unknown.
        MissingFileError: If something named is missing.
    """
    place, found = Path(work_dir), []
    for scored, ranks in open_sets(source, options, launcher):
        if options.until and set(scored.cells) != {CLEAN}:
            ranks.on_main(partial(check_targets, scored))
        found.append(estimate_set(scored, place / scored.place, ranks))
    return found


def open_sets(
    source: Source | PredictedSource, options: SweepOptions, launcher: str
) -> Iterator[tuple[ScoredSet, Ranks]]:
    """Join the job, and open model and data sets."""
    check_stopping(options)
    start_distributed(launcher)
    ranks = Ranks()
    if isinstance(source, PredictedSource):
        for scored in source.open_sets(options, ranks):
            yield scored, ranks
        return
    # The config's `custom_imports` may register the task and the protocol.
    task = ranks.on_each(lambda: get_task(source.task))
    resolved = ranks.on_each(lambda: task.resolved(options))
    with repeatable_scoring(tf32=resolved.tf32):
        subject = ranks.on_each(lambda: source.open(resolved, task))
        for scored in task.open(subject, resolved, ranks):
            yield scored, ranks


__all__ = ["estimate_sweep", "open_sets", "sweep"]
