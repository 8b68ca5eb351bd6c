"""A small sweep written by hand, for tools that read one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stl_backbones.records import CLEAN, Cell, CellResult, Provenance
from stl_backbones.results import CellStore

_HITS = np.array([[[60, 0], [0, 60]], [[0, 20], [20, 0]]], np.uint8)  # two images, two classes


def write_sweep(folder: Path) -> None:
    """Write clean images and one corruption of a segmentation sweep: an unfinished one."""
    provenance = Provenance(
        task="segmentation",
        model="FAN",
        protocol="stl-cityscapes-c",
        dataset="tiny",
        dataset_fingerprint="f1" * 16,
        num_images=2,
        num_images_total=2,
        skipped=(),
        classes=("road", "car"),
        config_sha256="c0" * 32,
        checkpoint_sha256="ab" * 32,
        inference="whole",
        corruption_source="on-the-fly",
        corruption_mode="exact",
        corruption_package="imagecorruptions-imaug 1.1.5",
        channel_order="rgb",
        seed=0,
        device="cpu",
        versions={"numpy": np.__version__},
    )
    store = CellStore(folder)
    with store.writing(provenance):
        for cell in (CLEAN, *(Cell("fog", severity) for severity in range(1, 6))):
            samples = {"confusion_matrix": _HITS}
            store.write(CellResult(cell, provenance, ("first", "second"), samples))
