"""The robustness sweep of any model: every image in every cell of a protocol."""

from __future__ import annotations

from pathlib import Path

from stl_backbones.engine.distributed import Ranks, start_distributed
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.progress import OnProgress
from stl_backbones.robustness.runner import run_blocks
from stl_backbones.robustness.sources import Source
from stl_backbones.robustness.tasks import get_task


def sweep(
    source: Source,
    *,
    work_dir: str | Path,
    options: SweepOptions,
    launcher: str = "none",
    on_progress: OnProgress | None = None,
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

    Returns:
        ``work_dir``.

    Raises:
        InputError: If model, data, options or folder do not fit together.
        UnknownNameError: If model, protocol or corruption are unknown.
        MissingFileError: If something named is missing.
    """
    start_distributed(launcher)
    ranks = Ranks()
    # The config's `custom_imports` may register the task and the protocol.
    task = ranks.on_each(lambda: get_task(source.task))
    resolved = task.resolved(options)
    subject = ranks.on_each(lambda: source.open(resolved, task))
    for scored in task.open(subject, resolved, ranks):
        run_blocks(scored, Path(work_dir) / scored.place, ranks, on_progress)
    return Path(work_dir)


__all__ = ["sweep"]
