"""How far long work is, shown in one way: a bar on a terminal or in a notebook, else lines."""

from __future__ import annotations

import datetime
import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TextIO, TypeVar

SECONDS = 10.0  # between lines of a log
_REDRAWN = 0.2  # seconds between drawings of a bar
_BAR = "{l_bar}{bar}| {unit}"  # what is counted, as `Display` writes it
_Item = TypeVar("_Item")
_is_quiet = ContextVar("is_quiet", default=False)


@contextmanager
def quietly(is_quiet: bool) -> Iterator[None]:
    """Show nothing of how far work is, if that is wanted."""
    token = _is_quiet.set(is_quiet)
    try:
        yield
    finally:
        _is_quiet.reset(token)


def is_quiet() -> bool:
    """Whether `quietly` holds."""
    return _is_quiet.get()


class Display:
    """Shows a piece of long work on standard error; use it as a context manager.

    Args:
        title: What the work is.
        unit: What is counted, in the plural.
        shown: Whether anything is shown at all, as on the main process of a job.
    """

    def __init__(self, title: str, unit: str, *, shown: bool = True) -> None:
        self.title, self.unit = title, unit
        self.shown = shown and not is_quiet()
        self.bar: Any = None
        self.lines: list[Any] = []  # below the bar
        self.printed = -math.inf
        self.began: tuple[str, int, float] | None = None  # title, done, time: the rate's origin

    def __enter__(self) -> Display:
        """Begin; nothing is shown before the first update."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it is, for what is printed next."""
        for bar in (*self.lines, self.bar):
            if bar is not None:
                bar.close()

    def update(
        self,
        done: int,
        total: int,
        *,
        title: str = "",
        share: float | None = None,
        scores: str = "",
        rate: float | None = None,
        remaining: float | None = None,
        lines: Sequence[str] = (),
    ) -> None:
        """Show how far the work is.

        Args:
            done: What is done, in the display's unit; what former runs did included.
            total: Of how much.
            title: What is being done, where that changes.
            share: The same as a fraction, with what is done of the unit at hand.
            scores: Running scores.
            rate: Units a second; default: since the first update of this title.
            remaining: Seconds to the end; default: by the rate.
            lines: More lines, as many as the last time or more.
        """
        now, pause = time.monotonic(), _REDRAWN if has_bar() else SECONDS
        title = title or self.title
        if self.began is None or self.began[0] != title:
            self.began = title, done, now
        if not self.shown or (done < total and now - self.printed < pause):
            return
        self.printed = now
        if rate is None:
            rate = (done - self.began[1]) / max(now - self.began[2], 1e-9)
        if remaining is None:
            remaining = (total - done) / rate if rate else math.inf
        if done >= total:
            remaining = 0.0
        share = done / max(total, 1) if share is None else share
        parts = (
            f"{done}/{total} {self.unit}",
            rate_text(rate, self.unit),
            f"ETA {_duration(remaining)}",
            scores,
            memory_text(),
        )
        text = ", ".join(filter(None, parts))
        if has_bar():
            self._draw(title, share, text, lines)
        else:
            head = f"{title}: {share:4.0%}, {text}"
            _write("\n  ".join([head, *lines]))

    def message(self, text: str) -> None:
        """Print a line that stays, above the bar."""
        if self.bar is None:
            _write(text)
        else:
            self.bar.write(text, file=sys.stderr)

    def _draw(self, title: str, share: float, text: str, lines: Sequence[str]) -> None:
        from tqdm.auto import tqdm

        if self.bar is None:
            self.bar = tqdm(total=1.0, bar_format=_BAR, dynamic_ncols=True)
        for line in lines[len(self.lines) :]:
            self.lines.append(tqdm(total=0, bar_format="{desc}", desc=line, leave=False))
        for bar, line in zip(self.lines, lines, strict=False):
            bar.set_description_str(line)
        self.bar.n, self.bar.unit = share, text
        self.bar.set_description_str(title)


def shown_one_by_one(
    items: Iterable[_Item], title: str, unit: str, *, total: int | None = None
) -> Iterator[_Item]:
    """Hand items out, and show how many are; nothing is shown of work of a few seconds in a log.

    Args:
        items: What is worked on.
        title: What the work is.
        unit: What they are, in the plural.
        total: How many there are, where ``items`` has no length.
    """
    total = len(items) if isinstance(items, Sized) else total or 0
    with Display(title, unit) as display:
        display.printed = time.monotonic()
        for done, item in enumerate(items):
            if total:
                display.update(done, total)
            yield item


class AboveBar:
    """A stream whose text appears above a bar instead of in it.

    Args:
        stream: A terminal's.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        """Write, and draw the bar again below."""
        from tqdm.auto import tqdm

        tqdm.write(text, file=self.stream, end="")

    def flush(self) -> None:
        """Flush the stream."""
        self.stream.flush()


def memory() -> dict[str, float]:
    """The most memory that this process has held, in MiB: of the machine, and of its GPU."""
    found: dict[str, float] = {}
    with suppress(ImportError):  # no such module on Windows
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found["memory_mib"] = round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        found["gpu_memory_mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return found


def memory_text() -> str:
    """The same for a person: ``'1.2 GiB'``."""
    texts = [f"{mib / 1024:.1f} GiB{' of the GPU' * name.startswith('gpu')}"
             for name, mib in memory().items()]  # fmt: skip
    return " and ".join(texts)


def rate_text(rate: float, unit: str) -> str:
    """``'12.3 images/s'``, or below one a second ``'4.5 s/image'``; empty for none yet."""
    if not 0 < rate < math.inf:
        return ""
    return f"{rate:.1f} {unit}/s" if rate >= 1 else f"{1 / rate:.1f} s/{unit.removesuffix('s')}"


def _write(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds))) if seconds < math.inf else "?"


def has_bar() -> bool:
    """Whether somebody looks on: at a terminal, or at a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


__all__ = [
    "AboveBar",
    "Display",
    "has_bar",
    "is_quiet",
    "memory",
    "memory_text",
    "quietly",
    "rate_text",
    "shown_one_by_one",
]
