"""Images and their truth, of any origin: what a model that states no data is scored on."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from stl_backbones.corruptions.decoding import decode
from stl_backbones.corruptions.images import IMAGE_DAMAGE
from stl_backbones.corruptions.seeds import check_key
from stl_backbones.datasets.class_folders import check_readable, read_class_names
from stl_backbones.datasets.integrity import drop_broken_pairs, image_header, image_id
from stl_backbones.datasets.label_ids import CLASS_NAMES as CITYSCAPES
from stl_backbones.datasets.label_ids import label_table
from stl_backbones.datasets.shift_scenes import Scenes
from stl_backbones.errors import InputError, MissingFileError, some_of
from stl_backbones.image_files import has_clutter, is_image
from stl_backbones.metrics import IGNORE_INDEX
from stl_backbones.paths import check_folder
from stl_backbones.robustness.predictor import Pixels
from stl_backbones.robustness.provenance import data_name, fingerprint


class Items(ABC):
    """Images with their truth.

    Attributes:
        task: The task's name.
        title: The data set's name.
        keys: The images' ids, which decide the draws of corruptions.
        classes: Class names, in the order of the labels.
        root: The folder that holds the image files; ``None`` if there are none.
        total: Images before a limit, and before broken ones were left out.
        skipped: Ids of broken images that were left out.
        fingerprint: blake2b over ids and bytes of images and truth.
    """

    task: str
    title: str
    keys: tuple[str, ...]
    classes: tuple[str, ...]
    root: Path | None
    total: int
    skipped: tuple[str, ...] = ()
    fingerprint: str
    notes: tuple[str, ...] = ()

    @abstractmethod
    def image(self, index: int) -> Pixels:
        """The clean image."""

    @abstractmethod
    def truth(self, index: int) -> Any:
        """Its label, its label map ``(H, W)``, or its number in COCO's annotations."""


class LabelMapItems(Items):
    """Images and label maps in two folders.

    An image and its label map have one path below their folders, but for the endings.

    Args:
        images: The images' folder.
        labels: The label maps' folder.
        classes: Class names in the order of the labels 0, 1, ...
        image_suffix: How the images' names end, before the dot: ``'_leftImg8bit'``; others are
            left out.
        label_suffix: Likewise the label maps': ``'_gtFine_labelTrainIds'``.
        label_ids: The files' label of each class, or ``'cityscapes'``; ``None``: 0, 1, ...
        ignore_index: The label of pixels that do not count.
        limit: Only the first images.
        skip_broken: Leave broken pairs out.
        name: The data set's folder, after which it is called; default: the images'.

    Raises:
        MissingFileError: If a folder or a file is missing.
        InputError: If an image has no label map, or a file is broken.
    """

    task = "segmentation"

    def __init__(
        self,
        images: str | Path,
        labels: str | Path,
        *,
        classes: Sequence[str],
        image_suffix: str = "",
        label_suffix: str = "",
        label_ids: str | Sequence[int] | None = None,
        ignore_index: int = IGNORE_INDEX,
        limit: int | None = None,
        skip_broken: bool = False,
        name: Path | None = None,
    ) -> None:
        self.root = check_folder(images, "image folder")
        folder = check_folder(labels, "label folder")
        self.classes, self.ignore_index = tuple(map(str, classes)), ignore_index
        table = None if label_ids is None else label_table(label_ids)
        self._table = None if table is None else np.array([table[n] for n in range(256)], np.uint8)
        pairs = _pairs(self.root, folder, (image_suffix, label_suffix))
        self._take(pairs, limit=limit, skip_broken=skip_broken)
        self.title = data_name(self.root if name is None else name)

    def _take(
        self, pairs: Sequence[tuple[Path, Path]], *, limit: int | None, skip_broken: bool
    ) -> None:
        """Check the pairs, and name them."""
        named = [{"img_path": str(image), "seg_map_path": str(label)} for image, label in pairs]
        whole, broken = drop_broken_pairs(named, skip_broken=skip_broken)
        self.total = len(pairs)
        self.skipped = tuple(image_id(path, self.root) for path in broken)
        self._pairs = [pairs[index] for index in whole[:limit]]
        self.keys = tuple(image_id(image, self.root) for image, _ in self._pairs)
        for key in self.keys:
            check_key(key)
        files = [
            (name, path)
            for key, (image, label) in zip(self.keys, self._pairs, strict=True)
            for name, path in ((key, image), (f"{key} label", label))
        ]
        self.fingerprint = fingerprint(files)

    def image(self, index: int) -> Pixels:
        """The image, as OpenCV decodes it."""
        return read_image(self._pairs[index][0])

    def truth(self, index: int) -> npt.NDArray[np.uint8]:
        """Its label map."""
        path = self._pairs[index][1]
        try:
            with Image.open(path) as opened:
                label = np.array(opened if opened.mode != "1" else opened.convert("L"))
        except IMAGE_DAMAGE as error:
            raise InputError(f"label map '{path}' cannot be read: {error}") from error
        return label if self._table is None else self._table[label]


class SceneItems(LabelMapItems):
    """A set of street scenes, see `stl_backbones.datasets.shift_scenes`.

    Args:
        scenes: It.
        limit: Only the first images.
        skip_broken: Leave broken pairs out.

    Raises:
        InputError: If a file is broken.
    """

    def __init__(self, scenes: Scenes, *, limit: int | None, skip_broken: bool) -> None:
        self.root, self.title = scenes.root, scenes.title
        self.classes, self.ignore_index = CITYSCAPES, IGNORE_INDEX
        table = None if scenes.label_ids is None else label_table(scenes.label_ids)
        self._table = None if table is None else np.array([table[n] for n in range(256)], np.uint8)
        self._take(scenes.pairs, limit=limit, skip_broken=skip_broken)


class ChosenItems(Items):
    """Some of other items.

    Args:
        items: All of them.
        chosen: Positions of those that are scored.
    """

    def __init__(self, items: Items, chosen: Sequence[int]) -> None:
        self._items, self._chosen = items, tuple(chosen)
        self.task, self.title, self.root = items.task, items.title, items.root
        self.classes, self.notes = items.classes, items.notes
        self.total, self.skipped = items.total, items.skipped
        self.keys = tuple(items.keys[index] for index in chosen)
        digest = hashlib.blake2b(items.fingerprint.encode(), digest_size=16)
        digest.update("\0".join(self.keys).encode())
        self.fingerprint = digest.hexdigest()

    def __getattr__(self, name: str) -> Any:
        """What only some kinds of items have."""
        return getattr(self._items, name)

    def image(self, index: int) -> Pixels:
        """The clean image."""
        return self._items.image(self._chosen[index])

    def truth(self, index: int) -> Any:
        """Its truth."""
        return self._items.truth(self._chosen[index])


class GivenItems(Items):
    """Pairs of image and truth out of a sequence, such as a torch ``Dataset``.

    Args:
        pairs: ``pairs[i]`` is an image ``(H, W, 3)`` uint8 RGB, or a PIL image, and its truth: a
            class index; a label map ``(H, W)``; or a dict with ``boxes`` ``(n, 4)``, left, top,
            right, bottom in pixels, and ``labels`` ``(n,)``. The same at every call.
        classes: Class names, in the order of the labels.
        ids: The images' ids; default: their numbers.
        name: The data set's name.
        limit: Only the first images.

    Raises:
        InputError: If an item is nothing of that kind.
    """

    root = None
    ignore_index = IGNORE_INDEX

    def __init__(
        self,
        pairs: Any,
        *,
        classes: Sequence[str],
        ids: Sequence[str] | None = None,
        name: str = "",
        limit: int | None = None,
    ) -> None:
        self._all, self.total = pairs, len(pairs)
        if not self.total:
            raise InputError("the data set is empty; expected pairs of an image and its truth")
        count = self.total if limit is None else min(limit, self.total)
        if ids is not None and (len(ids) != self.total or len(set(ids)) < len(ids)):
            raise InputError(
                f"expected {self.total} ids, each once, got {len(ids)}, {len(set(ids))} different"
            )
        width = len(str(self.total - 1))
        names = [f"{index:0{width}d}" for index in range(count)] if ids is None else ids[:count]
        self.keys = tuple(map(str, names))
        for key in self.keys:
            check_key(key)
        self.classes = tuple(map(str, classes))
        self.title = name or type(pairs).__name__
        self.task = _task_of(self.truth(0))
        self.fingerprint = self._hash()

    def _hash(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for index, key in enumerate(self.keys):
            given, truth = self._pair(index)
            image = _as_pixels(given, key)
            if _task_of(truth) != self.task:
                raise InputError(
                    f"item '{key}' has truth for {_task_of(truth)}, the first one for {self.task}"
                )
            digest.update(f"{key}\0{image.shape}\0".encode())
            digest.update(np.ascontiguousarray(image).tobytes())
            parts = truth.values() if isinstance(truth, dict) else (truth,)
            for part in parts:
                digest.update(np.ascontiguousarray(_plain(part)).tobytes())
        return digest.hexdigest()

    def image(self, index: int) -> Pixels:
        """The image."""
        return _as_pixels(self._pair(index)[0], self.keys[index])

    def truth(self, index: int) -> Any:
        """Its truth, as given."""
        return self._pair(index)[1]

    def _pair(self, index: int) -> tuple[Any, Any]:
        try:
            pair = self._all[index]
        except Exception as error:  # the data set is anyone's
            raise InputError(
                f"item {index} of the data set fails: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InputError(
                f"item {index} is no pair of an image and its truth, but {type(pair).__name__}"
            )
        return pair[0], pair[1]


def read_image(path: str | Path) -> Pixels:
    """An image file as OpenCV decodes it, in RGB.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: If it cannot be decoded, or has too many pixels to be an image.
    """
    image_header(path)  # before OpenCV asks for the memory of a damaged one
    pixels = decode(Path(path).read_bytes(), cv2.IMREAD_COLOR)
    if pixels is None:
        raise InputError(f"'{path}' cannot be read as an image")
    return np.ascontiguousarray(pixels[..., ::-1])


def class_names(classes: Any) -> tuple[str, ...] | None:
    """Class names from a list, or from a file with one a line."""
    if classes is None:
        return None
    if isinstance(classes, str | Path):
        return read_class_names(classes)
    return tuple(map(str, classes))


def _pairs(images: Path, labels: Path, suffixes: tuple[str, str]) -> list[tuple[Path, Path]]:
    """Every image with its label map."""
    found, there = (_by_name(*one) for one in zip((images, labels), suffixes, strict=True))
    if not found:
        ending = f" whose names end in '{suffixes[0]}'" if suffixes[0] else ""
        raise MissingFileError(f"'{images}' holds no images{ending}")
    for names, others, what, folder in (
        (found, there, "images have no label map", labels),
        (there, found, "label maps have no image", images),
    ):
        lacking = [name for name in names if name not in others]
        if lacking:
            raise MissingFileError(
                f"{len(lacking)} of {len(names)} {what} of their name in '{folder}' "
                f"({some_of(lacking)})"
            )
    return [(path, there[name]) for name, path in found.items()]


def _by_name(folder: Path, suffix: str) -> dict[str, Path]:
    """Path below the folder, without suffix and ending -> image file."""
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.rglob("*") if is_image(path.name)):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if has_clutter(path, folder) or not name.endswith(suffix):
            continue
        if (name := name.removesuffix(suffix)) in found:
            raise InputError(f"'{found[name]}' and '{path}' have one name; expected one image each")
        found[name] = path
    return found


def _task_of(truth: Any) -> str:
    if isinstance(truth, dict):
        if not {"boxes", "labels"} <= truth.keys():
            raise InputError(f"expected 'boxes' and 'labels' as truth, got {some_of(truth)}")
        return "detection"
    shape = np.shape(_plain(truth))
    if shape == ():
        if _plain(truth).dtype.kind not in "iu":
            raise InputError(f"a class index must be a whole number, got {truth!r}")
        return "classification"
    if len(shape) == 2:
        return "segmentation"
    raise InputError(
        "expected as truth a class index, a label map (H, W), or a dict with boxes and labels, got "
        f"an array of shape {shape}"
    )


def _plain(values: Any) -> Any:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def _as_pixels(image: Any, key: str) -> Pixels:
    if isinstance(image, Image.Image):
        check_readable(image.size, image.mode, key)
        return np.array(image.convert("RGB"))
    pixels = _plain(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(
            f"image '{key}' must be (H, W, 3) uint8 RGB or a PIL image, before any normalisation, "
            f"got {pixels.shape} {pixels.dtype}; without transforms such as ToTensor()"
        )
    return pixels.copy()  # a model may draw on what it gets


__all__ = [
    "ChosenItems",
    "GivenItems",
    "Items",
    "LabelMapItems",
    "SceneItems",
    "class_names",
    "read_image",
]
