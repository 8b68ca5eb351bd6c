"""Stores whose scores are known by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stl_backbones.corruptions.catalog import get_protocol
from stl_backbones.records import Cell, CellResult, Provenance
from stl_backbones.results import CellStore

PLAIN = {
    "task": "segmentation",
    "model": "FAN",
    "protocol": "stl-cityscapes-c",
    "dataset": "tiny",
    "dataset_fingerprint": "f1" * 16,
    "num_images": 2,
    "num_images_total": 2,
    "skipped": (),
    "classes": ("road", "car"),
    "config_sha256": "c0" * 32,
    "checkpoint_sha256": "ab" * 32,
    "inference": "whole",
    "corruption_source": "on-the-fly",
    "corruption_mode": "reference",
    "corruption_package": "imagecorruptions-imaug 1.1.5",
    "channel_order": "rgb",
    "seed": 0,
    "device": "cpu",
    "versions": {"numpy": "2.2.6", "torch": "2.11.0"},
}
NOISES = ("gaussian_noise", "impulse_noise", "shot_noise", "speckle_noise")


def default_percent(cell: Cell) -> int:
    """Clean 80; noises 30 and all others 50, at every severity."""
    if cell.is_clean:
        return 80
    return 30 if cell.corruption in NOISES else 50


def confusion_of(percent: int) -> np.ndarray:
    """Two images whose summed matrix [[2p, 100-p], [100-p, 2p]] has IoU p / 100 in both classes.

    2p / (2p + 2 (100 - p)) = p / 100. All hits are in the first image and all misses in the
    second, so a mean of per-image scores would be 50 whatever p is.
    """
    right, wrong = 2 * percent, 100 - percent
    return np.array([[[right, 0], [0, right]], [[0, wrong], [wrong, 0]]], dtype=np.int64)


@pytest.fixture
def make_result() -> Callable[..., CellResult]:
    def make(cell: Cell, confusion: np.ndarray, **fields: Any) -> CellResult:
        provenance = Provenance(**{**PLAIN, "num_images": len(confusion), **fields})
        ids = tuple(f"image{index}" for index in range(len(confusion)))
        return CellResult(cell, provenance, ids, {"confusion_matrix": confusion})

    return make


@pytest.fixture(scope="session")
def complete_store(tmp_path_factory) -> Callable[..., Path]:
    """A complete sweep, written once for each set of arguments; copy it, do not change it."""

    made: dict[tuple[Callable[[Cell], int], str], Path] = {}

    def make(percent: Callable[[Cell], int], **fields: Any) -> Path:
        key = (percent, repr(fields))
        if key not in made:
            made[key] = write(percent, **fields)
        return made[key]

    def write(percent: Callable[[Cell], int], **fields: Any) -> Path:
        provenance = Provenance(**{**PLAIN, **fields})
        store = CellStore(tmp_path_factory.mktemp("complete"))
        with store.writing(provenance):
            for cell in get_protocol(provenance.protocol).cells():
                samples = {"confusion_matrix": confusion_of(percent(cell))}
                store.write(CellResult(cell, provenance, ("image0", "image1"), samples))
        return store.folder

    return make


@pytest.fixture
def make_store(tmp_path: Path, complete_store) -> Callable[..., Path]:
    """Write a sweep's folder and return it."""

    def make(
        name: str = "run",
        *,
        without: tuple[str, ...] = (),
        percent: Callable[[Cell], int] = default_percent,
        **fields: Any,
    ) -> Path:
        folder = shutil.copytree(complete_store(percent, **fields), tmp_path / name)
        for cell in without:
            (folder / "cells" / f"{cell}.npz").unlink()
        return folder

    return make
