"""Which files of a folder are images: one rule for all that list, read or write them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
# What systems and tools leave behind, beside all names that begin with a dot.
_CLUTTER = frozenset(
    {"__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "lost+found",
     "$recycle.bin", "system volume information", "log.jsonl"}
)  # fmt: skip


def is_clutter(name: str) -> bool:
    """Whether a file or folder of this name is passed over, whatever is in it."""
    return name.startswith(".") or name.lower() in _CLUTTER


def has_clutter(path: str | Path, root: str | Path) -> bool:
    """Whether a file, or a folder between it and the root, is clutter."""
    return any(map(is_clutter, Path(path).relative_to(root).parts))


def is_image(name: str, suffixes: frozenset[str] = SUFFIXES) -> bool:
    """Whether a file of this name is taken for an image."""
    return not is_clutter(name) and ending(name) in suffixes


def ending(name: str) -> str:
    """``'.jpg'`` of ``'a.JPG'``; empty if there is none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  of millions of names


def left_out_text(left_out: Mapping[str, int]) -> str:
    """How many files were left out, by ending: ``'4 files left out (3 .gif, 1 .txt)'``.

    Args:
        left_out: Ending, or what else says which files -> how many; empty gives no text.
    """
    if not left_out:
        return ""
    total = sum(left_out.values())
    parts = ", ".join(f"{count} {kind or 'without ending'}" for kind, count in left_out.items())
    return f"{total} file{'s' * (total > 1)} left out ({parts})"


__all__ = ["SUFFIXES", "ending", "has_clutter", "is_clutter", "is_image", "left_out_text"]
