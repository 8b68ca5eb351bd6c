"""The files of published numbers: comment lines with the source, a header, one row a model."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class PublishedFile:
    """A file of published numbers.

    Attributes:
        comments: What it says of its source and units.
        rows: Column -> text, of each model; empty where the source has none.
    """

    comments: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]


@functools.cache
def read_published(name: str) -> PublishedFile:
    """Read ``<name>.csv`` of this package."""
    path = resources.files("stl_backbones.report.published") / f"{name}.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line[1:].strip() for line in lines if line.startswith("#")]
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return PublishedFile(tuple(comments), tuple(rows))


def number(text: str | None, scale: float = 1.0) -> float | None:
    """A printed number times a scale; ``None`` where the source has none."""
    return float(text) * scale if text else None


__all__ = ["PublishedFile", "number", "read_published"]
