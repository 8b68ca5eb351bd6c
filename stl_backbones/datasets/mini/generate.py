"""Writing a whole generated data set, or nothing."""

from __future__ import annotations

import errno
import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stl_backbones.datasets.mini.writers import CocoWriter, write_cityscapes, write_crops
from stl_backbones.datasets.street_scenes.scene import check_size, render_object, render_scene
from stl_backbones.errors import InputError

GENERATOR_VERSION = 2  # raise it when the same options give other files
MARKER = "mini.json"
CROP_SIZE = 64
VAL_OFFSET = 1_000_000  # the first scene of the validation split; a train split never gets there

# Class folder -> what its crops show, taken in turns.
CROP_CLASSES = {
    "bicycle": ("bicycle", "bicycle", "cyclist"),
    "bus": ("bus",),
    "car": ("car",),
    "motorcycle": ("motorcycle", "motorcycle", "motorcyclist"),
    "person": ("person",),
    "traffic_light": ("traffic_light",),
    "traffic_sign": ("traffic_sign",),
    "train": ("train",),
    "tree": ("tree",),
    "truck": ("truck",),
}
MIN_CROPS = 4  # per class, however small the split

Progress = Callable[[int, int], None]


def write_mini_data(
    out: Path,
    *,
    seed: int = 0,
    num_train: int = 160,
    num_val: int = 32,
    height: int = 128,
    width: int = 256,
    progress: Progress | None = None,
) -> bool:
    """Write the generated data set in the layouts of Cityscapes, COCO and ImageNet.

    The bytes are a function of the options alone. ``out`` appears when everything is written, or
    not at all.

    Args:
        out: Folder to create.
        seed: Seed of the data set.
        num_train: Number of training scenes.
        num_val: Number of validation scenes.
        height: Rows of a scene.
        width: Columns of a scene.
        progress: Called with the number of pictures done and the number of all.

    Returns:
        True if the data set was written, False if it was there already.

    Raises:
        ValueError: If an option is out of range.
        FileExistsError: If ``out`` holds anything else than this data set.
    """
    _check_options(seed=seed, num_train=num_train, num_val=num_val)
    check_size(height=height, width=width)
    options = {
        "seed": seed, "num_train": num_train, "num_val": num_val, "height": height, "width": width
    }  # fmt: skip
    marker = {"generator_version": GENERATOR_VERSION, "options": options}
    if out.exists() or out.is_symlink():
        _check_same(out, marker)
        return False
    _write_whole(out, marker, progress or (lambda _done, _total: None))
    return True


def _check_options(*, seed: int, num_train: int, num_val: int) -> None:
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    if not 1 <= num_train <= VAL_OFFSET:
        raise InputError(
            f"the number of training scenes must be in 1..{VAL_OFFSET}, got {num_train}"
        )
    if num_val < 1:
        raise InputError(f"the number of validation scenes must be 1 or more, got {num_val}")


def _check_same(out: Path, marker: dict[str, Any]) -> None:
    """Raise ``FileExistsError`` unless ``out`` is the data set that ``marker`` describes."""
    advice = "choose another folder, or delete this one first"
    try:
        found = json.loads((out / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise FileExistsError(
            errno.EEXIST, f"'{out}' exists and is not a generated mini data set; {advice}"
        ) from None
    if found != marker:
        raise FileExistsError(
            errno.EEXIST,
            f"'{out}' holds a mini data set made with other options: expected "
            f"{json.dumps(marker)}, got {json.dumps(found)}; {advice}",
        )


def _write_whole(out: Path, marker: dict[str, Any], progress: Progress) -> None:
    """Write everything beside ``out`` and give it its name when it is whole."""
    partial = out.with_name(f"{out.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        partial.mkdir(parents=True)
        _write_splits(partial, marker["options"], progress)
        text = json.dumps(marker, indent=2, sort_keys=True)
        (partial / MARKER).write_text(text + "\n", encoding="utf-8")
        partial.rename(out)
    finally:
        # Gone already after success; after an error or Ctrl-C nothing of it may stay.
        shutil.rmtree(partial, ignore_errors=True)


def _write_splits(root: Path, options: dict[str, int], progress: Progress) -> None:
    seed, size = options["seed"], {k: options[k] for k in ("height", "width")}
    counts = {"train": options["num_train"], "val": options["num_val"]}
    crops = {
        "train": max(MIN_CROPS, counts["train"] // 4),
        "val": max(MIN_CROPS, counts["val"] // 2),
    }
    total = sum(counts.values()) + len(CROP_CLASSES) * sum(crops.values())
    done = 0
    for split, first in (("train", 0), ("val", VAL_OFFSET)):
        coco = CocoWriter(root / "coco", split)
        for number in range(counts[split]):
            scene = render_scene(first + number, seed=seed, **size)
            write_cityscapes(root / "cityscapes", split, number, scene)
            coco.add(scene)
            progress(done := done + 1, total)
        coco.close()
        for label, kinds in CROP_CLASSES.items():
            shown = [
                render_object(kinds[n % len(kinds)], first + n, seed=seed, size=CROP_SIZE)
                for n in range(crops[split])
            ]
            write_crops(root, split, label, shown)
            progress(done := done + len(shown), total)
