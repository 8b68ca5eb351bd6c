"""Sets of other images for segmentation and detection, for models of every source."""

from __future__ import annotations

import atexit
import copy
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from stl_backbones.datasets.shift_boxes import Boxes, find_boxes
from stl_backbones.datasets.shift_folders import find_sets
from stl_backbones.datasets.shift_scenes import Scenes, find_scenes
from stl_backbones.errors import InputError
from stl_backbones.robustness.items import Items, SceneItems
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.tasks.base import ScoredSet
from stl_backbones.shift_sets import SHIFT_SETS

SHIFT_OPTIONS: Mapping[str, Any] = {"sets": None, "allow_missing": False}
_NOT_CORRUPTED: dict[str, Any] = {
    "corruption_source": "none", "corruption_mode": "none", "corruption_package": "none",
    "channel_order": "rgb", "seed": 0, "custom_versions": {}, "copy_digests": {},
}  # fmt: skip


@dataclass(frozen=True)
class ShiftData:
    """A set that is scored beside a sweep's own images.

    Attributes:
        name: The folder of its results.
        title: Its name in tables.
        total: Images that a whole set has.
        notes: Sentences that every table must print.
        conditions: Column -> image id -> value.
        items: Opens it for models from anywhere.
        settings: Makes the data set's settings of those of a config.
        annotations: Its annotation file, where it has one.
    """

    name: str
    title: str
    total: int
    notes: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, str]]
    items: Callable[[SweepOptions], Items]
    settings: Callable[[Mapping[str, Any]], dict[str, Any]]
    annotations: Path | None = None

    def config(self, config: Any) -> Any:
        """A config with this set as its test data."""
        changed = copy.deepcopy(config)
        own = _innermost(changed.test_dataloader.dataset)
        changed.test_dataloader.dataset = self.settings(own)
        if self.annotations is not None:
            stated = changed.get("test_evaluator") or []
            for one in stated if isinstance(stated, list | tuple) else [stated]:
                if one.get("ann_file"):
                    one["ann_file"] = str(self.annotations)
        return changed


def check_shift_options(options: SweepOptions, task: str) -> None:
    """Refuse what only sets of other images have where there are none.

    Raises:
        InputError: If it is given.
    """
    given = options.task_options
    if given.get("allow_missing") and not given.get("sets"):
        raise InputError(f"--allow-missing: not an option of {task} without --sets")


def shift_options(options: SweepOptions) -> SweepOptions:
    """The options by which a set is scored: its images as they are."""
    own = {k: v for k, v in options.task_options.items() if k not in SHIFT_OPTIONS}
    return dataclasses.replace(
        options, corruptions=(), severities=None, corrupted_root=None, image_list=None, until=(),
        task_options=own,
    )  # fmt: skip


def find_shift_data(options: SweepOptions, task: str) -> Iterator[ShiftData]:
    """The sets that options name, checked.

    Raises:
        MissingFileError: If something of a layout is missing.
        InputError: If a folder holds no set, or not all of it.
    """
    given = options.task_options.get("sets")
    allow = bool(options.task_options.get("allow_missing"))
    several = (given,) if isinstance(given, str | Path) else given
    for name, root in find_sets(several or (), task).items():
        one = SHIFT_SETS[name]
        if task == "detection":
            yield _boxes(one.name, one.title, find_boxes(one, root, allow_missing=allow))
            continue
        for scenes in find_scenes(one, root, allow_missing=allow):
            yield _scenes(scenes)


def as_set(scored: ScoredSet, data: ShiftData) -> ScoredSet:
    """A scored set in its own folder, under its own name."""
    own, total = scored.provenance, data.total
    total = max(total, own.num_images_total)
    scored.place, scored.title, scored.conditions = data.name, data.title, data.conditions
    scored.provenance = dataclasses.replace(
        own, dataset=data.title, num_images_total=total, notes=(*own.notes, *data.notes),
        **_NOT_CORRUPTED,
    )  # fmt: skip
    return scored


def _scenes(found: Scenes) -> ShiftData:
    def items(options: SweepOptions) -> Items:
        return SceneItems(found, limit=options.limit, skip_broken=options.skip_broken)

    def settings(own: Mapping[str, Any]) -> dict[str, Any]:
        kind = import_module("stl_backbones.datasets.cityscapes").ListedCityscapesDataset
        pairs = [(str(image), str(label)) for image, label in found.pairs]
        return {
            "type": kind, "pairs": pairs, "label_ids": found.label_ids,
            "data_prefix": {"img_path": str(found.root)}, "pipeline": own.get("pipeline"),
            "test_mode": True,
        }  # fmt: skip

    return ShiftData(found.name, found.title, found.total, found.notes, found.conditions, items,
                     settings)  # fmt: skip


def _boxes(name: str, title: str, found: Boxes) -> ShiftData:
    path = _annotations_of(found)

    def items(options: SweepOptions) -> Items:
        make: Callable[..., Items] = import_module("stl_backbones.robustness.coco_items").CocoItems
        return make(path, found.images, limit=options.limit, skip_broken=options.skip_broken)

    def settings(own: Mapping[str, Any]) -> dict[str, Any]:
        changed = {**own, "ann_file": str(path), "data_root": "", "test_mode": True,
                   "data_prefix": {"img": str(found.images)}}  # fmt: skip
        changed.pop("filter_cfg", None)
        return changed

    return ShiftData(name, title, found.total, found.notes, found.conditions, items, settings, path)


def _annotations_of(found: Boxes) -> Path:
    """The annotation file; what was converted is written for as long as the process lives."""
    if found.path is not None:
        return found.path
    folder = Path(tempfile.mkdtemp(prefix="stl_backbones_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "annotations.json").write_text(json.dumps(found.content), encoding="utf-8")
    return folder / "annotations.json"


def _innermost(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of a data set inside of what wraps it; of several the first."""
    if "dataset" in dataset:
        return _innermost(dataset["dataset"])
    if dataset.get("datasets"):
        return _innermost(dataset["datasets"][0])
    return dataset


__all__ = [
    "SHIFT_OPTIONS",
    "ShiftData",
    "as_set",
    "check_shift_options",
    "find_shift_data",
    "shift_options",
]
