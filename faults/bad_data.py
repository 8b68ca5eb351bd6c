"""A small data set of its own for each case of bad data, and the words by which tools read it."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from faults.bad_input import BadInput
from faults.forkserver import ROOT
from faults.material import Material

CELL = ("--corruptions", "contrast", "--severities", "1")  # draws nothing: twins stay alike
SEGMENTATION = ROOT / "configs/seg/stl_fan_t_mini.py"
DETECTION = ROOT / "configs/det/stl_fan_t_cascade_mask_rcnn_mini.py"
LABELER = ROOT / "configs/cls/stl_fan_t_mini_labeler.py"
_WEIGHTS = ("segmenter", "detector", "labeler", "classifier")
_FEW = 2  # images of a split


@dataclass(frozen=True)
class Desk:
    """One case's folder: data that it may spoil, and results.

    Args:
        own: The case's data, with the campaign's weights.
        out: Where the tool is to write.
        images: Its images, those of the validation split, sorted.
        labels: Their label maps, of Cityscapes.
        annotations: The validation split's annotation file, of COCO.
    """

    own: Material
    out: Path
    images: list[Path]
    labels: list[Path] = field(default_factory=list)
    annotations: Path = Path()

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the content of the annotation file."""
        content = json.loads(self.annotations.read_text())
        change(content)
        self.annotations.write_text(json.dumps(content))


class Desks:
    """Lays data out for case after case.

    Args:
        material: The campaign's data; it is copied from, never changed.
        folder: Where the copies go.
    """

    def __init__(self, material: Material, folder: Path) -> None:
        self.material, self.folder = material, folder
        self._numbers = itertools.count(1)

    def lay(self, kind: str) -> Desk:
        """A copy of two images of a ``kind``: cityscapes, coco, imagenet or classes."""
        own = Material(self.folder / f"{next(self._numbers):04d}")
        own.root.mkdir(parents=True)
        for name in _WEIGHTS:
            own.weights(name).symlink_to(self.material.weights(name))
        out = own.root / "out"
        if kind == "cityscapes":
            images = sorted(self._copy(own, "cityscapes/leftImg8bit/{}/mini", "val", "train"))
            labels = sorted(self._copy(own, "cityscapes/gtFine/{}/mini", "val", "train"))
            return Desk(own, out, images[-_FEW:], labels[-_FEW:])
        if kind == "coco":
            images = sorted(self._copy(own, "coco/{}2017", "train", "val"))
            for split in ("train", "val"):
                self._copy_annotations(own, split)
            return Desk(own, out, images[-_FEW:], [], own.data / _annotations("val"))
        if kind == "imagenet":
            for path in sorted(self.material.data.glob("imagenet/*/*/*_000000.JPEG")):
                _copy(path, own.data / path.relative_to(self.material.data))
            return Desk(own, out, sorted(own.data.glob("imagenet/train/*/*")))
        folders = sorted(self.material.classes.iterdir())[:_FEW]
        for path in (sorted(folder.iterdir())[0] for folder in folders):
            _copy(path, own.classes / path.relative_to(self.material.classes))
        return Desk(own, out, sorted(own.classes.glob("*/*")))

    def _copy(self, own: Material, below: str, *splits: str) -> Iterator[Path]:
        for split in splits:
            source = self.material.data / below.format(split)
            for path in sorted(source.iterdir())[:_FEW]:
                yield _copy(path, own.data / path.relative_to(self.material.data))

    def _copy_annotations(self, own: Material, split: str) -> None:
        content = json.loads((self.material.data / _annotations(split)).read_text())
        images = content["images"][:_FEW]
        ids = {image["id"] for image in images}
        content["images"] = images
        content["annotations"] = [
            found for found in content["annotations"] if found["image_id"] in ids
        ]
        path = own.data / _annotations(split)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))


def _annotations(split: str) -> str:
    return f"coco/annotations/instances_{split}2017.json"


def _copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target


def sweep(desk: Desk, task: str, *more: object) -> list[object]:
    """robustness.py of the ``segmenter``, ``detector`` or ``classifier`` on a desk's data."""
    model = getattr(desk.own, task)()
    return [
        "tools/robustness.py",
        "--work-dir",
        desk.out,
        *CELL,
        *more,
        "--batch-size",
        "2",
        *model,
    ]


def config_sweep(desk: Desk, *more: object) -> list[object]:
    """robustness.py of a pretraining config."""
    return [
        "tools/robustness.py", LABELER, desk.own.weights("labeler"), "--work-dir", desk.out, *CELL,
        *more, "--cfg-options", f"data_root={desk.own.data / 'imagenet'}", "num_workers=0",
    ]  # fmt: skip


def generate(desk: Desk, layout: str, *more: object) -> list[object]:
    """generate_corruptions.py of a desk's data."""
    source = {
        "cityscapes": desk.own.data / "cityscapes",
        "coco": desk.own.data / "coco",
        "imagenet": desk.own.classes,
        "folder": desk.images[0].parents[1],
    }[layout]
    return [
        "tools/generate_corruptions.py", source, desk.out, "--layout", layout, *CELL,
        "--workers", "1", *more,
    ]  # fmt: skip


def train(desk: Desk, task: str, *more: object) -> list[object]:
    """train.py for an iteration or an epoch on a desk's data, then a validation."""
    options, config = desk.own.segmentation_options(), SEGMENTATION
    short = ["train_cfg.max_iters=1", "train_cfg.val_interval=1", "train_dataloader.batch_size=2"]
    if task == "detector":
        options, config = desk.own.detection_options(), DETECTION
        short = ["train_cfg.max_epochs=1", "train_cfg.val_interval=1"]
    return [
        "tools/train.py", config, "--work-dir", desk.out, *more, "--cfg-options", *options, *short,
    ]  # fmt: skip


def test(desk: Desk, task: str, *more: object) -> list[object]:
    """test.py on a desk's data."""
    config, weights, *options = getattr(desk.own, task)()
    return ["tools/test.py", config, weights, "--work-dir", desk.out, *more, *options]


def pretrain(desk: Desk, *more: object) -> list[object]:
    """pretrain.py of a labeler for two epochs."""
    options = desk.own.pretraining_options("labeler")
    return ["tools/pretrain.py", LABELER, "--work-dir", desk.out, "--cfg-options", *options, *more]


def visualize(desk: Desk, *images: object) -> list[object]:
    """visualize_token_labels.py of images."""
    return [
        "tools/visualize_token_labels.py", desk.own.weights("labeler"), *images, "--out", desk.out,
        "--size", "64",
    ]  # fmt: skip


def refused(group: str, name: str, words: list[object], *says: object, desk: Desk) -> BadInput:
    """A case that must end with exit code 2 before a result is written."""
    results = ("cells/clean.npz", "manifest.json", "last_checkpoint")
    untouched = [desk.out / result for result in results]
    return BadInput(group, name, words, [str(text) for text in says], untouched=untouched)


def failed(group: str, name: str, words: list[object], *says: object, desk: Desk) -> BadInput:
    """A case of generate_corruptions.py in which one image of two must fail, and be named."""
    untouched = [desk.out / "manifest.json"]
    texts = ["failed: ", "not complete", *map(str, says)]
    return BadInput(group, name, words, texts, code=1, untouched=untouched)


def documented(
    group: str, name: str, words: list[object], check: Callable[[], None], *says: object
) -> BadInput:
    """A case of legitimate data: exit code 0 and a result that a check knows."""
    return BadInput(group, name, words, [str(text) for text in says], code=0, check=check)


def same_samples(folder: Path, images: int = 2) -> Callable[[], None]:
    """A check that all images of a sweep scored alike, clean and corrupted."""

    def check() -> None:
        for cell in ("clean", "contrast-1"):
            with np.load(folder / f"cells/{cell}.npz", allow_pickle=False) as arrays:
                compared = 0
                for name in arrays.files:
                    values = arrays[name]
                    if values.ndim and len(values) == images and _is_per_image(name):
                        compared += 1
                        assert all((values[0] == value).all() for value in values[1:]), (
                            f"{cell}: {name} of twins differ: {values.tolist()}"[:300]
                        )
                assert compared, f"{cell}: nothing to compare in {arrays.files}"

    return check


def _is_per_image(name: str) -> bool:
    return name.split(".")[-1].removeprefix("samples/") in {
        "confusion_matrix", "prediction", "confidence", "bbox_detections", "segm_detections",
    }  # fmt: skip
