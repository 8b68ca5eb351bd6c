"""A small sweep written by hand, for tools that read one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from stl_backbones.records import CLEAN, Cell, CellResult, Provenance
from stl_backbones.results import CellStore

_HITS = np.array([[[60, 0], [0, 60]], [[0, 20], [20, 0]]], np.uint8)  # two images, two classes


FOG = tuple(Cell("fog", severity) for severity in range(1, 6))


def write_sweep(
    folder: Path,
    *,
    cells: Iterable[Cell] = FOG,
    model: str = "FAN",
    classes: tuple[str, str] = ("road", "car"),
) -> None:
    """Write clean images and some cells of a segmentation sweep: with one corruption no whole one.

    Args:
        folder: Where it goes.
        cells: Beside the clean one.
        model: Its name; models of two names have two checkpoints.
        classes: Their names.
    """
    provenance = Provenance(
        task="segmentation",
        model=model,
        protocol="stl-cityscapes-c",
        dataset="tiny",
        dataset_fingerprint="f1" * 16,
        num_images=2,
        num_images_total=2,
        skipped=(),
        classes=classes,
        config_sha256="c0" * 32,
        checkpoint_sha256=model.encode().hex().ljust(64, "0")[:64],
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
        for cell in (CLEAN, *cells):
            samples = {"confusion_matrix": _HITS}
            store.write(CellResult(cell, provenance, ("first", "second"), samples))
