"""How values and names are written: rounded percent, and marks that are never zero."""

from __future__ import annotations

import math
from collections.abc import Mapping

MISSING = "-"  # part of the protocol, but not measured (or, in a paper row, not printed)
NOT_IN_PROTOCOL = "·"  # the protocol does not ask for it
NOT_COUNTED = "n/a"  # measured, but nothing was counted

MARKS_NOTE = (
    f"Marks: '{MISSING}' not measured (in a paper row: not printed, or not legible in our copy); "
    f"'{NOT_IN_PROTOCOL}' not part of the protocol; '{NOT_COUNTED}' no pixel counted. "
    "A mean over an incomplete set is a dash."
)


def percent(fraction: float | None, precision: int) -> str:
    """Write a fraction as percent without the sign; ``None`` is missing, NaN is not counted."""
    if fraction is None:
        return MISSING
    if math.isnan(fraction):
        return NOT_COUNTED
    return f"{100 * fraction:.{precision}f}"


def plain(text: str) -> str:
    """Return a name as one printable line: no line breaks, no control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def listed_versions(versions: Mapping[str, str]) -> str:
    """For example ``'numpy 2.2.6; torch 2.11.0'``."""
    return "; ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def listed(items: list[str], *, limit: int = 20) -> str:
    """Join names, and say how many were left out."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more
