"""What a task is to a sweep: which data a model is scored on, and what is kept of a prediction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from stl_backbones.corruptions import prepare
from stl_backbones.engine.distributed import Ranks
from stl_backbones.errors import InputError
from stl_backbones.records import CLEAN, Cell, Provenance
from stl_backbones.results import CellStore
from stl_backbones.robustness.examined import Examined
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.versions import CPU, Versions, load_versions

# Name -> array of which every image has its rows: one, or as many as it has detections, say.
Samples = dict[str, npt.NDArray[np.generic]]
# Indices of images: neighbours in the data set, or in the order of a sweep that may stop early.
Block = range | tuple[int, ...]
Scored = tuple[Block, dict[Cell, Samples]]
Tally = npt.NDArray[Any]
Tick = Callable[[int], None]


class ScoredSet(ABC):
    """A model and the images of one folder of results.

    Attributes:
        metric: What `score_of` gives, for example ``'mIoU'``.
        is_share: Whether that is a fraction.
        place: The folder, below the sweep's; ``''`` for itself.
        title: The data set's name.
        keys: The images' ids.
        cells: What to score them in.
        provenance: What is measured, and how.
        options: Resolved options.
        versions: Makes the images' versions.
        is_on_the_fly: Whether corrupted images are made here.
        device: Where the model is; versions come there.
        conditions: Of a set of other images: column -> image id -> value.
    """

    metric: str
    is_share: bool = True
    place: str = ""
    title: str
    keys: tuple[str, ...]
    cells: tuple[Cell, ...]
    provenance: Provenance
    options: SweepOptions
    versions: Versions
    is_on_the_fly: bool
    device: torch.device = CPU
    conditions: Mapping[str, Mapping[str, str]] = {}

    @property
    def workers(self) -> int:
        """Processes that make versions."""
        return int(self.options.workers or 0)

    @property
    def block_size(self) -> int:
        """Images of a block, at most."""
        return int(self.options.batch_size or 1)

    def score(self, blocks: Sequence[Block], cells: Sequence[Cell], tick: Tick) -> Iterator[Scored]:
        """Yield the samples of each block, in order; a few blocks are worked on cell by cell.

        Args:
            blocks: Images that belong together.
            cells: The cells that they are needed in.
            tick: Called with the number of versions just scored.
        """
        if not blocks or not cells:
            return
        names = tuple(dict.fromkeys(cell.corruption for cell in cells if not cell.is_clean))
        if self.is_on_the_fly and names:
            engine = self.options.engine  # once here, not once in every worker
            prepare(names, mode=engine.mode, strengths=engine.strengths)
        groups = list(_group(blocks, workers=self.workers))
        made = load_versions(
            self.versions,
            [tuple(image for block in group for image in block) for group in groups],
            cells,
            workers=self.workers,
            in_this_process=self.options.mode == "torch" and self.is_on_the_fly,
            device=self.device,
        )
        for group in groups:
            found: dict[Block, dict[Cell, Any]] = {block: {} for block in group}
            for cell in cells:
                versions, start = next(made), 0
                for block in group:
                    own = versions[start : start + len(block)]
                    start += len(block)
                    found[block][cell] = self.score_block(block, own)
                    tick(len(block))
            for block, by_cell in found.items():
                light = self.versions.take_light(block) if CLEAN in by_cell else {}
                yield (
                    block,
                    {
                        cell: {**self.collect(block, kept), **light}
                        for cell, kept in by_cell.items()
                    },
                )

    def examine(self, image: int, cells: Sequence[Cell]) -> Iterator[Examined]:
        """Make versions of one image again, as for the sweep, and predict each by itself.

        Args:
            image: Its position.
            cells: Which versions.

        Raises:
            InputError: If the task has nothing to show.
        """
        made = load_versions(
            self.versions,
            [(image,)],
            cells,
            workers=0,
            in_this_process=self.options.mode == "torch" and self.is_on_the_fly,
            device=self.device,
        )
        for cell, versions in zip(cells, made, strict=True):
            pixels = self.versions.shown
            prediction, samples = self.look(image, versions)
            yield Examined(cell, self.seen(image, versions, pixels), prediction, samples)

    def look(self, image: int, versions: Any) -> tuple[Any, Samples]:
        """Predict one version: what a picture shows, and what the sweep keeps.

        Args:
            image: Its position.
            versions: It alone, as `score_block` takes it.

        Returns:
            One of the kinds of `stl_backbones.robustness.examined`, and the samples.

        Raises:
            InputError: If the task has nothing to show.
        """
        del image, versions
        raise InputError(
            f"{type(self).__name__} has no pictures: expected a method look(image, versions)"
        )

    def seen(self, image: int, versions: Any, pixels: Any) -> npt.NDArray[np.uint8]:
        """The version's pixels ``(H, W, 3)``, RGB; ``pixels`` is what its `Versions` made."""
        del image, versions
        return pixels

    @abstractmethod
    def score_block(self, block: Block, versions: Any) -> Any:
        """Predict the versions of a block's images in one cell, and say what is kept.

        Where the model runs on a GPU this must not wait for it; `collect` may.
        """

    def collect(self, block: Block, kept: Any) -> Samples:
        """What `score_block` returned, as arrays; called once the block is scored in all cells."""
        del block
        return kept

    @abstractmethod
    def tally(self, samples: Samples) -> Tally:
        """What a block's samples of one cell add to the running score."""

    @abstractmethod
    def score_of(self, tally: Tally, images: int) -> float:
        """The running score of a sum of tallies."""

    def is_kept(self, store: CellStore, cell: Cell) -> bool:
        """Whether what `finish` writes beside a finished cell is there."""
        del store, cell
        return True

    def finish(self, store: CellStore, cell: Cell, samples: Samples) -> Samples:
        """Turn the joined blocks of a cell into the samples that are stored."""
        del store, cell
        return samples


class Task(ABC):
    """A task.

    Attributes:
        name: As in a `Provenance`; the report's task has the same.
        default_protocol: The protocol of a sweep that names none.
        bases: Classes whose subclasses, as a config's model, are of this task: how their module's
            name begins, and their name.
        options: Options that this task alone has -> what they are without being given.
    """

    name: str
    default_protocol: str
    bases: tuple[tuple[str, str], ...] = ()
    options: Mapping[str, Any] = {}

    @property
    def default_batch_size(self) -> int:
        """Images of a batch where the user names no number."""
        return 1

    def resolved(self, options: SweepOptions) -> SweepOptions:
        """The options, checked, with the task's defaults filled in.

        Raises:
            InputError: If an option is out of range, unknown, or another task's.
            UnknownNameError: If the protocol or a corruption is unknown.
        """
        others = [name for name in options.task_options if name not in self.options]
        if others:
            words = ", ".join(f"--{name.replace('_', '-')}" for name in others)
            raise InputError(f"{words}: not an option of {self.name}, which the model is for")
        return options.resolved(protocol=self.default_protocol, batch_size=self.default_batch_size)

    def from_config(self, source: Any, options: SweepOptions) -> Any:
        """Build the model of a config.

        Args:
            source: A `stl_backbones.robustness.sources.config.ConfigSource`.
            options: Resolved options.

        Returns:
            What `open` takes.

        Raises:
            InputError: If config, checkpoint and options do not fit together.
            MissingFileError: If the checkpoint is missing.
        """
        del source, options
        raise InputError(f"models for {self.name} do not come from configs")

    @abstractmethod
    def open(self, subject: Any, options: SweepOptions, ranks: Ranks) -> Sequence[ScoredSet]:
        """Check all data of a sweep before any of it is scored; called on every process.

        Args:
            subject: What the source opened: a model, and how its images are prepared.
            options: Resolved options.
            ranks: The job's processes.

        Raises:
            InputError: If data and model do not fit together, or data are broken.
            MissingFileError: If something named is missing.
        """


def _group(blocks: Sequence[Block], *, workers: int) -> Iterator[Sequence[Block]]:
    """Blocks that are worked on together, so that every worker has an image."""
    each = -(-max(workers, 1) // max(map(len, blocks)))
    for start in range(0, len(blocks), each):
        yield blocks[start : start + each]


__all__ = ["Block", "Samples", "Scored", "ScoredSet", "Tally", "Task", "Tick"]
