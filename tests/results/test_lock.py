"""A folder's lock; the kernel's part alone is tested as the store's."""

import contextlib
import errno
import fcntl
import shutil
import subprocess
import sys
import threading
import time

import pytest

from stl_backbones.results import lock
from stl_backbones.results.lock import HeldError, locked

HOLDER = """
import errno, fcntl, sys
sys.path.insert(0, sys.argv[1])
from stl_backbones.results import lock

def refuse(file, how):
    raise OSError(errno.ENOLCK, "No locks available")

kernel, how = sys.argv[3:]
fcntl.lockf = {"none": refuse, "own": lambda file, how: None}.get(kernel, fcntl.lockf)
if kernel == "own":  # a file system that keeps the locks of each host apart
    lock._host = lambda: "another boot"
lock.BEAT = 0.05
with lock.locked(sys.argv[2], shared=how == "shared", wait=how == "waiting"):
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
def hold(tmp_path, repo_root):
    """Hold the folder in another process; returns that process."""
    with contextlib.ExitStack() as stack:

        def start(kernel, how="alone"):
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", HOLDER, repo_root, tmp_path, kernel, how], text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )
            )  # fmt: skip
            stack.callback(process.kill)
            assert process.stdout.readline() == "held\n"
            return process

        yield start


@pytest.fixture
def holder(hold):
    return hold("none")


def test_without_locks_a_living_holder_is_named(no_locks, holder, tmp_path):
    with (
        pytest.raises(HeldError, match=f"is being written by process {holder.pid} on "),
        locked(tmp_path),
    ):
        pass


def test_a_holder_that_has_just_begun_is_named(no_locks, tmp_path, monkeypatch):
    path = tmp_path / ".lock-holder"
    path.touch()  # its name is not written yet
    monkeypatch.setattr(lock.time, "sleep", lambda _: path.write_text("process 7 on here\n\n\n"))
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


def test_another_error_of_the_file_system_is_reported(monkeypatch, tmp_path):
    def fail(file, how):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "lockf", fail)
    with pytest.raises(OSError, match="Input/output"), locked(tmp_path):
        pass


def test_one_holder_in_one_process(tmp_path):
    with locked(tmp_path), pytest.raises(HeldError, match="by process"), locked(tmp_path):
        pass


def test_a_shared_lock_lets_sharers_in_and_nobody_else(hold, tmp_path):
    other = hold("kernel's", "shared")
    shared = (locked(tmp_path, shared=True) for _ in range(2))
    with next(shared), next(shared), pytest.raises(HeldError), locked(tmp_path):
        pass
    with pytest.raises(HeldError, match="by process"), locked(tmp_path):
        pass
    other.stdin.close()  # it ends, while the next lock waits for that
    with locked(tmp_path, wait=True):
        assert other.wait(timeout=30) == 0


def test_one_who_came_in_by_waiting_is_waited_for(hold, tmp_path):
    other, over = hold("kernel's", "waiting"), []

    def end():
        over.append(True)
        other.stdin.close()

    threading.Timer(0.5, end).start()
    with locked(tmp_path, wait=True):
        assert over


def test_a_holder_of_another_host_whose_locks_this_kernel_does_not_know(
    hold, tmp_path, monkeypatch
):
    monkeypatch.setattr(lock, "BEAT", 0.05)
    other = hold("own")
    for shared in (False, True):
        with (
            pytest.raises(HeldError, match=f"is being written by process {other.pid} on "),
            locked(tmp_path, shared=shared),
        ):
            pass
    other.communicate("")
    with locked(tmp_path):
        pass


def test_without_locks_the_folder_is_shared_likewise(no_locks, hold, tmp_path):
    others = [hold("none", "shared") for _ in range(2)]
    with locked(tmp_path, shared=True):
        pass
    with pytest.raises(HeldError, match="by process"), locked(tmp_path):
        pass
    others[0].kill()
    others[1].communicate("")
    with locked(tmp_path), pytest.raises(HeldError), locked(tmp_path, shared=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_without_locks_one_waits_for_a_sharer(no_locks, hold, tmp_path):
    other = hold("none", "shared")
    threading.Timer(1.5, other.communicate, [""]).start()  # longer than a dead one is silent
    with locked(tmp_path, wait=True):
        assert other.wait(timeout=30) == 0


def test_a_dead_holder_of_this_host_is_not_waited_for(hold, tmp_path, monkeypatch):
    monkeypatch.setattr(lock.time, "sleep", pytest.fail)
    hold("kernel's").kill()
    with locked(tmp_path, wait=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_holder_taken_for_dead_leaves_the_next_ones_file(no_locks, tmp_path):
    path = tmp_path / ".lock-holder"
    with locked(tmp_path):
        path.rename(tmp_path / "grave")
        path.write_text("process 7 on another\n")
    assert path.read_text() == "process 7 on another\n"


def test_one_who_shares_waits_for_another_who_is_about_to(tmp_path):
    gate, found = tmp_path / ".lock-holder", []
    gate.write_text(f"process 7 on here\n{lock._host()}\n{lock._ENTERING}\n")

    def enter():
        found.append(gate.exists())
        gate.unlink()

    threading.Timer(0.5, enter).start()
    with locked(tmp_path, shared=True):
        assert found == [True]


def test_a_folder_that_is_removed_meanwhile_is_made_again(no_locks, tmp_path, monkeypatch):
    folder, once = tmp_path / "folder", iter([True])

    def remove_once(path, file):
        if next(once, False):
            shutil.rmtree(folder)
        return True

    monkeypatch.setattr(lock, "_is_current", remove_once)
    with locked(folder):
        assert (folder / ".lock-holder").exists()
