"""Real processes that wait for each other: slow, dead, stopped; failing and ending."""

import contextlib
import signal
import socket
import subprocess
import sys
import time

import pytest

SILENCE = 3.0  # seconds, instead of minutes
PREAMBLE = f"""
import os, time
from datetime import timedelta
from stl_backbones.engine import collectives
collectives.BEAT, collectives.SILENCE = 0.2, timedelta(seconds={SILENCE})
from stl_backbones.engine.distributed import Ranks, leave, start_distributed
start_distributed("pytorch")
ranks = Ranks()
"""


@pytest.fixture
def job(repo_root):
    """Start a script in two processes; returns them."""
    with contextlib.ExitStack() as stack:

        def start(script):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
            for rank in range(2):
                place.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
                process = stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-c", PREAMBLE + script], text=True,
                        stdout=subprocess.PIPE, env={**place, "OMP_NUM_THREADS": "1",
                        "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(repo_root)},
                    )
                )  # fmt: skip
                stack.callback(process.kill)
                yield process

        yield lambda script: list(start(script))


def test_whoever_is_busy_is_waited_for(job):
    """The main process, another one, and at the end, as while a sweep's cells are put together."""
    processes = job(f"""
def make():
    time.sleep({2 * SILENCE})
    return "made"
print(ranks.on_main(make), flush=True)
time.sleep({2 * SILENCE} * ranks.rank)
print(ranks.on_each(lambda: ranks.rank), ranks.gather(ranks.rank), flush=True)
time.sleep({2 * SILENCE} if ranks.is_main else 0)
leave(0)
""")
    assert [process.communicate(timeout=120)[0] for process in processes] == [
        "made\n0 [0, 1]\n", "made\n1 [0, 1]\n",
    ]  # fmt: skip
    assert [process.returncode for process in processes] == [0, 0]


WAIT = """
print("waiting", flush=True)
from stl_backbones.cli.lost_processes import describe_lost_process
try:
    ranks.on_main(lambda: time.sleep(600))
except Exception as error:
    print(describe_lost_process(error), flush=True)
os._exit(3)
"""


@pytest.mark.parametrize(
    ("how", "says", "least", "most"),
    [
        (signal.SIGKILL, "has ended, see its own last words", 0, SILENCE),
        (signal.SIGSTOP, "does not answer: it is stopped, or its host is cut off", SILENCE, 60),
    ],
)
def test_a_lost_main_process_is_noticed(job, how, says, least, most):
    main, other = job(WAIT)
    assert main.stdout.readline() == other.stdout.readline() == "waiting\n"
    time.sleep(0.5)
    main.send_signal(how)
    start = time.monotonic()
    assert other.communicate(timeout=120)[0].endswith(f"{says}\n")
    assert least - 1 < time.monotonic() - start < most
