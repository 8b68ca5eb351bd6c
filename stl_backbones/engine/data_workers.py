"""The processes that load data: how many, and what each needs however it was started."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any

import cv2
import torch
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from stl_backbones.engine.distributed import Ranks

_MOST = 16  # workers of one process: more take memory, and rarely feed a network faster


def free_cores(ranks: Ranks) -> int:
    """Cores of each process of this host beside its own, at least 1.

    Launchers may give each process cores of its own, or the same to all.
    """
    host, cores = socket.gethostname(), os.sched_getaffinity(0)
    everyone = ranks.gather((host, cores))
    sharing = [theirs for name, theirs in everyone if name == host and theirs & cores]
    return max(1, min(_MOST, len(cores) // len(sharing) - 1))


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
    if loader.multiprocessing_context is None:
        loader.multiprocessing_context = method
    loader.worker_init_fn = partial(
        _begin, modules=tuple(modules), scope=scope, then=loader.worker_init_fn
    )


def _begin(number: int, *, modules: Sequence[str], scope: str | None, then: Any) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    for module in modules:
        import_module(module)
    if scope:
        init_default_scope(scope)
    if then is not None:
        then(number)


__all__ = ["equip_workers", "free_cores"]
