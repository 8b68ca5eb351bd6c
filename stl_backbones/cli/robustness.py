"""From the command line of tools/robustness.py to the sweep that it means."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stl_backbones.cli.any_model import Named, any_model, check_no_other_data
from stl_backbones.cli.parser import greedy_advice
from stl_backbones.cli.robustness_options import TASK_OPTIONS
from stl_backbones.cli.started import command_words
from stl_backbones.cli.tool import parse_options
from stl_backbones.collector import collect_as_usual
from stl_backbones.copies.estimate import size_text
from stl_backbones.corruptions import PROTOCOLS, get_protocol
from stl_backbones.corruptions.catalog import parse_levels
from stl_backbones.errors import InputError, unknown_name
from stl_backbones.models.presets import PRESETS, Preset, get_preset
from stl_backbones.records import Cell
from stl_backbones.report.tasks import TASKS
from stl_backbones.results import CellStore
from stl_backbones.robustness.dry_run import SweepEstimate
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.source import PredictedSource
from stl_backbones.robustness.sources import Source
from stl_backbones.robustness.stopping.judge import Outcome
from stl_backbones.robustness.sweep import estimate_sweep, sweep
from stl_backbones.robustness.tasks import get_task


def run(
    args: argparse.Namespace,
    *,
    progress: Callable[[Any], None] | None = None,
    outcome: Callable[[Outcome], None] | None = None,
) -> Path:
    """Score what a command line names.

    Args:
        args: Parsed by `stl_backbones.cli.robustness_options.make_robustness_parser`.
        progress: Called on the main process with a `SweepProgress`.
        outcome: Called on every process with what a sweep that may stop early came to.

    Returns:
        The folder of the results.

    Raises:
        InputError: If options, model and data do not go together.
        UnknownNameError: If a model, preset, protocol or corruption is unknown.
        MissingFileError: If something named is missing.
    """
    source, work_dir, options = prepared(args)
    return sweep(
        source,
        work_dir=work_dir,
        options=options,
        launcher=args.launcher,
        on_progress=progress,
        on_outcome=outcome,
        vis_backends=args.vis_backends,
    )


def dry_run(args: argparse.Namespace) -> str:
    """What a command line would take, one line per data set; nothing is written."""
    source, work_dir, options = prepared(args)
    found = estimate_sweep(source, work_dir=work_dir, options=options, launcher=args.launcher)
    lines = [_describe_estimate(one) for one in found]
    if options.until:
        lines.append(
            "these are the figures of all images, the most that it takes: with --until it scores "
            "the clean images, then others in random order, and stops once "
            f"{' and '.join(repr(text) for text in options.until)} is decided"
        )
    return "\n".join(lines)


def _describe_estimate(one: SweepEstimate) -> str:
    hours, least, most = (
        f"{seconds / 3600:.3g}" for seconds in (one.seconds, one.least_seconds, one.most_seconds)
    )
    gpu = f", {size_text(one.gpu_memory)} on the GPU" if one.gpu_memory else ""
    return (
        f"{one.dataset}: {one.images} images x {one.cells} cells to score, {hours} hours "
        f"(by single batches {least} to {most}), from {one.sampled} images timed with "
        f"{one.workers} worker(s); memory at most {size_text(one.memory)}{gpu}"
    )


def prepared(args: argparse.Namespace) -> tuple[Source | PredictedSource, Path, SweepOptions]:
    """The model, the folder and what to sweep, by a command line; errors as of `run`."""
    named = _find_model(args)
    options = SweepOptions(
        protocol=args.protocol or "",
        corruptions=_corruptions(args),
        severities=args.severities,
        levels=parse_levels(args.levels),
        limit=args.limit,
        image_list=args.image_list,
        corrupted_root=args.corrupted_root,
        mode=args.mode,
        compat=args.compat,
        channel_order=args.channel_order,
        seed=args.seed,
        depth=args.depth or "",
        skip_broken=args.skip_broken,
        name=args.name or named.title,
        workers=args.workers,
        batch_size=args.batch_size,
        amp=args.amp,
        tf32=args.tf32,
        until=tuple(args.until),
        alpha=args.alpha,
        order_seed=args.order_seed,
        covariate=args.covariate,
        task_options={
            name: getattr(args, name)
            for name in TASK_OPTIONS
            if getattr(args, name) is not None and name not in named.said
        }
        | dict(named.task_options),
    )
    work_dir = args.work_dir or Path("work_dirs") / named.folder / "robustness"
    collect_as_usual()
    return named.source, Path(work_dir), options


def _corruptions(args: argparse.Namespace) -> list[str] | None:
    """The corruptions that are named: none with ``--clean-only``, or the word."""
    named = args.corruptions or ()
    if not args.clean_only and "none" not in named:
        return args.corruptions
    if not args.clean_only and (
        len(named) > 1 or args.severities or args.levels or args.corrupted_root
    ):
        raise InputError(
            "--corruptions none scores the clean images alone: expected no other corruption, "
            "--severities, --levels or --corrupted-root beside it"
        )
    if not args.clean_only:
        return []
    others = [name for name in ("corruptions", "severities", "levels", "corrupted_root")
              if getattr(args, name)]  # fmt: skip
    if others:
        words = " and ".join(f"--{name.replace('_', '-')}" for name in others)
        raise InputError(f"--clean-only scores no corrupted images, so {words} means nothing there")
    return []


def report_command(args: argparse.Namespace, folder: Path) -> str:
    """What to type for a report of the sweep that a command line has just made.

    Returns:
        The command; empty where the task's report is yet to be registered by a module.
    """
    store = CellStore(folder)
    record = store.provenance()
    if record.task not in TASKS:
        return ""
    protocol = args.protocol or get_task(record.task).default_protocol
    words = [*command_words("report"), str(folder)]
    if protocol != record.protocol:
        words += ["--protocol", protocol]
    there = {*store.cells(), *(store.stopped.cells() if record.sampling else ())}
    asked = map(Cell.from_name, record.chosen) if record.chosen else get_protocol(protocol).cells()
    if set(asked) - there:
        words.append("--partial")
    modules = args.custom_imports or _config_modules(args, protocol)
    if modules:
        words += ["--custom-imports", *modules]
    return shlex.join(words)


def _config_modules(args: argparse.Namespace, protocol: str) -> list[str]:
    """The modules that a config imports, where one of them registers the protocol."""
    if args.config is None or protocol in PROTOCOLS:
        return []
    from stl_backbones.robustness.sources.config import ConfigSource

    source = _find_model(args).source
    if not isinstance(source, ConfigSource):
        return []
    imports = dict(source.config.get("custom_imports") or {}).get("imports") or []
    return [imports] if isinstance(imports, str) else list(imports)


def list_presets() -> str:
    """The presets, by the table of the paper whose rows they are."""
    from stl_backbones.config.packaged import mm_preset_lines

    classifiers = "\n".join(map(_preset_line, PRESETS.values()))
    return (
        "Tables 2, 3 and 12: name, row, timm's model, the row's accuracy, and what is to be got\n"
        f"{classifiers}\n\n"
        "Tables 4 and 5: name, row, config, and what is to be got\n"
        f"{mm_preset_lines()}"
    )


def _preset_line(preset: Preset) -> str:
    score = "-" if preset.paper_top1 is None else f"{preset.paper_top1:.1f} %"
    if preset.weights:
        weights = f"fetches {preset.weights}"
    elif "." in preset.timm_name:
        weights = "timm fetches it"
    else:
        weights = "give --checkpoint FILE"
    line = f"{preset.name:<16} {preset.title:<20} {preset.timm_name:<46} {score:<7} {weights}"
    return f"{line}\n{'':<16} {preset.note}" if preset.note else line


def _find_model(args: argparse.Namespace) -> Named:
    """The one model that is named, by whichever of the options that name one."""
    words = ("config", "timm", "preset", "model")
    named = [word for word in words if getattr(args, word) is not None]
    if len(named) != 1:
        raise InputError(
            "expected one model: CONFIG CHECKPOINT, --timm NAME, --preset NAME or --model SOURCE; "
            f"got {' and '.join(named) or f'none{_swallowed(args)}'}"
        )
    if args.model is not None:
        return any_model(args)
    check_no_other_data(args)
    if args.config is not None:
        _refuse_timm_name(args.config)
        given = [file for file in (args.checkpoint, args.weights) if file is not None]
        if len(given) != 1:
            raise InputError(
                f"config '{args.config}' needs one checkpoint to score, as second word or as "
                f"--checkpoint FILE, got {' and '.join(given) or 'none'}"
            )
        return _config(args, args.config, given[0])
    if args.preset is not None and args.preset not in PRESETS:
        return _mm_preset(args)
    return _timm(args)


def _refuse_timm_name(config: str) -> None:
    """Refuse a timm model's name where a config is expected."""
    if "::" in config or Path(config).exists():
        return
    from timm import is_model

    if is_model(config.partition(".")[0]):
        raise InputError(f"config '{config}' does not exist; for timm's model: --timm {config}")


def _config(
    args: argparse.Namespace, config: str, checkpoint: str, title: str | None = None
) -> Named:
    from stl_backbones.robustness.sources.config import ConfigSource

    source = ConfigSource(
        config,
        checkpoint,
        options=parse_options(args.cfg_options),
        data_root=args.data_root,
        ema=not args.no_ema,
    )
    return Named(source, source.path.stem, title)


def _mm_preset(args: argparse.Namespace) -> Named:
    """A preset of Tables 4 and 5: a config of mmseg or mmdet, and its checkpoint."""
    from stl_backbones.config.packaged import find_release
    from stl_backbones.models.mm_presets import MM_PRESETS

    if args.preset not in MM_PRESETS:
        raise unknown_name("preset", args.preset, (*PRESETS, *MM_PRESETS))
    preset = MM_PRESETS[args.preset]
    weights = args.weights or find_release(preset.config).weights
    if not weights:
        raise InputError(
            f"preset '{preset.name}' needs its weights, --checkpoint FILE: train them, "
            f"tools/train.py {preset.training or preset.config}"
        )
    return _config(args, preset.config, weights, preset.title)


def _timm(args: argparse.Namespace) -> Named:
    """A timm model, by its name or a classifier's preset."""
    from stl_backbones.robustness.sources.timm import TimmSource

    if args.data_root is None:
        raise InputError("--timm and --preset need --data-root DIR, the clean images' folder")
    if args.cfg_options:
        raise InputError("--cfg-options change a config, and --timm and --preset have none")
    preset = None if args.preset is None else get_preset(args.preset)
    source = TimmSource(
        args.timm if preset is None else preset.timm_name,
        args.weights or (preset and preset.weights) or None,
        data_root=args.data_root,
        name=None if preset is None else preset.title,
        ema=not args.no_ema,
    )
    return Named(source, args.preset or args.timm)


def _swallowed(args: argparse.Namespace) -> str:
    """Advice where the model's words may have gone to an option that takes several."""
    options = ("corruptions", "severities", "levels", "cfg_options", "custom_imports")
    return greedy_advice([f"--{n.replace('_', '-')}" for n in options if getattr(args, n, None)])


__all__ = ["dry_run", "list_presets", "prepared", "report_command", "run"]
