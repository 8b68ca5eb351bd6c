"""What a GPU needs: pinned memory, copies that nobody waits for, and two items at work."""

import contextlib
import threading
from unittest import mock

import pytest
import torch

from stl_backbones.records import CLEAN, Cell
from stl_backbones.robustness import feeding, versions
from stl_backbones.robustness.feeding import map_tensors, one_ahead, putting_on
from stl_backbones.robustness.versions import Versions, load_versions

CPU, GPU, META = torch.device("cpu"), torch.device("cuda", 3), torch.device("meta")


class Numbers(Versions):
    """Versions that are a number: ten times the image, and the severity."""

    def load(self, index):
        return index

    def make(self, index, cell):
        return 10 * index + int(cell.severity)

    def pack(self, versions):
        return torch.tensor(versions, dtype=torch.uint8)


@pytest.fixture
def pinned():
    """Tensors that are pinned and sent, in this order; nothing here can pin memory."""
    log = []
    send = torch.Tensor.to

    def pin(tensor):
        log.append(("pinned", tensor.dtype))
        return tensor

    def to(tensor, device, **how):
        log.append(("sent", how))
        return send(tensor, device, **how)

    with (
        mock.patch.object(torch.Tensor, "pin_memory", pin),
        mock.patch.object(torch.Tensor, "to", to),
    ):
        yield log


def test_on_a_cpu_nothing_is_copied():
    given = {"inputs": [torch.zeros(3)], "path": "a.png"}
    made = map_tensors(given, putting_on(CPU))
    assert made["inputs"][0] is given["inputs"][0]
    assert made["path"] == "a.png"


def test_to_a_device_tensors_go_by_pinned_memory_and_nobody_waits(pinned):
    made = map_tensors((torch.zeros(3, dtype=torch.uint8), [torch.ones(2)]), putting_on(META))
    assert (made[0].device, made[1][0].device, type(made)) == (META, META, tuple)
    assert pinned == [
        ("pinned", torch.uint8), ("sent", {"non_blocking": True}),
        ("pinned", torch.float32), ("sent", {"non_blocking": True}),
    ]  # fmt: skip


def test_what_is_on_the_device_stays_there(pinned):
    there = torch.zeros(3, device="meta")
    assert putting_on(META)(there) is there
    assert pinned == []


@pytest.mark.parametrize("in_this_process", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_version_comes_to_the_device_in_8_bits(pinned, workers, in_this_process):
    cells = (Cell("fog", 1), Cell("fog", 2))
    made = load_versions(
        Numbers(), [(0, 1, 2), (3, 4)], cells, workers=workers, device=META,
        in_this_process=in_this_process,
    )  # fmt: skip
    assert [(part.device, len(part)) for part in made] == [(META, 3)] * 2 + [(META, 2)] * 2
    assert {what for name, what in pinned if name == "pinned"} == {torch.uint8}


def test_the_next_item_is_prepared_meanwhile():
    begun = threading.Event()

    def items():
        yield 1
        begun.set()
        yield 2

    made = one_ahead(items(), CPU)
    assert next(made) == 1
    assert begun.wait(timeout=20)
    assert list(made) == [2]


@pytest.mark.parametrize("in_this_process", [False, True])
def test_workers_start_in_the_main_thread(in_this_process):
    """Forked in a pool's own thread they would end with an error, which torch reports at times."""
    begun = []

    class Noticing(versions.DataLoader):
        def __iter__(self):
            begun.append(threading.current_thread() is threading.main_thread())
            return super().__iter__()

    with mock.patch.object(versions, "DataLoader", Noticing):
        made = load_versions(
            Numbers(), [(0,)], [CLEAN], workers=1, in_this_process=in_this_process
        )  # fmt: skip
        assert [part.tolist() for part in made] == [[0]]
    assert begun == [True]


class Stream:
    """Keeps what is asked of a stream of a GPU."""

    def __init__(self, log, name):
        self.log, self.name, self.events = log, name, 0

    def record_event(self):
        self.events += 1
        return Event(self.log, f"{self.name} {self.events}")

    def wait_event(self, event):
        self.log.append(f"{self.name} waits for {event.name}")


class Event:
    def __init__(self, log, name):
        self.log, self.name = log, name

    def synchronize(self):
        self.log.append(f"host waits for {self.name}")


def test_a_gpu_copies_beside_the_model_and_has_two_items_at_most(monkeypatch):
    log, inside = [], threading.local()
    model, copies = Stream(log, "model"), Stream(log, "copy")

    @contextlib.contextmanager
    def entered(stream):
        inside.stream = stream
        yield
        inside.stream = None

    def items():
        for number in range(4):
            assert inside.stream is copies  # of the thread that prepares
            yield torch.tensor(number)

    asked = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: asked.append(device) or copies)
    monkeypatch.setattr(torch.cuda, "stream", entered)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: model)
    # A thread begins on the first GPU; entering the stream takes it to the stream's.
    log.extend(f"model works on {int(item)}" for item in one_ahead(items(), GPU))
    assert asked == [GPU]
    assert log == [
        "model waits for copy 1", "model works on 0",
        "model waits for copy 2", "model works on 1", "host waits for model 1",
        "model waits for copy 3", "model works on 2", "host waits for model 2",
        "model waits for copy 4", "model works on 3", "host waits for model 3",
        "model waits for copy 5",
    ]  # fmt: skip


def test_tensors_are_found_in_data_elements():
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.full((1, 2, 2), 3)))
    item = [{"inputs": torch.ones(1), "data_samples": sample}]
    assert [float(tensor.max()) for tensor in feeding._tensors_in(item)] == [1, 3]


def test_clean_versions_are_the_images():
    (made,) = load_versions(Numbers(), [(2,)], [CLEAN], workers=0)
    assert made.tolist() == [20]
