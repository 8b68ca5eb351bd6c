"""The lines of `gpu.sh`: a check, what is expected, what came."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Checks:
    """Where the checks run, and how their results are printed.

    Args:
        device: ``'cuda'``, or ``'cpu'`` for a rehearsal at a tiny size.
        out: A folder for data and results.
    """

    device: str
    out: Path

    @property
    def on_gpu(self) -> bool:
        """Whether this is no rehearsal."""
        return self.device == "cuda"

    def choose(self, real: T, tiny: T) -> T:
        """The size of a check, by the device."""
        return real if self.on_gpu else tiny

    def line(self, what: str, expected: str, came: str, *, ok: bool) -> None:
        """Print a check."""
        print(f"| {'ok' if ok else 'OFF'} | {what} | {expected} | {came} |", flush=True)

    def note(self, what: str, came: str) -> None:
        """Print what nothing is expected of."""
        print(f"| note | {what} | | {came} |", flush=True)

    def skip(self, what: str, why: str) -> None:
        """Print what cannot run here."""
        print(f"| skip | {what} | | {why} |", flush=True)
