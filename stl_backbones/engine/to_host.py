"""Tensors on their way from the model's device to main memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

Arrays = dict[str, npt.NDArray[Any]]


def to_host(tensors: Mapping[str, Tensor]) -> Callable[[], Arrays]:
    """Begin to copy tensors to main memory; a GPU does so while it works on.

    Args:
        tensors: Name -> tensor, of any device; they may be changed afterwards.

    Returns:
        A function that waits for the copies, and returns them by name; any thread may call it.
    """
    # Only CUDA orders such a copy behind its own work, into memory that is pinned for it.
    copies = {
        name: tensor.detach().to("cpu", non_blocking=tensor.is_cuda, copy=True)
        for name, tensor in tensors.items()
    }
    events = []
    for device in {tensor.device for tensor in tensors.values() if tensor.is_cuda}:
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(device))
        events.append(event)

    def arrived() -> Arrays:
        for event in events:
            event.synchronize()
        return {name: tensor.numpy() for name, tensor in copies.items()}

    return arrived


__all__ = ["Arrays", "to_host"]
