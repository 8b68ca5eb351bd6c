"""Workers of a killed main process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ABANDONED = """
import os, signal, sys, time
from torch.utils.data import DataLoader
from stl_backbones.datasets import loading

class Large(list):  # more than a pipe holds: torch's own workers then write for ever
    def __getitem__(self, index):
        return os.getpid(), bytes(1_000_000)

loader = iter(DataLoader(Large(range(99)), batch_size=None, num_workers=2, collate_fn=lambda x: x,
    worker_init_fn=loading.begin_worker, multiprocessing_context=loading.START_METHOD))
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
