"""How names are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def plain(text: str) -> str:
    """Return a name as one printable line: no line breaks, no control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def listed(items: Sequence[str], *, limit: int = 20) -> str:
    """Join names, and say how many were left out."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def listed_versions(versions: Mapping[str, str]) -> str:
    """For example ``'numpy 2.2.6; torch 2.11.0'``."""
    return "; ".join(f"{name} {version}" for name, version in sorted(versions.items()))
