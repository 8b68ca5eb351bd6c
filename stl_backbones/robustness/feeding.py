"""From the loader's memory to the model's device: all that a GPU needs and a CPU does not."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

Put = Callable[[Tensor], Tensor]
_IN_USE = 2  # items that the model works on at a time, at most: one, and one that waits for it
_END = object()


def putting_on(device: torch.device) -> Put:
    """How a tensor of the loader's comes to a device: through pinned memory, waiting for nothing.

    On a CPU it stays what it is.
    """
    if device.type == "cpu":
        return _as_it_is
    return lambda tensor: (
        tensor.pin_memory().to(device, non_blocking=True) if tensor.device.type == "cpu" else tensor
    )


def map_tensors(item: Any, put: Put) -> Any:
    """A tensor, or lists, tuples and dicts of such, with every tensor put elsewhere."""
    if isinstance(item, Tensor):
        return put(item)
    if isinstance(item, list | tuple):
        return type(item)(map_tensors(part, put) for part in item)
    if isinstance(item, dict):
        return {name: map_tensors(part, put) for name, part in item.items()}
    return item


def one_ahead(items: Iterator[Any], device: torch.device) -> Iterator[Any]:
    """Prepare the next item in a thread while the model works on this one.

    On a GPU the thread's work, copies included, runs in a stream of its own beside the model's.

    Args:
        items: Iterated in the thread.
        device: The model's.
    """
    lane = _GpuLane(device) if device.type == "cuda" else _Lane()
    with ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = pool.submit(lane.prepare, items)
        while (item := lane.receive(upcoming.result())) is not _END:
            upcoming = pool.submit(lane.prepare, items)
            yield item
            lane.given_back()


class _Lane:
    """Where items are prepared; on a CPU nothing is special."""

    def prepare(self, items: Iterator[Any]) -> Any:
        return next(items, _END)

    def receive(self, prepared: Any) -> Any:
        return prepared

    def given_back(self) -> None:
        """The model has been given all of its work on an item."""


class _GpuLane(_Lane):
    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)
        self.working: deque[Any] = deque()

    def prepare(self, items: Iterator[Any]) -> Any:
        with torch.cuda.stream(self.stream):  # the thread's device with it
            return super().prepare(items), self.stream.record_event()

    def receive(self, prepared: Any) -> Any:
        item, ready = prepared
        models = torch.cuda.current_stream(self.device)
        models.wait_event(ready)
        for tensor in _tensors_in(item):
            if tensor.is_cuda:
                tensor.record_stream(models)  # its memory is kept until the model is done with it
        return item

    def given_back(self) -> None:
        self.working.append(torch.cuda.current_stream(self.device).record_event())
        if len(self.working) >= _IN_USE:
            self.working.popleft().synchronize()


def _tensors_in(item: Any) -> Iterator[Tensor]:
    """All tensors of what goes to a model, those in mmengine's data elements too."""
    if isinstance(item, Tensor):
        yield item
        return
    parts = [part for _, part in item.items()] if hasattr(item, "items") else item
    for part in parts if isinstance(parts, list | tuple) else ():
        yield from _tensors_in(part)


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


__all__ = ["Put", "map_tensors", "one_ahead", "putting_on"]
