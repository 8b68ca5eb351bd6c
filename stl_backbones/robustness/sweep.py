"""The robustness sweep of a segmentation model or a detector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import init_dist
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope

from stl_backbones.config.openmmlab import contiguous_maps, scoring_model_config, with_tta
from stl_backbones.config.packaged import config_file
from stl_backbones.config.reading import building, load_config, without_import_notes
from stl_backbones.config.tasks import scored_kinds, task_of
from stl_backbones.engine.distributed import Ranks, start_distributed
from stl_backbones.engine.loading import load_model_weights
from stl_backbones.errors import InputError
from stl_backbones.robustness.provenance import Measured, describe, innermost
from stl_backbones.robustness.runner import Tell, run_blocks
from stl_backbones.robustness.scorers import DenseScorer, DetectionScorer, SegmentationScorer
from stl_backbones.robustness.sweep_data import SweepData, SweepOptions


def sweep(
    config_path: str | Path,
    checkpoint: str | Path,
    *,
    work_dir: str | Path,
    sweep_options: SweepOptions,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    progress: Tell | None = None,
) -> Path:
    """Score a segmentation model or a detector on every cell of a protocol.

    Finished blocks of images are kept in ``work_dir``; the same call goes on where a killed one
    stopped, and ends with the same files. A detector's detections are kept too, see
    `stl_backbones.robustness.scorers.detections_path`.

    Args:
        config_path: The model's config, a file or a packaged name such as ``mmdet::...``; its
            ``test_dataloader`` names the data.
        checkpoint: The model's weights.
        work_dir: The sweep's folder.
        sweep_options: What to sweep.
        options: ``--cfg-options``.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        progress: Called on the main process when images are finished.

    Returns:
        ``work_dir``.

    Raises:
        ValueError: If config, checkpoint, data or folder do not fit together.
        KeyError: If protocol or corruption are unknown.
        FileNotFoundError: If something named is missing.
    """
    config_path = config_file(config_path)
    start_distributed(launcher)
    if launcher != "none" and torch.cuda.is_available():
        init_dist(launcher)
    ranks = Ranks()
    config = load_config(config_path, options=options)
    init_default_scope(config.get("default_scope", "mmengine"))
    task = task_of(config)
    if sweep_options.tta:
        config = with_tta(config)
    # Only now: the config's `custom_imports` may register the protocol.
    sweep_options = sweep_options.settled(task)
    cells = sweep_options.cells()
    model = ranks.on_each(lambda: build_model(config, checkpoint))
    data = ranks.on_each(lambda: SweepData.open(config, cells, sweep_options, task=task))
    _check_classes(model, data)
    measured = Measured(config, Path(config_path), Path(checkpoint), task)
    provenance = ranks.on_main(lambda: describe(measured, model, data, sweep_options, cells=cells))
    settings: dict[str, Any] = {
        "model": model, "data": data, "cells": cells, "options": sweep_options,
        "provenance": provenance,
    }  # fmt: skip
    scorer: DenseScorer = (
        DetectionScorer(kinds=scored_kinds(config), **settings)
        if task == "detection"
        else SegmentationScorer(**settings)
    )
    run_blocks(scorer, Path(work_dir), ranks, progress)
    return Path(work_dir)


def _check_classes(model: torch.nn.Module, data: SweepData) -> None:
    """Refuse a model whose classes are not the data set's."""
    found = num_classes(innermost(model))
    if found is not None and found != len(data.classes):
        raise InputError(
            f"the model has {found} classes, the data set {len(data.classes)}: "
            f"{', '.join(data.classes[:5])}{', ...' if len(data.classes) > 5 else ''}"
        )


def num_classes(model: torch.nn.Module) -> int | None:
    """Classes of a segmentation model's or a detector's last head; ``None`` if it does not say."""
    head: Any = model
    for name in ("decode_head", "roi_head", "bbox_head", "mask_head"):
        inner = getattr(head, name, None)
        if inner is not None:
            head = inner[-1] if isinstance(inner, torch.nn.ModuleList | list) else inner
            if isinstance(getattr(head, "num_classes", None), int):
                return int(head.num_classes)
    return None


def build_model(config: Config, checkpoint: str | Path) -> torch.nn.Module:
    """Build the config's model with a checkpoint's weights, ready to predict.

    Raises:
        FileNotFoundError: If the checkpoint is missing.
        ValueError: If it does not fit, or the config does not build.
    """
    with without_import_notes(), building("the model"):
        model = MODELS.build(scoring_model_config(config))
    load_model_weights(innermost(model), checkpoint)
    contiguous_maps(model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return revert_sync_batchnorm(model).to(device).eval()
