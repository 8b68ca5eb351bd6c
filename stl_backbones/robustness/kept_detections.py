"""The detections of a cell, packed image by image, and written beside it."""

from __future__ import annotations

import hashlib

import numpy as np

from stl_backbones.evaluation.coco_results import encode_file
from stl_backbones.records import Cell
from stl_backbones.results import CellStore
from stl_backbones.results.atomic import write_atomically
from stl_backbones.results.detections import DETECTIONS_DIGEST, detections_path
from stl_backbones.robustness.tasks.base import Samples

PACKED = "packed_detections"  # sample: bytes of all images; `PACKED + "_size"`: how many of each


def write_detections(store: CellStore, cell: Cell, samples: Samples) -> Samples:
    """Write a cell's detections; the samples get the file's hash in their place."""
    packed, sizes = samples.pop(PACKED), samples.pop(f"{PACKED}_size")
    parts = np.split(packed, np.cumsum(sizes)[:-1])
    content = encode_file(part.tobytes() for part in parts)
    path = detections_path(store.folder, cell)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, content)
    digest = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
    return {**samples, DETECTIONS_DIGEST: digest}


__all__ = ["PACKED", "write_detections"]
