"""What data a path, a pair of paths or a sequence is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stl_backbones.datasets.array_images import open_images
from stl_backbones.datasets.label_ids import CLASS_NAMES as CITYSCAPES
from stl_backbones.datasets.labelled_source import LabelledSource
from stl_backbones.errors import InputError
from stl_backbones.packages import require
from stl_backbones.paths import check_folder
from stl_backbones.robustness.coco_items import CocoItems, GivenBoxes
from stl_backbones.robustness.items import GivenItems, Items, LabelMapItems
from stl_backbones.robustness.options import SweepOptions

_FORMS = (
    "a folder of class folders, CIFAR's archive, a Cityscapes root, (images, labels) with classes, "
    "(annotations.json, images), a data set config of mmseg or mmdet, or a sequence of (image, "
    "truth) with classes"
)


def find_data(
    data: Any,
    options: SweepOptions,
    *,
    classes: Sequence[str] | None = None,
    label_ids: str | Sequence[int] | None = None,
    ids: Sequence[str] | None = None,
    split: str = "val",
) -> Items | LabelledSource:
    """Open data.

    Args:
        data: See the error, which lists the forms.
        options: Its limit, and whether broken images are left out.
        classes: Class names in the order of the labels, where the data have none.
        label_ids: Of label maps: the file's label of each class, or ``'cityscapes'``.
        ids: Of a sequence: the images' ids.
        split: Of a Cityscapes root.

    Raises:
        MissingFileError: If something named is missing.
        InputError: If it is nothing of these, or broken.
    """
    if isinstance(data, str | Path):
        return _folder(data, options, classes, label_ids, split)
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(p, str | Path) for p in data):
        return _pair(Path(data[0]), Path(data[1]), options, classes, label_ids)
    if isinstance(data, Mapping) and "type" in data:
        require("a data set config", "mmengine", "mmseg", "mmdet")
        from stl_backbones.robustness.predicted.config_data import config_items

        return config_items(data, options)
    if (
        isinstance(data, Mapping)
        or not hasattr(data, "__getitem__")
        or not hasattr(data, "__len__")
    ):
        raise InputError(f"expected as data {_FORMS}, got {type(data).__name__}")
    names = classes if classes is not None else getattr(data, "classes", None)
    if names is None:
        raise InputError(
            f"nothing names the classes of '{type(data).__name__}': give classes, in the order of "
            "the labels"
        )
    given = GivenItems(data, classes=names, ids=ids, limit=options.limit)
    return GivenBoxes(given) if given.task == "detection" else given


def _folder(
    data: str | Path,
    options: SweepOptions,
    classes: Sequence[str] | None,
    label_ids: str | Sequence[int] | None,
    split: str,
) -> Items | LabelledSource:
    root = check_folder(data, "data folder", hint=f"expected {_FORMS}")
    images = root / "leftImg8bit" / split
    if not images.is_dir():
        return open_images(root, option="data folder")
    labels = root / "gtFine" / split
    suffix = "_gtFine_labelTrainIds"
    if label_ids is None and not any(labels.rglob(f"*{suffix}.png")):
        label_ids = "cityscapes"
    return LabelMapItems(
        images, labels, classes=classes or CITYSCAPES, image_suffix="_leftImg8bit",
        label_suffix=suffix if label_ids is None else "_gtFine_labelIds", label_ids=label_ids,
        limit=options.limit, skip_broken=options.skip_broken, name=root,
    )  # fmt: skip


def _pair(
    first: Path,
    second: Path,
    options: SweepOptions,
    classes: Sequence[str] | None,
    label_ids: str | Sequence[int] | None,
) -> Items:
    limit, skip_broken = options.limit, options.skip_broken
    if second.suffix.lower() == ".json":
        first, second = second, first
    if first.suffix.lower() == ".json":
        return CocoItems(first, second, classes=classes, limit=limit, skip_broken=skip_broken)
    if classes is None:
        raise InputError(
            f"nothing names the classes of the label maps in '{second}': give classes, in the "
            "order of the labels 0, 1, ..."
        )
    return LabelMapItems(
        first, second, classes=classes, label_ids=label_ids, limit=limit, skip_broken=skip_broken
    )


__all__ = ["CITYSCAPES", "find_data"]
