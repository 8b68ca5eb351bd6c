"""Processes that make records: order, errors, deaths on either side, and bounded memory."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stl_backbones.cli.lost_processes import describe_lost_process
from stl_backbones.datasets import loading
from stl_backbones.errors import InputError
from stl_backbones.robustness.record_pool import RecordPool


def square(number):
    if number < 0:
        raise InputError(f"expected no negative number, got {number}")
    return number * number, os.getpid()


def records(pool, items):
    return [future.result() for future in [pool.submit(lambda i=i: i) for i in items]]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_records_are_made_elsewhere_and_come_in_order(monkeypatch, method):
    monkeypatch.setattr(loading, "START_METHOD", method)
    with RecordPool(square, workers=2) as pool:
        made = records(pool, range(30))
    assert [value for value, _ in made] == [number * number for number in range(30)]
    assert os.getpid() not in {process for _, process in made}


def test_without_processes_they_are_made_here():
    with RecordPool(square, workers=0) as pool:
        assert records(pool, [3]) == [(9, os.getpid())]
        with pytest.raises(InputError, match="got -1"):
            pool.submit(lambda: -1)


def test_an_error_is_raised_with_its_record_and_soon():
    with RecordPool(square, workers=1) as pool:
        with pytest.raises(InputError, match="expected no negative number, got -2"):
            pool.submit(lambda: -2).result()
        with pytest.raises(InputError, match="got -2"):
            pool.submit(lambda: 1)


def test_an_item_that_cannot_be_had_is_an_error_of_its_record():
    def fail():
        raise InputError("lost on the way")

    with RecordPool(square, workers=1) as pool, pytest.raises(InputError, match="lost on the way"):
        pool.submit(fail).result()


def test_no_more_than_two_items_a_process_are_waiting():
    gate, handed = multiprocessing.Event(), []

    def hand_over():
        for number in range(5):
            pool.submit(lambda: None)
            handed.append(number)

    with RecordPool(lambda _: gate.wait(), workers=1) as pool:
        thread = threading.Thread(target=hand_over)
        thread.start()
        thread.join(0.5)
        assert handed == [0, 1]
        gate.set()
        thread.join()
    assert handed == [0, 1, 2, 3, 4]


def test_a_killed_process_is_one_line():
    def end(_):
        os.kill(os.getpid(), signal.SIGKILL)

    lost = pytest.raises(ChildProcessError, match=r"killed \(signal 9\); if memory")
    with RecordPool(end, workers=2) as pool, lost as caught:
        pool.submit(lambda: None).result()
    assert describe_lost_process(caught.value).startswith("a process that makes records")


def test_ctrl_c_is_the_main_process_business():
    with RecordPool(square, workers=1) as pool:
        ((_, process),) = records(pool, [1])
        os.kill(process, signal.SIGINT)
        assert records(pool, [2]) == [(4, process)]


def test_none_is_left_when_it_is_closed_at_work():
    gate = multiprocessing.Event()
    with RecordPool(lambda _: gate.wait(), workers=2) as pool:
        futures = [pool.submit(lambda: None) for _ in range(4)]
        own = [one for one in multiprocessing.active_children() if one.name.startswith("records")]
        assert len(own) == 2
    assert not [one for one in own if one.is_alive()]
    assert all(future.done() for future in futures)


ABANDONED = """
import os, signal, time
from stl_backbones.robustness.record_pool import RecordPool
pool = RecordPool(lambda _: (os.getpid(), time.sleep(0.2)), workers=3)
found = [pool.submit(lambda: None) for _ in range(3)]
print(*{future.result()[0] for future in found}, flush=True)
[pool.submit(lambda: b"0" * 9_000_000) for _ in range(3)]
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_none_outlives_a_killed_main_process(tmp_path):
    with (tmp_path / "output").open("w+") as out:  # a pipe would be waited for, as workers hold it
        ended = subprocess.run([sys.executable, "-c", ABANDONED], stdout=out, check=False)
        out.seek(0)
        processes = set(map(int, out.read().split()))
    assert ended.returncode == -signal.SIGKILL
    assert len(processes) > 1
    end = time.monotonic() + 20
    while any(map(is_running, processes)):
        assert time.monotonic() < end, [os.kill(one, signal.SIGKILL) for one in processes]
        time.sleep(0.05)


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
