"""Who hears of it when a process that loads data ends unexpectedly; if nobody, an error is raised.

torch raises its error in the middle of whatever the main thread is doing. Raised in a finalizer or
while a message is logged, Python prints it and goes on; a library may catch it as well. A tool
listens instead, and ends.
"""

from __future__ import annotations

from collections.abc import Callable

Listener = Callable[[RuntimeError], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Have a function called, in the main thread, with torch's error; the newest one is called."""
    _listeners.append(listener)


def stop_listening(listener: Listener) -> None:
    """Take a function back; one that does not listen is left alone."""
    if listener in _listeners:
        _listeners.remove(listener)


def report_lost(error: RuntimeError) -> None:
    """Call who listens: a worker is lost.

    Args:
        error: torch's, which names the process and its signal.

    Raises:
        RuntimeError: This very error if nobody listens.
    """
    if not _listeners:
        raise error
    _listeners[-1](error)


__all__ = ["listen", "report_lost", "stop_listening"]
