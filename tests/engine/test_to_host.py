"""Tensors on their way to main memory, with a stand-in for a GPU whose copies come late."""

import torch

from stl_backbones.engine.to_host import to_host


class OnGpu(torch.Tensor):
    """A tensor whose copies to main memory are filled when the GPU is waited for."""

    late: list
    is_cuda = True
    device = "cuda:1"

    def detach(self):
        return self

    def to(self, where, *, non_blocking, copy):
        assert (where, copy) == ("cpu", True)
        plain = self.as_subclass(torch.Tensor)
        if not non_blocking:
            return plain.clone()
        copied = torch.zeros_like(plain)
        self.late.append((copied, plain))
        return copied


class Event:
    """Stands in for `torch.cuda.Event`."""

    def __init__(self):
        self.stream = None

    def record(self, stream):
        self.stream = stream

    def synchronize(self):
        assert self.stream == "stream of cuda:1"
        for copied, plain in OnGpu.late:
            copied.copy_(plain)


def test_a_gpu_is_waited_for_when_the_numbers_are_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    OnGpu.late = []
    arrived = to_host({"scores": torch.tensor([0.25, 0.5]).as_subclass(OnGpu)})
    ((copied, _),) = OnGpu.late  # handed over, not waited for
    assert copied.tolist() == [0, 0]
    assert arrived()["scores"].tolist() == [0.25, 0.5]


def test_main_memory_is_copied_at_once():
    given = torch.tensor([1, 2])
    arrived = to_host({"labels": given})
    given += 10
    assert arrived()["labels"].tolist() == [1, 2]
