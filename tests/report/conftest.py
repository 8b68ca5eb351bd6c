"""Stores whose scores are known by hand."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from stl_backbones.corruptions.protocols import get_protocol
from stl_backbones.evaluation.detection import DetectionMatcher, join_images
from stl_backbones.records import CLEAN, Cell, CellResult, Provenance
from stl_backbones.report import get_task
from stl_backbones.report.contents import make_contents
from stl_backbones.report.numbers.aggregates import Findings
from stl_backbones.report.read.cells import Draws
from stl_backbones.report.read.runs import read_runs
from stl_backbones.report.sections import Group, Table
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
def plain_record() -> dict[str, Any]:
    """The fields of a sweep's record."""
    return dict(PLAIN)


def no_waiting_for_the_disk() -> AbstractContextManager[Any]:
    """Tests write thousands of cells; that they survive a power cut is tested elsewhere."""
    return mock.patch("stl_backbones.results.atomic.os.fsync")


@pytest.fixture(scope="session")
def findings_of() -> Callable[..., Findings]:
    """Read folders as a report does; by default without resamples."""

    def read(
        folders: list[Path], *, resamples: int = 0, paper: bool = False, **options: Any
    ) -> Findings:
        draws = Draws(resamples=resamples)
        protocol, runs = read_runs(folders, draws=draws, **options)
        return Findings(runs, protocol, get_task(runs[0].provenance.task), draws, paper)

    return read


@pytest.fixture(scope="session")
def tables_of(findings_of) -> Callable[..., dict[str, Table]]:
    """The tables of a report: by their file, else by the first word of their title."""

    def read(folders: list[Path], **options: Any) -> dict[str, Table]:
        report = make_contents(findings_of(folders, **options))
        found = [one for one in report.sections if isinstance(one, Table)]
        found += [one for group in report.sections if isinstance(group, Group)
                  for one in group.tables]  # fmt: skip
        return {one.file or one.title.split(" (")[0].split(":")[0]: one for one in found}

    return read


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
        with no_waiting_for_the_disk(), store.writing(provenance):
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


NUM_IMAGES, NUM_CLASSES = 20, 4
CLASSIFIED = {
    "task": "classification",
    "model": "STL",
    "protocol": "stl-imagenet-c",
    "dataset": "ImageNet",
    "imagenet_val": True,
    "num_images": NUM_IMAGES,
    "num_images_total": NUM_IMAGES,
    "classes": ("n01", "n02", "n03", "n04"),
    "inference": "center crop 224 of 256 bicubic, scoring cls",
    "corruption_mode": "exact",
    "parameters": 50_900_000,
    "macs": 11_400_000_000,
}


def default_hits(cell: Cell) -> int:
    """Clean 16 of 20; corrupted 14, 12, 10, 8, 6 by severity, so 10 on average."""
    return 16 if cell.is_clean else 16 - 2 * cell.severity


def classified(hits: int, *, images: int = NUM_IMAGES) -> dict[str, np.ndarray]:
    """The first `hits` images are right, with confidence 0.75 and NLL 0.25; one more in the top 5.

    The others have confidence 0.25 and NLL 2.
    """
    label = np.arange(images, dtype=np.int32) % NUM_CLASSES
    right = np.arange(images) < hits
    return {
        "label": label,
        "prediction": np.where(right, label, (label + 1) % NUM_CLASSES).astype(np.int32),
        "in_top5": np.arange(images) < hits + 1,
        "confidence": np.where(right, 0.75, 0.25).astype(np.float32),
        "nll": np.where(right, 0.25, 2).astype(np.float32),
    }


def write_classified(
    folder: Path, cells: tuple[Cell, ...], hits: Callable[[Cell], int], **fields: Any
) -> Path:
    """Write a store of classified images."""
    provenance = Provenance(**{**PLAIN, **CLASSIFIED, **fields})
    ids = tuple(f"{index}.jpg" for index in range(provenance.num_images))
    store = CellStore(folder)
    with no_waiting_for_the_disk(), store.writing(provenance):
        for cell in cells:
            samples = classified(hits(cell), images=provenance.num_images)
            store.write(CellResult(cell, provenance, ids, samples))
    return folder


@pytest.fixture(scope="session")
def complete_classified(tmp_path_factory) -> Callable[..., Path]:
    """A complete sweep of classified images, written once for each set of arguments."""
    made: dict[tuple[Any, ...], Path] = {}

    def make(hits: Callable[[Cell], int], cells: str, **fields: Any) -> Path:
        key = (hits, cells, repr(fields))
        if key not in made:
            folder = tmp_path_factory.mktemp("classified")
            made[key] = write_classified(folder, get_protocol(cells).cells(), hits, **fields)
        return made[key]

    return make


@pytest.fixture
def make_classified(tmp_path: Path, complete_classified) -> Callable[..., Path]:
    """Write the folder of a classifier and return it.

    `sets` maps the name of a set of other images to the number of its images that are right.
    """

    def make(
        name: str = "run",
        *,
        without: tuple[str, ...] = (),
        hits: Callable[[Cell], int] = default_hits,
        cells: str = "stl-imagenet-c",
        sets: dict[str, int] | None = None,
        **fields: Any,
    ) -> Path:
        folder = shutil.copytree(complete_classified(hits, cells, **fields), tmp_path / name)
        for cell in without:
            (folder / "cells" / f"{cell}.npz").unlink()
        for image_set, right in (sets or {}).items():
            write_set(folder, image_set, right, **fields)
        return folder

    return make


@pytest.fixture(name="write_set")
def _write_set() -> Callable[..., Path]:
    return write_set


def write_set(folder: Path, name: str, right: int, **fields: Any) -> Path:
    """Write a set of other images into a classifier's folder."""
    title = get_task("classification").sets[name.removesuffix("-clean")]
    dataset = f"ImageNet-1K, classes of {title}" if name.endswith("-clean") else title
    own = {"dataset": dataset, "dataset_fingerprint": name, "protocol": "clean", **fields}
    return write_classified(folder / name, (CLEAN,), lambda cell: right, **own)


DETECTED = {
    "task": "detection",
    "model": "STL",
    "protocol": "coco-c",
    "dataset": "COCO val2017",
    "num_images": 4,
    "num_images_total": 4,
    "classes": ("car", "dog", "person"),
    "inference": "(1333, 800) keep ratio",
    "corruption_mode": "exact",
    "parameters": 107_800_000,
    "encoder_parameters": 50_345_678,
}
CATEGORIES = (3, 18, 1)  # of the classes, in their order
CAR, PERSON = [10, 10, 40, 40], [100, 20, 20, 60]


def default_cars(cell: Cell) -> int:
    """Cars found of four: clean 3; corrupted 3, 2, 2, 1, 0 by severity."""
    return 3 if cell.is_clean else (3, 2, 2, 1, 0)[cell.severity - 1]


def mask_code(box: list[int]) -> dict[str, Any]:
    left, top, width, height = box
    plane = np.zeros((120, 160), np.uint8, order="F")
    plane[top : top + height, left : left + width] = 1
    code = coco_mask.encode(plane)
    return {"size": code["size"], "counts": code["counts"].decode()}


def road_scenes() -> COCO:
    """A car on each of four images, a person on the first, and no dog."""
    objects = [(number, 3, CAR) for number in (1, 2, 3, 4)] + [(1, 1, PERSON)]
    truth = COCO()
    truth.dataset = {
        "images": [{"id": n, "height": 120, "width": 160} for n in (1, 2, 3, 4)],
        "categories": [{"id": number} for number in CATEGORIES],
        "annotations": [
            {"id": n, "image_id": image, "category_id": category, "bbox": box, "iscrowd": 0,
             "area": box[2] * box[3], "segmentation": mask_code(box)}
            for n, (image, category, box) in enumerate(objects, start=1)
        ],
    }  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def detected(cars: int, matcher: DetectionMatcher, *, person: bool) -> dict[str, np.ndarray]:
    """The first `cars` cars are found, the mask of the last of them is wrong; so is no person's.

    AP of the cars: 1 + 25 n of 101 recalls, n = cars (boxes) or cars - 1 (masks, if any). The first
    car's score is the highest, so the false alarm among the masks comes last.
    """
    found: dict[int, list[dict[str, Any]]] = {number: [] for number in (1, 2, 3, 4)}
    for number in range(1, cars + 1):
        shape = mask_code([100, 70, 40, 40] if number == cars else CAR)
        found[number].append(
            {"image_id": number, "category_id": 3, "bbox": CAR, "score": 1 - number / 8,
             "segmentation": shape}
        )  # fmt: skip
    if person:
        found[1].append(
            {"image_id": 1, "category_id": 1, "bbox": PERSON, "score": 0.5,
             "segmentation": mask_code(PERSON)}
        )  # fmt: skip
    return join_images([matcher.match(number, own) for number, own in found.items()])


def write_detected(
    folder: Path, cars: Callable[[Cell], int], cells: str, *, masks: bool = True, **fields: Any
) -> Path:
    """Write a sweep of a detector: the person is found on clean images and to severity 2."""
    provenance = Provenance(**{**PLAIN, **DETECTED, **fields})
    matcher = DetectionMatcher(
        road_scenes(), category_ids=CATEGORIES, kinds=("bbox", "segm") if masks else ("bbox",)
    )
    store, ids = CellStore(folder), tuple(f"{n}.jpg" for n in (1, 2, 3, 4))
    with no_waiting_for_the_disk(), store.writing(provenance):
        for cell in get_protocol(cells).cells():
            samples = detected(cars(cell), matcher, person=cell.severity <= 2)
            store.write(CellResult(cell, provenance, ids, samples))
    return folder


@pytest.fixture(scope="session")
def complete_detected(tmp_path_factory) -> Callable[..., Path]:
    """A complete sweep of a detector, written once for each set of arguments."""
    made: dict[tuple[Any, ...], Path] = {}

    def make(cars: Callable[[Cell], int], cells: str, **fields: Any) -> Path:
        key = (cars, cells, repr(fields))
        if key not in made:
            folder = tmp_path_factory.mktemp("detected")
            made[key] = write_detected(folder, cars, cells, **fields)
        return made[key]

    return make


@pytest.fixture
def make_detected(tmp_path: Path, complete_detected) -> Callable[..., Path]:
    """Write the folder of a detector and return it."""

    def make(
        name: str = "run",
        *,
        without: tuple[str, ...] = (),
        cars: Callable[[Cell], int] = default_cars,
        cells: str = "coco-c",
        **fields: Any,
    ) -> Path:
        folder = shutil.copytree(complete_detected(cars, cells, **fields), tmp_path / name)
        for cell in without:
            (folder / "cells" / f"{cell}.npz").unlink()
        return folder

    return make
