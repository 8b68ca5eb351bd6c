"""What a sweep is asked for, beside its model and data."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from stl_backbones.copies.request import choose_workers
from stl_backbones.corruptions import check_depth, check_spec, get_protocol
from stl_backbones.corruptions.catalog import SEVERITIES, check_severity
from stl_backbones.engine.precision import check_precision, check_tf32
from stl_backbones.errors import InputError
from stl_backbones.records import CLEAN, COMPATS, Cell, CorruptionEngine, CorruptionSpec
from stl_backbones.robustness.names_on_disk import check_on_disk, split_names


@dataclass(frozen=True)
class SweepOptions:
    """What to sweep, beside model and data.

    Attributes:
        protocol: The protocol's name; empty for the task's own.
        corruptions: Only these of the protocol's corruptions, or groups of it; none for the clean
            images alone. With ``corrupted_root`` also others that it holds.
        severities: Only these severities, 1 to 5; fractions too.
        levels: Corruption -> levels in its unit, in place of severities.
        limit: Only the first images of the data set; of a classification set, so many spread over
            the classes.
        image_list: Only the images that this file names, one id a line.
        corrupted_root: Read corrupted images from here instead of making them.
        mode: The corruption engine; ``None`` takes the protocol's default: ``'exact'`` where
            numbers by it are published, ``'fast'`` elsewhere.
        compat: The package whose numbers ``mode='exact'`` repeats.
        channel_order: What the corruption sees, ``'rgb'`` or ``'bgr'``.
        seed: Another seed, another draw of the benchmark.
        depth: Folder of distances, for corruptions that need them.
        skip_broken: Leave out broken images instead of refusing the data set.
        name: The model's name in tables; default: the config's or timm's name.
        workers: Processes that load and corrupt ahead of the model; default: see `free_workers`.
        batch_size: Images of a batch, at most; default: the task's. Only images of one size share
            a batch. A process that is killed loses one batch in all cells, or as many batches as
            give every worker an image.
        amp: Mixed precision, ``'bfloat16'`` or ``'float16'``; see `stl_backbones.engine.precision`.
        tf32: Let a GPU compute float32 in TF32, see `repeatable_scoring` of the same module.
        until: Stop as soon as these are decided: ``'average >= 0.60'``, ``'average +- 1.0'`` in
            points, ``'average > SWEEP_DIR'``; none: score all images. docs/explanation/stopping.md.
        alpha: Chance of a wrong verdict, and that an interval leaves its number out; default 0.05.
        order_seed: Decides the order in which images are drawn; default 0.
        covariate: What is known of all images and narrows the intervals: ``'confidence'``, the
            clean probability of the true class, which is a classifier's default, or ``'none'``.
        task_options: Options that the task alone has, by name, as given; see
            `stl_backbones.robustness.tasks.Task.options`.
    """

    protocol: str = ""
    corruptions: Sequence[str] | None = None
    severities: Sequence[float] | None = None
    levels: Mapping[str, Sequence[float]] = field(default_factory=dict)
    limit: int | None = None
    image_list: str | Path | None = None
    corrupted_root: str | Path | None = None
    mode: str | None = None
    compat: str = COMPATS[0]
    channel_order: str = "rgb"
    seed: int = 0
    depth: str | Path = ""
    skip_broken: bool = False
    name: str | None = None
    workers: int | None = None
    batch_size: int | None = None
    amp: str | None = None
    tf32: bool = False
    until: Sequence[str] = ()
    alpha: float | None = None
    order_seed: int | None = None
    covariate: str | None = None
    task_options: Mapping[str, Any] = field(default_factory=dict)

    def resolved(self, *, protocol: str, batch_size: int) -> SweepOptions:
        """The same options, checked, with the defaults of task and protocol filled in.

        Args:
            protocol: The task's default protocol.
            batch_size: The task's default batch size.

        Raises:
            InputError: If an option is out of range or unknown.
            UnknownNameError: If the protocol or a corruption is unknown.
        """
        protocol = self.protocol or protocol
        mode = self.mode or get_protocol(protocol).default_mode
        if self.amp is not None:
            check_precision(self.amp)
        check_tf32(self.tf32)
        batch_size = batch_size if self.batch_size is None else self.batch_size
        workers = free_workers() if self.workers is None else self.workers
        for name, value, least in (
            ("limit", self.limit, 1), ("batch size", batch_size, 1), ("workers", workers, 0),
        ):  # fmt: skip
            if value is not None and value < least:
                raise InputError(f"{name} must be at least {least}, got {value}")
        resolved = dataclasses.replace(
            self, protocol=protocol, mode=mode, batch_size=batch_size, workers=workers,
            seed=int(self.seed),
        )  # fmt: skip
        self._check_corruptions(resolved)
        return resolved

    def _check_corruptions(self, resolved: SweepOptions) -> None:
        """Refuse what is unknown, and what the engine, or the copy, does not have."""
        engine, cells = resolved.engine, resolved.cells()
        if self.corrupted_root is None:
            check_depth([cell.corruption for cell in cells], str(self.depth))
            for cell in cells[1:]:
                check_spec(CorruptionSpec(cell.corruption, cell.severity, engine))
            return
        if self.depth:
            raise InputError("--depth is for corruptions made on the fly; a copy has its own")
        if self.corruptions:
            own = get_protocol(resolved.protocol)
            check_on_disk(self.corrupted_root, split_names(own, self.corruptions)[1], own)

    @property
    def engine(self) -> CorruptionEngine:
        """How images are corrupted, once the options are resolved."""
        strengths = get_protocol(self.protocol).strengths
        return CorruptionEngine(
            str(self.mode), self.compat, self.channel_order, self.seed, strengths, str(self.depth)
        )

    def cells(self) -> tuple[Cell, ...]:
        """The cells to measure, clean first.

        Raises:
            InputError: If none remains.
            UnknownNameError: If the protocol or a corruption is unknown.
        """
        protocol = get_protocol(self.protocol)
        if self.corruptions is not None and not self.corruptions:
            return (CLEAN,)
        own, from_disk = self.corruptions, list[str]()
        if own is not None and self.corrupted_root is not None:
            own, from_disk = split_names(protocol, own)
        wanted = SEVERITIES if self.severities is None else self.severities
        levels = sorted({check_severity(severity) for severity in wanted})
        others = [Cell(name, severity) for name in from_disk for severity in levels]
        if from_disk and not own:
            return (CLEAN, *others)
        cells = protocol.cells(corruptions=own, severities=self.severities, levels=self.levels)
        return (*cells, *others)


def free_workers() -> int:
    """Processes that make images where the user names no number.

    With a GPU the cores that this process may use, but for the one that feeds it. On a CPU one: the
    network needs the others.
    """
    if not torch.cuda.is_available():
        return 1
    return max(1, choose_workers(None, os.environ) - 1)


__all__ = ["SweepOptions", "free_workers"]
