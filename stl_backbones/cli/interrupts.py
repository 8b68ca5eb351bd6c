"""Ctrl-C, SIGTERM, a lost worker: an orderly end within seconds, whatever the process is at."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from stl_backbones import lost_workers
from stl_backbones.cli.parser import EXIT_USER_ERROR

GRACE = 1.0  # seconds in which the tool may end by itself
_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_LOST = 255  # in the pipe, where signals are: a worker is lost


_begun = threading.Event()


def run_begins() -> None:
    """From now on there is a run that can be resumed."""
    _begun.set()


def has_run_begun() -> bool:
    """Whether `run_begins` was called."""
    return _begun.is_set()


class Interrupted(KeyboardInterrupt):
    """The process was asked to end.

    Args:
        number: By which signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number  # the shell's convention


class WorkerLost(BaseException):
    """A process that loads data is gone; no library's ``except Exception`` catches this.

    Args:
        error: What torch says.
    """

    def __init__(self, error: RuntimeError) -> None:
        super().__init__(*error.args)


@contextlib.contextmanager
def interruptible(
    say: Callable[[], None],
    *,
    say_lost: Callable[[BaseException], object],
    then_default: bool = False,
) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `Interrupted`, once; end the process if that takes too long.

    So with a lost worker, which becomes `WorkerLost`.

    Python runs signal handlers between two of its own instructions: a process in the middle of a
    long computation of a library, or of its own clean-up, would not end for as long as that takes.
    What is finished is on disk already, so such a process ends `GRACE` seconds after the signal
    without any clean-up. Processes forked by this one keep the usual meaning of both signals.

    Args:
        say: Prints how to go on; called before an end without clean-up.
        say_lost: Likewise with a lost worker; given torch's error.
        then_default: Afterwards both signals end the process at once and silently: it has nothing
            left to do but to exit, and a lost worker does not matter. Else what they meant before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    watch = _Watch(say, say_lost)
    watch.begin()
    try:
        yield
    except Exception as error:
        if watch.number is not None:
            raise Interrupted(watch.number) from error  # a library made another error of it
        if watch.lost is not None:
            raise WorkerLost(watch.lost) from error  # likewise
        raise
    finally:
        watch.end(then_default=then_default)


class _Watch:
    """Waits in a thread of its own, since the main one may be busy."""

    def __init__(
        self, say: Callable[[], None], say_lost: Callable[[BaseException], object]
    ) -> None:
        self.say, self.say_lost = say, say_lost
        self.is_over = threading.Event()
        self.reader, self.writer = os.pipe()
        self.owner = os.getpid()
        self.handlers: dict[int, object] = {}
        self.former = -1
        self.number: int | None = None
        self.lost: RuntimeError | None = None

    def begin(self) -> None:
        os.set_blocking(self.writer, False)
        for number in _NUMBERS:
            # Ignored by whoever started us, as a shell does for SIGINT of background jobs.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self.handlers[number] = signal.signal(number, self.interrupt)
        lost_workers.listen(self.lose)
        self.hook, sys.unraisablehook = sys.unraisablehook, self.pass_over
        self.former = signal.set_wakeup_fd(self.writer, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=self.forget)
        self.thread = threading.Thread(target=self.wait, name="interrupts", daemon=True)
        self.thread.start()

    def end(self, *, then_default: bool) -> None:
        if os.getpid() != self.owner:
            return
        self.is_over.set()
        if not then_default:
            lost_workers.stop_listening(self.lose)
        sys.unraisablehook = self.hook
        signal.set_wakeup_fd(self.former)
        os.write(self.writer, b"\0")  # wakes the thread, which then ends
        self.thread.join()
        os.close(self.reader)
        os.close(self.writer)
        for number, handler in self.handlers.items():
            signal.signal(number, signal.SIG_DFL if then_default else handler)  # type: ignore[arg-type]

    def forget(self) -> None:
        """In a forked process: what this one's parent does about signals is not its business."""
        if not self.is_over.is_set():
            self.is_over.set()
            signal.set_wakeup_fd(-1)
            for number in self.handlers:
                default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                signal.signal(number, default)

    def pass_over(self, what: sys.UnraisableHookArgs) -> None:
        """Print nothing on an interrupt that came where nothing can be raised: `wait` ends it."""
        if not isinstance(what.exc_value, Interrupted | WorkerLost):
            self.hook(what)

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        del frame
        for again in self.handlers:
            signal.signal(again, signal.SIG_IGN)  # a second one must not end the clean-up
        self.number = number
        raise Interrupted(number)

    def lose(self, error: RuntimeError) -> None:
        """End because of a lost worker, once; a tool that ends already goes on with that."""
        if self.is_over.is_set() or self.number is not None or self.lost is not None:
            return
        self.lost = error
        os.write(self.writer, bytes([_LOST]))
        raise WorkerLost(error)

    def wait(self) -> None:
        """Until one of the signals comes, which the interpreter writes down at once."""
        while not self.is_over.is_set():
            number = os.read(self.reader, 1)[0]
            if number not in (*self.handlers, _LOST) or self.is_over.wait(GRACE):
                continue
            if number == _LOST and self.lost is not None:
                self.say_lost(self.lost)
                leave_at_once(EXIT_USER_ERROR)
            self.say()
            leave_at_once(128 + number)


def leave_at_once(code: int) -> NoReturn:
    """End the process and its children without the interpreter's own clean-up.

    That would wait for worker processes, and for whatever else registered itself.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    multiprocessing = sys.modules.get("multiprocessing")
    for child in multiprocessing.active_children() if multiprocessing else ():
        child.kill()
    os._exit(code)
