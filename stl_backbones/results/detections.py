"""What a detector found, kept beside the cells: ``DIR/detections/fog-3.json.gz``."""

from __future__ import annotations

import hashlib
from pathlib import Path

from stl_backbones.records import Cell, CellResult

DETECTIONS = "detections"
DETECTIONS_DIGEST = "detections_sha256"  # the sample that holds the file's hash


def detections_path(folder: str | Path, cell: Cell) -> Path:
    """Where a sweep keeps a cell's detections, a list in COCO's result format."""
    return Path(folder) / DETECTIONS / f"{cell.name}.json.gz"


def has_its_detections(result: CellResult, folder: str | Path) -> bool:
    """Whether the file of a cell's detections is there, as it was written."""
    path, recorded = detections_path(folder, result.cell), result.samples.get(DETECTIONS_DIGEST)
    if recorded is None or not path.is_file():
        return False
    return hashlib.sha256(path.read_bytes()).digest() == recorded.tobytes()
