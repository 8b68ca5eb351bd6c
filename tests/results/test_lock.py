"""A folder's lock where the file system has none; with the kernel's it is tested as the store's."""

import errno
import fcntl
import subprocess
import sys
import time

import pytest

from stl_backbones.results import lock
from stl_backbones.results.lock import HeldError, locked

HOLDER = """
import errno, fcntl, os, sys
sys.path.insert(0, sys.argv[1])
from stl_backbones.results import lock

def refuse(file, how):
    raise OSError(errno.ENOLCK, "No locks available")

fcntl.lockf, lock.BEAT = refuse, 0.05
with lock.locked(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def no_locks(monkeypatch):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    monkeypatch.setattr(lock, "BEAT", 0.05)


@pytest.fixture
def holder(tmp_path, repo_root):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(repo_root), str(tmp_path)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_without_locks_a_living_holder_is_named(no_locks, holder, tmp_path):
    with (
        pytest.raises(HeldError, match=f"is being written by process {holder.pid} on "),
        locked(tmp_path),
    ):
        pass


def test_a_holder_that_has_just_begun_is_named(no_locks, tmp_path, monkeypatch):
    path = tmp_path / ".lock-holder"
    path.touch()  # its name is not written yet
    monkeypatch.setattr(lock.time, "sleep", lambda _: path.write_text("process 7 on here\n0\n"))
    with pytest.raises(HeldError, match="by process 7 on here"), locked(tmp_path):
        pass


def test_without_locks_a_dead_holder_is_recognised(no_locks, holder, tmp_path):
    holder.kill()
    holder.wait()
    assert (tmp_path / ".lock-holder").exists()
    with locked(tmp_path):
        assert (tmp_path / ".lock-holder").exists()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_without_locks_it_is_free_after_the_holder(no_locks, holder, tmp_path):
    holder.communicate("")
    start = time.monotonic()
    with locked(tmp_path):
        pass
    assert time.monotonic() - start < 5 * 0.05 * 10


def test_another_error_of_the_file_system_is_told(monkeypatch, tmp_path):
    def fail(file, how):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "lockf", fail)
    with pytest.raises(OSError, match="Input/output"), locked(tmp_path):
        pass


def test_one_holder_in_one_process(tmp_path):
    with locked(tmp_path), pytest.raises(HeldError, match="by process"), locked(tmp_path):
        pass


SHARER = """
import sys
sys.path.insert(0, sys.argv[1])
from stl_backbones.results.lock import locked

with locked(sys.argv[2], shared=True):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_shared_lock_lets_sharers_in_and_nobody_else(tmp_path, repo_root):
    with subprocess.Popen(
        [sys.executable, "-c", SHARER, str(repo_root), str(tmp_path)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "held\n"
        shared = (locked(tmp_path, shared=True) for _ in range(2))
        with next(shared), next(shared), pytest.raises(HeldError), locked(tmp_path):
            pass
        with pytest.raises(HeldError, match="by process"), locked(tmp_path):
            pass
        process.stdin.close()  # it ends, while the next lock waits for that
        with locked(tmp_path, wait=True):
            assert process.wait(timeout=30) == 0
