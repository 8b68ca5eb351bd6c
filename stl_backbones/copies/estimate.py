"""What a run will take, from a few images made for trial in memory."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stl_backbones.copies.images import read_image
from stl_backbones.copies.layouts import Source
from stl_backbones.copies.plan import Plan
from stl_backbones.corruptions.engine import apply_corruption, prepare
from stl_backbones.corruptions.images import MIN_SIDE, Image, UnfitImageError
from stl_backbones.errors import InputError
from stl_backbones.records import Cell, CorruptionSpec

_IMAGES = 5  # sampled evenly over the data set, at most
_BUDGET = 8.0  # seconds; no further image is begun after that
_MARGIN = 1.05  # files are larger than their mean more often than it seems
_BLOCK = 4096  # bytes; a file takes whole blocks, half of one more than its size on average


@dataclass(frozen=True)
class Estimate:
    """What is left to do, estimated.

    Attributes:
        images: Source images with files missing.
        files: Files missing.
        sampled: Trial images it is based on; 0 if none of the sampled could be read, and then
            there are no figures.
        bytes: Disk space that the files will take.
        core_seconds: Computing time on one core.
        least_seconds: The same, if all images were as quick as the quickest of the sampled.
        most_seconds: If all were as slow as the slowest.
        free_bytes: Free space of the output's disk.
        free_files: Files that its file system can still hold, ``None`` if it does not say.
    """

    images: int
    files: int
    sampled: int
    bytes: int
    core_seconds: float
    free_bytes: int
    free_files: int | None
    least_seconds: float = 0.0
    most_seconds: float = 0.0

    @property
    def core_hours(self) -> float:
        """Computing time on one core, in hours."""
        return self.core_seconds / 3600

    def check_fits(self, out: Path) -> None:
        """Refuse what the disk cannot hold.

        Raises:
            ValueError: If too many bytes or files are needed.
        """
        if self.bytes > self.free_bytes:
            raise InputError(
                f"the copy needs about {size_text(self.bytes)} more, but the disk of '{out}' has "
                f"{size_text(self.free_bytes)} free; choose another disk, or fewer --corruptions, "
                "--severities or images (--limit)"
            )
        if self.free_files is not None and self.files > self.free_files:
            raise InputError(
                f"the copy needs {self.files} more files, but the file system of '{out}' can hold "
                f"only {self.free_files} more (inodes)"
            )


def estimate(plan: Plan, out: Path, done: npt.NDArray[np.bool_]) -> Estimate:
    """Estimate what is left of a plan, by making some of it in memory.

    What the corruptions need is compiled first, so that no time of it is measured.

    Args:
        plan: The whole copy.
        out: Its top; need not exist.
        done: ``(images, cells)`` bool, what is there.
    """
    missing = ~done
    per_cell = missing.sum(axis=0)
    cells = [plan.cells[index] for index in np.flatnonzero(per_cell)]
    lacking = np.flatnonzero(missing.any(axis=1)).tolist()
    usage, free_files = _free(out)
    _warm_up(plan, cells)
    trials = list(_trials(plan, [plan.sources[index] for index in lacking], cells))
    left = {cell: int(count) for cell, count in zip(plan.cells, per_cell, strict=True) if count}
    seconds, size = _total(trials, left, images=len(lacking))
    alone = [_total([trial], left, images=len(lacking))[0] for trial in trials]
    return Estimate(
        images=len(lacking),
        files=int(per_cell.sum()),
        sampled=len(trials),
        bytes=int(size * _MARGIN),
        core_seconds=seconds,
        least_seconds=min(alone, default=0.0),
        most_seconds=max(alone, default=0.0),
        free_bytes=usage,
        free_files=free_files,
    )


def _total(
    trials: Sequence[_Trial], left: Mapping[Cell, int], *, images: int
) -> tuple[float, float]:
    """Seconds and bytes of all that is left, if it is as the trials."""
    seconds, size = images * _mean([trial.reading for trial in trials]), 0.0
    for cell, count in left.items():
        tried = [trial.cells[cell.corruption] for trial in trials if cell.corruption in trial.cells]
        if tried:
            seconds += count * _mean([one.seconds for one in tried])
            size += count * (_mean([one.size for one in tried]) + _BLOCK / 2)
    return seconds, size


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


class _File(NamedTuple):
    seconds: float
    size: int


class _Trial(NamedTuple):
    reading: float
    cells: dict[str, _File]


def _warm_up(plan: Plan, cells: Sequence[Cell]) -> None:
    """Compile, and load pictures, once; in a new environment that takes minutes."""
    names, engine = list(dict.fromkeys(cell.corruption for cell in cells)), plan.engine
    prepare(names, mode=engine.mode, strengths=engine.strengths)
    tiny = np.full((2 * MIN_SIDE, 2 * MIN_SIDE, 3), 128, dtype=np.uint8)
    for cell in cells:
        with contextlib.suppress(Exception):  # of a corruption that the user registered
            _make(plan, tiny, cell, "")


def _trials(plan: Plan, sources: list[Source], cells: list[Cell]) -> Iterator[_Trial]:
    """Make one severity of each corruption of some images; another severity for each image."""
    names = list(dict.fromkeys(cell.corruption for cell in cells))
    severities = {n: [cell.severity for cell in cells if cell.corruption == n] for n in names}
    count = min(_IMAGES, len(sources))
    places = np.linspace(0, len(sources) - 1, count).round().astype(int).tolist()
    begin = time.monotonic()
    for number, place in enumerate(places):
        source = sources[place]
        start = time.perf_counter()
        try:
            image = read_image(source.path, crop=plan.layout.crop, reader=plan.layout.reader)
        except (UnfitImageError, OSError):
            continue  # the run will say so
        reading = time.perf_counter() - start
        made: dict[str, _File] = {}
        for name in names:
            levels = severities[name]
            cell = Cell(name, levels[(len(levels) // 2 + number) % len(levels)])
            try:
                made[name] = _make(plan, image, cell, source.id)
            except Exception:  # a corruption that the user registered; the run will say so
                continue
        yield _Trial(reading, made)
        if time.monotonic() - begin > _BUDGET:
            return


def _make(plan: Plan, image: Image, cell: Cell, key: str) -> _File:
    spec = CorruptionSpec(cell.corruption, cell.severity, plan.engine)
    start = time.perf_counter()
    content = plan.encoding.encode(apply_corruption(image, spec, key=key))
    return _File(time.perf_counter() - start, len(content))


def _free(out: Path) -> tuple[int, int | None]:
    place = out.resolve()
    while not place.exists():
        place = place.parent
    nodes = os.statvfs(place)
    return shutil.disk_usage(place).free, nodes.f_favail if nodes.f_files else None


def size_text(size: float) -> str:
    """Bytes for people: ``'1.3 GB'``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
