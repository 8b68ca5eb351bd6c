"""What to say when a process that others wait for is gone."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

_WORKER = re.compile(
    r"DataLoader worker \(pid\(?s?\)? ?[\d, ]+\) "
    r"(?:is killed by signal: (?P<signal>[\w ]+)|exited unexpectedly)"
)
_PEER = re.compile(
    r"gloo|Connection closed by peer|Connection reset by peer|Broken pipe|NCCL",
    re.IGNORECASE,
)

_SILENT = re.compile(os.strerror(errno.ETIMEDOUT), re.IGNORECASE)  # of the kernel, in gloo's words


def describe_lost_process(error: BaseException) -> str | None:
    """Describe an error that means that a worker or another process of the job has ended.

    Args:
        error: What a library raised; torch has no classes of its own for these.

    Returns:
        One line; ``None`` if the error is about something else.
    """
    message = str(error)
    if isinstance(error, ChildProcessError):  # ours, of a pool of processes
        return message
    worker = _WORKER.search(message)
    if worker:
        how = f" ({worker['signal'].strip()})" if worker["signal"] else ""
        return (
            f"a process that loads data was killed{how}; if memory ran out, fewer of them or a "
            "smaller batch need less"
        )
    if isinstance(error, ConnectionError | EOFError) and _is_between_processes(error):
        return "a process that loads data was killed; fewer of them, or a smaller batch, need less"
    if is_distributed() and (_SILENT.search(message) or "Timed out" in message):
        return "another process of this job does not answer: it is stopped, or its host is cut off"
    if is_distributed() and _PEER.search(message):
        return "another process of this job has ended, see its own last words"
    return None


def _is_between_processes(error: BaseException) -> bool:
    """Whether Python's own pipes between processes raised it."""
    step = error.__traceback__
    while step is not None:
        if Path(step.tb_frame.f_code.co_filename).parent.name == "multiprocessing":
            return True
        step = step.tb_next
    return False


def is_distributed() -> bool:
    """Whether this process has joined others."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_initialized()


__all__ = ["describe_lost_process", "is_distributed"]
