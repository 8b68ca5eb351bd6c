"""A finished cell, its provenance, and an empty store."""

from __future__ import annotations

import numpy as np
import pytest

from stl_backbones.records import Cell, CellResult, Provenance
from stl_backbones.results import CellStore


@pytest.fixture
def make_provenance():
    def make(**fields):
        plain = {
            "task": "segmentation", "model": "FAN-T", "protocol": "stl-cityscapes-c",
            "dataset": "mini", "dataset_fingerprint": "f1" * 16, "num_images": 3,
            "num_images_total": 4, "skipped": ("broken.png",), "classes": ("road", "car"),
            "config_sha256": "c0" * 32, "checkpoint_sha256": "ab" * 32, "inference": "whole",
            "corruption_source": "on-the-fly", "corruption_mode": "reference",
            "corruption_package": "imagecorruptions-imaug 1.1.5", "channel_order": "rgb",
            "seed": 0, "device": "cpu", "versions": {"numpy": "2.2.6", "torch": "2.11.0"},
        }  # fmt: skip
        return Provenance(**{**plain, **fields})

    return make


@pytest.fixture
def make_result(make_provenance):
    def make(cell=Cell("fog", 3), **fields):  # noqa: B008  a frozen record
        counts = np.random.default_rng(0).integers(0, 2**40, (3, 2, 2))
        ids = ("a/1.png", "a/2.png", "b/Ä.png")
        return CellResult(cell, make_provenance(**fields), ids, {"confusion_matrix": counts})

    return make


@pytest.fixture
def store(tmp_path):
    return CellStore(tmp_path / "sweep")


@pytest.fixture
def filled(store, make_result):
    """A store with the cells clean and fog-3."""
    result = make_result()
    with store.writing(result.provenance):
        store.write(make_result(Cell("clean", 0)))
        store.write(result)
    return store
