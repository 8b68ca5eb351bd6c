"""Tools started in forks of one process that has imported torch and OpenMMLab already.

Starting a tool costs seconds of imports; a campaign of hundreds of runs has none to spare. A fork
runs the tool's file as ``__main__`` and leaves by the interpreter's own exit, as a user's process.

`ForkServer` is the client; ``python -m faults.forkserver`` is the server, which takes
a request per line on its standard input and reports process ids and exit codes on its output.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]
_answers: IO[str] = sys.stdout
PRELOADED = (
    "torch", "torchvision", "timm", "cv2", "scipy.ndimage", "skimage.filters", "numba", "mmengine",
    "mmengine.runner", "mmcv", "mmcv.ops", "mmseg.apis", "mmseg.models", "mmseg.datasets",
    "mmdet.apis", "mmdet.models", "mmdet.datasets", "pycocotools.coco",
)  # fmt: skip


class ForkServer:
    """Starts tools quickly. A context manager; processes still running at its end are killed.

    Args:
        also: Further modules to import before the forks.
    """

    def __init__(self, *also: str) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "faults.forkserver", *also],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._started: dict[str, int] = {}
        self._codes: dict[int, int] = {}
        self._count = 0
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in set(self._started.values()) - self._codes.keys():
            kill_group(pid, signal.SIGKILL)
        self._server.stdin.close()
        self._server.wait()
        self._listener.join()
        self._server.stdout.close()

    def start(
        self,
        words: Sequence[object],
        *,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        output_in: Path | None = None,
    ) -> Running:
        """Start ``tools/NAME.py WORDS`` or any Python file, in a process group of its own.

        Args:
            words: File and arguments, as after ``python``.
            folder: Working folder of the process.
            environment: Variables that differ from this process's.
            output_in: Where a file with its output lies for a while; default: ``folder``.
        """
        with self._turn:
            self._count += 1
            name = str(self._count)
            output = (output_in or folder) / f".output-{name}.txt"
            request = {
                "name": name,
                "words": [str(word) for word in words],
                "folder": str(folder),
                "output": str(output),
                "environment": dict(environment or {}),
            }
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
        with self._changed:
            if not self._changed.wait_for(lambda: name in self._started, timeout=300):
                raise RuntimeError("the fork server does not answer")
            return Running(self, self._started[name], output, words)

    def wait(self, pid: int, timeout: float) -> int | None:
        """Exit code of a process (negative: its signal), or None after the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: pid in self._codes, timeout=timeout)
            return self._codes.get(pid)

    def _listen(self) -> None:
        for line in self._server.stdout:
            message = json.loads(line)
            with self._changed:
                if "name" in message:
                    self._started[message["name"]] = message["pid"]
                else:
                    self._codes[message["pid"]] = message["code"]
                self._changed.notify_all()


class Running:
    """A started tool."""

    def __init__(self, server: ForkServer, pid: int, output: Path, words: Sequence[object]) -> None:
        self._server, self.pid, self._output, self.words = server, pid, output, words
        self.started = time.monotonic()

    def wait(self, timeout: float) -> int | None:
        """Exit code (negative: the signal it died of), or None if it still runs after seconds."""
        return self._server.wait(self.pid, timeout)

    def send(self, number: signal.Signals, *, group: bool) -> None:
        """Signal the process, or its whole group, as a terminal does."""
        if group:
            kill_group(self.pid, number)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def output(self) -> str:
        """What it has printed until now, both streams."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def wait_for_group(self, timeout: float) -> bool:
        """Whether all processes it started are gone within seconds."""
        deadline = time.monotonic() + timeout
        while group_members(self.pid):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def forget_output(self) -> None:
        """Remove the file of its output."""
        self._output.unlink(missing_ok=True)


def kill_group(pid: int, number: signal.Signals) -> None:
    """Signal a process group that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def group_members(group: int) -> list[int]:
    """The living processes of a group; zombies are dead."""
    members = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, member_of = path.read_text().rpartition(")")[2].split()[:3]
            if int(member_of) == group and state != "Z":
                members.append(int(path.parent.name))
    return members


def serve() -> dict[str, Any] | None:
    """Fork for every request; returns the request in the fork, and None in the server's end."""
    global _answers
    _answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print when imported is no answer
    for name in (*PRELOADED, *sys.argv[1:]):
        importlib.import_module(name)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    selector.register(reader, selectors.EVENT_READ)
    os.set_blocking(0, False)
    pending = b""
    while True:
        for key, _ in selector.select():
            if key.fd == reader:
                os.read(reader, 1024)
                _report_ended()
                continue
            got = os.read(0, 1 << 16)
            if not got:
                return None
            *lines, pending = (pending + got).split(b"\n")
            for line in lines:
                request = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    selector.close()
                    os.close(reader)
                    os.close(writer)
                    return request
                _report({"name": request["name"], "pid": pid})


def _report_ended() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _report({"pid": pid, "code": os.waitstatus_to_exitcode(status)})


def _report(what: dict[str, Any]) -> None:
    _answers.write(json.dumps(what) + "\n")
    _answers.flush()


def become(request: Mapping[str, Any]) -> None:
    """Turn this fork into the tool's process: session, signals, streams, words, folder."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as tools have it while they import
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, 256)
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    file = Path(ROOT, request["words"][0])
    sys.argv = [str(file), *request["words"][1:]]
    sys.path[0] = str(file.parent)


if __name__ == "__main__":
    asked = serve()
    if asked is not None:
        become(asked)
        runpy.run_path(sys.argv[0], run_name="__main__")
