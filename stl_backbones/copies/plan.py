"""What is to be made: which images in which cells, how, and who makes which share."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import PIL

from stl_backbones import __version__
from stl_backbones.copies.images import Encoding
from stl_backbones.copies.layouts import Layout, Source
from stl_backbones.copies.manifest import ManifestHeader
from stl_backbones.corruptions.engine import engine_version
from stl_backbones.errors import InputError
from stl_backbones.records import Cell, CorruptionEngine

_PACKAGES = ("numba", "scipy", "scikit-image")
# Below so many images per machine, the corruptions of one image are shared out singly.
_FEW_IMAGES = 64


@dataclass(frozen=True)
class Shard:
    """One machine's share: unit ``i`` belongs to shard ``i % count + 1``.

    Attributes:
        number: 1 to ``count``.
        count: All shards.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(
                f"shard must be 1/n to n/n, such as 1/4, got {self.number}/{self.count}"
            )

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@dataclass(frozen=True)
class Unit:
    """What a worker does in one go: one image, some of its cells.

    Attributes:
        source: Index of the image in the plan.
        cells: Indices of the cells in the plan.
    """

    source: int
    cells: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """A whole corrupted copy.

    Attributes:
        layout: How the data set is laid out.
        split: The split, ``None`` for a plain folder.
        protocol: The protocol's name.
        sources: The clean images, sorted by id.
        cells: The corrupted cells, in the protocol's order.
        engine: How images are corrupted.
        encoding: How files are encoded.
        custom: Corruptions that the user registered: name -> version.
        custom_imports: Modules that register them, imported in every process.
        remarks: What of the data set is left out, a sentence each.
    """

    layout: Layout
    split: str | None
    protocol: str
    sources: tuple[Source, ...]
    cells: tuple[Cell, ...]
    engine: CorruptionEngine
    encoding: Encoding
    custom: Mapping[str, str]
    custom_imports: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        """How many files the finished copy holds."""
        return len(self.sources) * len(self.cells)

    def target(self, source: int, cell: int) -> str:
        """A file's path below the copy's top, in POSIX form."""
        where = self.cells[cell]
        return f"{where.corruption}/{where.severity:g}/{self.sources[source].target}"

    def header(self) -> ManifestHeader:
        """How the copy is made."""
        cells: dict[str, tuple[float, ...]] = {}
        for cell in self.cells:
            cells[cell.corruption] = (*cells.get(cell.corruption, ()), cell.severity)
        return ManifestHeader(
            layout=self.layout.name,
            split=self.split,
            protocol=self.protocol,
            engine=engine_version(self.engine),
            mode=self.engine.mode,
            compat=self.engine.compat,
            channel_order=self.engine.channel_order,
            seed=self.engine.seed,
            versions=package_versions(),
            images=len(self.sources),
            cells=cells,
            image_format=self.encoding.description,
            custom=dict(self.custom),
        )

    def share(self, shard: Shard) -> list[Unit]:
        """One machine's units; they depend on the plan alone, not on what is done already."""
        groups = [tuple(range(len(self.cells)))]
        if len(self.sources) < _FEW_IMAGES * shard.count:
            names = dict.fromkeys(cell.corruption for cell in self.cells)
            groups = [
                tuple(i for i, cell in enumerate(self.cells) if cell.corruption == name)
                for name in names
            ]
        # Turned by one per image, so that no shard gets the slow corruptions of all images.
        units = [
            Unit(source, groups[(source + turn) % len(groups)])
            for source in range(len(self.sources))
            for turn in range(len(groups))
        ]
        return units[shard.number - 1 :: shard.count]


def pending_units(units: Sequence[Unit], done: npt.NDArray[np.bool_]) -> list[Unit]:
    """What is left of units.

    Args:
        units: A share of a plan.
        done: ``(images, cells)`` bool.
    """
    left = []
    for unit in units:
        cells = tuple(cell for cell in unit.cells if not done[unit.source, cell])
        if cells:
            left.append(Unit(unit.source, cells))
    return left


def package_versions() -> dict[str, str]:
    """The packages that decide a file's bytes: name -> version."""
    found = {
        "stl_backbones": __version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


__all__ = ["Plan", "Shard", "Unit", "pending_units"]
