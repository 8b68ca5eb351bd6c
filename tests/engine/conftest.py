"""What tests of hooks share."""

from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode


class _Recording(TorchDispatchMode):
    def __init__(self, asked):
        super().__init__()
        self.asked = asked

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._local_scalar_dense.default:
            self.asked.append(result)
        return result


@pytest.fixture
def reads():
    """Records the values that Python asks of tensors meanwhile: on a GPU, each is waited for."""

    @contextmanager
    def recording():
        asked = []
        with _Recording(asked):
            yield asked

    return recording
