"""Numbers that the device computes, read without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


class DeviceNumber:
    """A number on its way to the host: nothing waits for the device until it is read.

    Args:
        value: A tensor of one element, or a number.
    """

    def __init__(self, value: Tensor | float) -> None:
        self._copied: torch.cuda.Event | None = None
        if isinstance(value, Tensor):
            is_on_gpu = value.is_cuda
            value = value.detach().to("cpu", non_blocking=True)  # into pinned memory, from a GPU
            if is_on_gpu:
                self._copied = torch.cuda.Event()
                self._copied.record()
        self._value = value

    @property
    def is_there(self) -> bool:
        """Whether reading it waits for nothing."""
        return self._copied is None or self._copied.query()

    def read(self) -> float:
        """The number, once the device has computed it."""
        if self._copied is not None:
            self._copied.synchronize()
        return float(self._value)


__all__ = ["DeviceNumber"]
