"""What the processes that load a config's data need, however they were started."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any

from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from stl_backbones.datasets.loading import begin_worker, worker_context


def equip_workers(
    loader: DataLoader, *, modules: Sequence[str], scope: str | None, method: str
) -> None:
    """Have a loader's workers know a config's modules, and leave threads to the other workers.

    A forked worker has the modules and OpenCV's settings of its parent; one that is spawned, none.

    Args:
        loader: The loader, not iterated yet.
        modules: ``custom_imports`` of the config.
        scope: Its ``default_scope``.
        method: How workers are started, unless the loader itself says so.
    """
    if not loader.num_workers:
        return
    stated = loader.multiprocessing_context
    loader.multiprocessing_context = worker_context(
        method if stated is None else stated.get_start_method()
    )
    loader.worker_init_fn = partial(
        _begin, modules=tuple(modules), scope=scope, then=loader.worker_init_fn
    )


def _begin(number: int, *, modules: Sequence[str], scope: str | None, then: Any) -> None:
    begin_worker(number)
    for module in modules:
        import_module(module)
    if scope:
        init_default_scope(scope)
    if then is not None:
        then(number)


__all__ = ["equip_workers"]
