"""Workers of a killed main process, and the main process of killed workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from stl_backbones import lost_workers
from stl_backbones.datasets import loading
from stl_backbones.engine.data_workers import equip_workers
from stl_backbones.records import CLEAN
from stl_backbones.robustness.versions import Versions, load_versions

ABANDONED = """
import os, signal, sys, time
from torch.utils.data import DataLoader
from stl_backbones.datasets import loading

class Large(list):  # more than a pipe holds: torch's own workers then write for ever
    def __getitem__(self, index):
        return os.getpid(), bytes(1_000_000)

loader = iter(DataLoader(Large(range(99)), batch_size=None, num_workers=2, collate_fn=lambda x: x,
    worker_init_fn=loading.begin_worker,
    multiprocessing_context=loading.worker_context(loading.START_METHOD)))
print(*[next(loader)[0] for _ in range(4)], flush=True)
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_worker_outlives_a_killed_main_process(tmp_path):
    with (tmp_path / "output").open("w+") as out:  # a pipe would be waited for, as workers hold it
        ended = subprocess.run([sys.executable, "-c", ABANDONED], stdout=out, check=False)
        out.seek(0)
        processes = set(map(int, out.read().split()))
    assert (ended.returncode, len(processes)) == (-signal.SIGKILL, 2)
    end = time.monotonic() + 20
    while any(map(is_running, processes)):
        assert time.monotonic() < end, [os.kill(one, signal.SIGKILL) for one in processes]
        time.sleep(0.05)


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def die_while_asking(number):
    """In a worker: be killed in the middle of its question whether the loader ends."""
    lines = []

    def follow(frame, event, argument):
        lines.append(event)
        if event == "return" or len(lines) == 2:  # Python's own event has its lock then
            os.kill(os.getpid(), signal.SIGKILL)
        return follow

    sys.settrace(lambda frame, *_: follow if frame.f_code.co_name == "is_set" else None)


class Plain(Versions):
    def load(self, index):
        return index

    def make(self, index, cell):
        return index


def through_a_context(monkeypatch):
    context = loading.worker_context("fork")
    list(DataLoader([1, 2], num_workers=1, worker_init_fn=die_while_asking,
                    multiprocessing_context=context))  # fmt: skip


def through_a_training(monkeypatch):
    loader = DataLoader([1, 2], num_workers=1, worker_init_fn=die_while_asking)
    equip_workers(loader, modules=(), scope=None, method="fork")
    list(loader)


def through_a_sweep(monkeypatch):
    monkeypatch.setattr(loading, "begin_worker", die_while_asking)
    list(load_versions(Plain(), [(0,)], [CLEAN], workers=1))


@pytest.fixture
def _a_hang_is_an_error():
    def end(*_):
        raise TimeoutError("still waiting for a dead worker")

    former = signal.signal(signal.SIGALRM, end)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)


@pytest.mark.usefixtures("_a_hang_is_an_error")
@pytest.mark.parametrize("load", [through_a_context, through_a_training, through_a_sweep])
def test_a_worker_killed_while_it_asks_for_the_end_is_an_error(load, monkeypatch):
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid.*(killed by|exited unexp)"):
        load(monkeypatch)


class Noticed(BaseException):
    """What a tool raises."""


@pytest.mark.usefixtures("_a_hang_is_an_error")
def test_a_lost_worker_is_told_to_who_listens():
    def listener(error):
        raise Noticed(str(error))

    class Deadly(list):
        def __getitem__(self, index):
            os.kill(os.getpid(), signal.SIGKILL)

    context = loading.worker_context("fork")
    loader = DataLoader(Deadly([1]), num_workers=1, multiprocessing_context=context)
    lost_workers.listen(listener)
    try:
        with pytest.raises(Noticed, match="killed by signal: Killed"):
            list(loader)
    finally:
        lost_workers.stop_listening(listener)


def test_a_flag_is_seen_by_the_other_process():
    context = loading.worker_context("fork")
    flag, found = context.Event(), context.Queue()
    process = context.Process(target=look_twice, args=(flag, found))
    process.start()
    assert found.get(timeout=60) is False
    flag.set()
    flag.set()
    assert found.get(timeout=60) is True
    process.join()
    assert flag.is_set()


def look_twice(flag, found):
    found.put(flag.is_set())
    while not flag.is_set():
        time.sleep(0.01)
    found.put(True)
