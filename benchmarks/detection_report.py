"""Seconds of a detector's report at COCO's size: records drawn at random, read and scored.

    python benchmarks/detection_report.py                      # 76 cells, 0 and 200 resamples
    python benchmarks/detection_report.py --cells 4 --resamples 200

Writes a sweep of 5,000 images with 36,781 objects of 80 classes, 240,000 boxes and as many masks in
every cell, then runs tools/report.py on it in a process of its own. The first scored cell compiles
the loop of the resamples. Half of the objects are found, at more thresholds the better.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from stl_backbones.corruptions import get_protocol
from stl_backbones.records import CellResult, Provenance
from stl_backbones.results import CellStore

ROOT = Path(__file__).parents[1]
IMAGES, OBJECTS, DETECTIONS, CLASSES = 5000, 36_781, 240_000, 80


def truth_of(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Objects of all images; a few classes have most of them, as in COCO."""
    image = np.sort(rng.integers(0, IMAGES, OBJECTS))
    share = 1 / np.arange(1, CLASSES + 1)
    category = rng.choice(CLASSES, OBJECTS, p=share / share.sum()).astype(np.int32)
    size = rng.integers(1, 4, OBJECTS)
    counted = np.stack([np.ones(OBJECTS, bool), *(size == area for area in (1, 2, 3))], axis=1)
    return {
        "image_number": np.arange(IMAGES),
        "objects": np.bincount(image, minlength=IMAGES).astype(np.int32),
        "object_category": category,
        "object_counted": counted,
    }


def detections_of(
    kind: str, truth: dict[str, np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Some objects are found to some IoU; the other detections are false."""
    found = np.flatnonzero(rng.random(OBJECTS) < 0.5)
    object_image = np.repeat(np.arange(IMAGES), truth["objects"])
    extra = DETECTIONS - len(found)
    image = np.concatenate([object_image[found], rng.integers(0, IMAGES, extra)])
    category = np.concatenate([truth["object_category"][found],
                               rng.integers(0, CLASSES, extra)]).astype(np.int32)  # fmt: skip
    bits = (1 << rng.integers(1, 11, len(found))) - 1
    counted = truth["object_counted"][found]
    matched = np.zeros((DETECTIONS, 4), np.uint16)
    matched[: len(found)] = bits[:, None]  # to an object of another size too, which is ignored
    ignored = np.zeros((DETECTIONS, 4), np.uint16)
    ignored[: len(found)] = np.where(counted, 0, 1023)
    area = rng.integers(1, 4, extra)
    for index in (1, 2, 3):
        ignored[len(found) :, index] = np.where(area == index, 0, 1023)
    score = np.concatenate([rng.beta(3, 2, len(found)), rng.beta(1, 6, extra)]).astype(np.float32)
    order = np.lexsort((-score, category, image))
    return {
        f"{kind}_detections": np.bincount(image, minlength=IMAGES).astype(np.int32),
        f"{kind}_score": score[order],
        f"{kind}_category": category[order],
        f"{kind}_matched": matched[order],
        f"{kind}_ignored": ignored[order],
    }


def write_sweep(folder: Path, cells: int) -> None:
    """A store of the first cells of COCO-C."""
    rng = np.random.default_rng(0)
    truth = truth_of(rng)
    blank = dict.fromkeys(("inference", "corruption_package", "config_sha256"), "x")
    provenance = Provenance(
        **blank, task="detection", model="m", protocol="coco-c", dataset="COCO",
        dataset_fingerprint="f", num_images=IMAGES, num_images_total=IMAGES, skipped=(),
        classes=tuple(f"class {k}" for k in range(CLASSES)), checkpoint_sha256="0",
        corruption_source="on-the-fly", corruption_mode="exact", channel_order="rgb", seed=0,
        device="cpu", versions={},
    )  # fmt: skip
    ids = tuple(f"{index}.jpg" for index in range(IMAGES))
    store = CellStore(folder)
    with store.writing(provenance):
        for cell in get_protocol("coco-c").cells()[:cells]:
            samples = {**truth, **detections_of("bbox", truth, rng),
                       **detections_of("segm", truth, rng)}  # fmt: skip
            store.write(CellResult(cell, provenance, ids, samples))


def main() -> None:
    """Print a line per number of resamples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=76)
    parser.add_argument("--resamples", type=int, nargs="+", default=[0, 200])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "sweep"
        write_sweep(folder, args.cells)
        for resamples in args.resamples:
            words = [str(folder), "--partial", "--resamples", str(resamples)]
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, str(ROOT / "tools/report.py"), *words], check=True,
                capture_output=True,
            )  # fmt: skip
            seconds = time.perf_counter() - start
            print(f"{args.cells} cells, {resamples} resamples: {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
