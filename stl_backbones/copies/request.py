"""A corrupted copy of a data set: from the options of a command line to a plan and its share."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stl_backbones.copies import (
    Estimate,
    Outcome,
    Plan,
    Shard,
    Workplace,
    check_apart,
    count_kinds,
    estimate,
    find_done,
    find_sources,
    get_layout,
    make_copy,
    read_header,
    size_text,
    verify,
)
from stl_backbones.corruptions import (
    check_depth,
    check_spec,
    custom_versions,
    get_protocol,
    import_modules,
)
from stl_backbones.errors import InputError
from stl_backbones.records import CorruptionEngine, CorruptionSpec


@dataclass(frozen=True)
class GenerateOptions:
    """What to make, beside source and output.

    Attributes:
        layout: How the data set is laid out.
        protocol: The protocol's name; default: the layout's.
        corruptions: Only these of the protocol's corruptions.
        severities: Only these severities, fractions too.
        levels: Corruption -> levels in its unit, in place of severities.
        split: The split; default: the layout's, ``'val'`` where it has splits.
        limit: Only the first images.
        engine: How images are corrupted; with the constants of the protocol.
        format: ``'png'`` or ``'jpeg'``; default: the layout's.
        custom_imports: Modules that register corruptions.
        label_maps: Corrupt what looks like a label map too.
    """

    layout: str
    protocol: str | None = None
    corruptions: Sequence[str] | None = None
    severities: Sequence[float] | None = None
    levels: Mapping[str, Sequence[float]] = field(default_factory=dict)
    split: str | None = None
    limit: int | None = None
    engine: CorruptionEngine = CorruptionEngine("exact")  # noqa: RUF009  frozen
    format: str | None = None
    custom_imports: Sequence[str] = ()
    label_maps: bool = False


def plan_copy(source: str | Path, out: str | Path, options: GenerateOptions) -> Plan:
    """Find the images and check the options; writes nothing.

    Raises:
        ValueError: If an option is out of range, source and output are not apart, or two images
            would have the same copy.
        KeyError: If layout, protocol or corruption are unknown.
        FileNotFoundError: If the source, or the split's folder in it, is missing or empty.
    """
    import_modules(options.custom_imports)
    layout = get_layout(options.layout)
    if options.split is not None and layout.split is None:
        raise InputError(f"layout '{layout.name}' has no splits, got --split '{options.split}'")
    if options.limit is not None and options.limit < 1:
        raise InputError(f"limit must be at least 1, got {options.limit}")
    if options.engine.mode == "torch":
        raise InputError("mode 'torch' depends on the device, and so would the files; use 'fast'")
    protocol = layout.protocol if options.protocol is None else options.protocol
    cells = get_protocol(protocol).cells(
        corruptions=options.corruptions, severities=options.severities, levels=options.levels
    )
    corrupted = tuple(cell for cell in cells if not cell.is_clean)
    engine = dataclasses.replace(options.engine, strengths=get_protocol(protocol).strengths)
    for cell in corrupted:
        check_spec(CorruptionSpec(cell.corruption, cell.severity, engine))
    encoding = layout.encoding(options.format)
    source, out = Path(source), Path(out)
    check_apart(source, out)
    split = layout.split if options.split is None else options.split
    found = find_sources(
        source, layout, split=split, encoding=encoding, limit=options.limit,
        label_maps=options.label_maps,
    )  # fmt: skip
    names = [cell.corruption for cell in corrupted]
    check_depth(names, options.engine.depth, [one.id for one in found.sources])
    return Plan(
        layout=layout,
        split=split,
        protocol=protocol,
        sources=found.sources,
        remarks=found.remarks,
        cells=corrupted,
        engine=engine,
        encoding=encoding,
        custom=custom_versions(names, options.engine.depth),
        custom_imports=tuple(options.custom_imports),
    )


def estimate_copy(plan: Plan, out: str | Path) -> Estimate:
    """Estimate what is left to do; writes nothing.

    Raises:
        ValueError: If ``out`` holds something else, or a copy made otherwise.
    """
    place = Workplace(Path(out), Shard())
    place.refuse_other(plan.header())
    return estimate(plan, Path(out), find_done(plan, place))


def find_shard(text: str | None, environment: Mapping[str, str]) -> Shard:
    """The share of this process: ``--shard``, or the launcher's rank.

    Args:
        text: ``'i/n'``, i from 1 to n; ``None`` asks the environment.
        environment: Where torchrun (RANK, WORLD_SIZE) and Slurm (SLURM_PROCID, SLURM_NTASKS) say
            which process this is.

    Raises:
        ValueError: If the text is no shard, or a launcher gives another one.
    """
    launched = _launched_shard(environment)
    if text is None:
        return launched
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None:
        raise InputError(f"--shard must be i/n, such as 1/4 for the first of four, got '{text}'")
    if launched.count > 1:
        raise InputError(
            f"--shard {text} under a launcher, which gives this process share {launched}: "
            "leave --shard out"
        )
    return Shard(int(match[1]), int(match[2]))


def _launched_shard(environment: Mapping[str, str]) -> Shard:
    rank, size = environment.get("RANK"), environment.get("WORLD_SIZE")
    # A batch script has SLURM_NTASKS too, but only under srun are there so many processes.
    in_script = "SLURM_JOB_ID" in environment and "SLURM_STEP_ID" not in environment
    if (rank is None or size is None) and not in_script:
        rank, size = environment.get("SLURM_PROCID"), environment.get("SLURM_NTASKS")
        size = environment.get("SLURM_STEP_NUM_TASKS", size)
    if rank is None or size is None:
        return Shard()
    if not rank.isdecimal() or not size.isdecimal():
        raise InputError(f"the launcher's rank and size must be numbers, got '{rank}', '{size}'")
    return Shard(int(rank) + 1, int(size))


def choose_workers(asked: int | None, environment: Mapping[str, str]) -> int:
    """How many processes: as asked, else this process's share of the cores that it may use.

    Raises:
        ValueError: If fewer than one are asked for.
    """
    if asked is not None:
        if asked < 1:
            raise InputError(f"workers must be at least 1, got {asked}")
        return asked

    def number(name: str) -> int:
        value = environment.get(name, "")
        return int(value) if value.isdecimal() else 0

    cores = number("SLURM_CPUS_PER_TASK")  # of a task; torchrun's processes share their one task's
    neighbours = number("LOCAL_WORLD_SIZE")
    if not cores:
        cores = len(os.sched_getaffinity(0))
        neighbours = neighbours or number("OMPI_COMM_WORLD_LOCAL_SIZE")
    return max(1, cores // max(neighbours, 1))


def describe(plan: Plan, needed: Estimate, *, workers: int, shard: Shard) -> str:
    """What is to be done, and the estimate, for the terminal."""
    there = plan.files - needed.files
    lines = [
        f"{len(plan.sources)} images x {len(plan.cells)} cells = {plan.files} files"
        f"{f', {there} there already' if there else ''}  "
        f"({plan.layout.name}, {plan.protocol}, {plan.engine.mode}, {plan.encoding.description})",
        f"read with {plan.layout.reader}",
        *plan.remarks,
    ]
    if needed.files and needed.sampled:
        each = f" in each of {shard.count} shards" if shard.count > 1 else ""
        middle, least, most = (
            datetime.timedelta(seconds=round(seconds / workers / shard.count))
            for seconds in (needed.core_seconds, needed.least_seconds, needed.most_seconds)
        )
        hours = f"{needed.least_seconds / 3600:.3g} to {needed.most_seconds / 3600:.3g}"
        lines.append(
            f"estimate from {needed.sampled} images: {needed.files} files, "
            f"{size_text(needed.bytes)}, {needed.core_hours:.3g} core hours (by single images "
            f"{hours}), about {middle} ({least} to {most}) with {workers} workers{each}; "
            f"{size_text(needed.free_bytes)} free"
        )
    elif needed.files:
        lines.append("no estimate: none of the images tried could be used")
    return "\n".join(lines)


def summary(plan: Plan, out: str | Path, outcome: Outcome, *, shard: Shard) -> str:
    """What was done, for the terminal."""
    lines = [f"{outcome.made} files made in {out}"]
    if outcome.failures:
        lines.append(f"{len(outcome.failures)} failed; mend or remove those images and run again")
    if not outcome.missing:
        lines.append(f"complete: {plan.files} files, manifest written")
    elif outcome.others_at_work:
        lines.append(f"shard {shard} is done; the shard that ends last writes the manifest")
    else:
        hint = f"; shard {shard} is done, run the others" if shard.count > 1 else ""
        lines.append(f"not complete, so without a manifest: {outcome.missing} files missing{hint}")
    return "\n".join(lines)


def wait_for_others(out: str | Path, shard: Shard) -> None:
    """Wait until no other shard is at work on a copy."""
    if shard.count > 1:
        Workplace(Path(out), shard).wait_for_others()


__all__ = [
    "GenerateOptions",
    "choose_workers",
    "count_kinds",
    "describe",
    "estimate_copy",
    "find_shard",
    "make_copy",
    "plan_copy",
    "read_header",
    "summary",
    "verify",
    "wait_for_others",
]
