"""What a sweep's numbers are measured with."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from stl_backbones.config.openmmlab import innermost_dataset, strip_pretrained
from stl_backbones.config.tasks import scored_kinds
from stl_backbones.copies import ManifestHeader
from stl_backbones.corruptions import CORRUPTIONS, custom_versions, engine_version
from stl_backbones.models.counting import count_parameters
from stl_backbones.models.hashing import file_sha256
from stl_backbones.records import Cell, Provenance
from stl_backbones.robustness.sweep_data import SweepData, SweepOptions
from stl_backbones.robustness.versions import fingerprint

_ABSENT = "absent"
_PACKAGES = ("torch", "numpy", "opencv-python", "pillow", "scikit-image", "scipy", "numba")
# Of two makers, under one import name; recorded as they are installed.
_LIBRARIES = (
    "onedl-mmcv", "onedl-mmengine", "onedl-mmdetection", "onedl-mmsegmentation",
    "mmcv", "mmengine", "mmdet", "mmsegmentation",
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What a sweep of mmseg or mmdet was called with.

    Attributes:
        config: The model's config.
        path: Its file, or packaged name.
        checkpoint: The model's weights.
        task: ``'segmentation'`` or ``'detection'``.
    """

    config: Config
    path: Path
    checkpoint: Path
    task: str


def describe(
    measured: Measured,
    model: torch.nn.Module,
    data: SweepData,
    options: SweepOptions,
    *,
    cells: Sequence[Cell],
) -> Provenance:
    """What the numbers of a sweep of mmseg or mmdet are measured with."""
    inner = innermost(model)
    encoder = getattr(inner, "backbone", None)
    return Provenance(
        task=measured.task,
        model=options.name or measured.path.stem,
        protocol=options.protocol,
        dataset=type(data.dataset).__name__.removeprefix("Checked"),
        dataset_fingerprint=fingerprint(list(data.files(measured.task))),
        num_images=len(data.indices),
        num_images_total=data.total,
        skipped=data.skipped,
        classes=data.classes,
        config_sha256=_config_hash(measured.config),
        checkpoint_sha256=file_sha256(measured.checkpoint),
        inference=_inference(measured.config, measured.task, amp=options.amp),
        device=device_name(),
        versions={**package_versions(_PACKAGES), **_library_versions()},
        parameters=count_parameters(inner),
        encoder_parameters=0 if encoder is None else count_parameters(encoder),
        **corruption_fields(data.manifest, options, cells),
    )


def innermost(model: torch.nn.Module) -> torch.nn.Module:
    """The model inside of mmengine's wrapper for test-time augmentation."""
    inner = getattr(model, "module", None)
    return inner if isinstance(inner, torch.nn.Module) else model


def corruption_fields(
    manifest: ManifestHeader | None, options: SweepOptions, cells: Sequence[Cell]
) -> dict[str, Any]:
    """How the images were corrupted: here, or in the making of the copy that they come from.

    Args:
        manifest: What the copy says of itself.
        options: What is swept.
        cells: All cells.

    Returns:
        Fields of a `Provenance`.
    """
    names = tuple(dict.fromkeys(cell.corruption for cell in cells if not cell.is_clean))
    if options.corrupted_root is None:
        return {
            "corruption_source": "on-the-fly",
            "corruption_mode": options.mode,
            "corruption_package": engine_version(options.engine),
            "channel_order": options.channel_order,
            "seed": options.seed,
            "custom_versions": custom_versions(names),
        }
    source = f"folder:{Path(options.corrupted_root).resolve().name}"
    custom = [name for name in names if name not in CORRUPTIONS]
    if manifest is None:
        return {
            "corruption_source": source,
            "corruption_mode": "files",
            "corruption_package": "unknown",
            "channel_order": "unknown",
            "seed": options.seed,
            "custom_versions": dict.fromkeys(custom, "unknown"),
        }
    return {
        "corruption_source": f"{source} ({manifest.image_format})",
        "corruption_mode": manifest.mode,
        "corruption_package": manifest.engine,
        "channel_order": manifest.channel_order,
        "seed": manifest.seed,
        "custom_versions": {name: manifest.custom.get(name, "unknown") for name in custom},
    }


def device_name() -> str:
    """``'cpu'`` or the accelerator's name."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def package_versions(names: Sequence[str]) -> dict[str, str]:
    """Package -> version, ``'absent'`` where it is not installed; Python's too."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = _ABSENT
    return found


def _library_versions() -> dict[str, str]:
    found = package_versions(_LIBRARIES)
    return {name: found[name] for name in _LIBRARIES if found[name] != _ABSENT}


def _config_hash(config: Config) -> str:
    """Hash of what decides predictions: model and test pipeline, not where files lie."""
    settled: dict[str, Any] = {
        "model": strip_pretrained(config.model.to_dict()),
        "pipeline": innermost_dataset(config)["pipeline"],
    }
    text = json.dumps(settled, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _inference(config: Config, task: str, *, amp: bool) -> str:
    model = config.model
    augmented = "module" in model
    if augmented:
        model = model.module
    test_cfg = model.get("test_cfg") or {}
    if task == "detection":
        words = {"bbox": "boxes", "segm": "masks"}
        how = " and ".join(words[kind] for kind in scored_kinds(config))
    elif test_cfg.get("mode") == "slide":
        crop, stride = test_cfg["crop_size"], test_cfg["stride"]
        how = f"slide crop={crop[0]}x{crop[1]} stride={stride[0]}x{stride[1]}"
    else:
        how = str(test_cfg.get("mode", "whole"))
    extras = {"test-time augmentation": augmented, "bfloat16": amp}
    return ", ".join([how, *(name for name, given in extras.items() if given)])
