"""Where a data set's images lie, and where their corrupted copies go.

| layout | clean images | corrupted copy, below ``<corruption>/<severity>/`` |
|---|---|---|
| cityscapes | ``SRC/leftImg8bit/<split>/<city>/<name>.png`` | ``<split>/<city>/<name>.png`` |
| coco | ``SRC/<split>2017/<name>.jpg``, or ``SRC/<split>/`` | ``<split>2017/<name>.jpg`` |
| imagenet | ``SRC/<split>/<wnid>/<name>.JPEG``, or ``SRC/`` | ``<wnid>/<name>.JPEG`` |
| folder | ``SRC/**/<name>.<any>`` | ``**/<name>.png`` (or ``.jpg``) |
| classes | ``SRC/<class>/<name>.<any>`` | ``<class>/<name>.png`` (or ``.jpg``) |

An image's id is its path below the clean image folder: the key of its corruption, the same as that
of a sweep that corrupts on the fly.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import PIL.Image

from stl_backbones.copies.images import (
    IMAGENET_CROP,
    JPEG,
    JPEG_HENDRYCKS,
    OPENCV,
    PILLOW,
    PNG,
    Encoding,
)
from stl_backbones.copies.label_maps import is_label_map
from stl_backbones.corruptions.images import IMAGE_DAMAGE
from stl_backbones.corruptions.seeds import check_key
from stl_backbones.errors import InputError, MissingFileError, some_of, unknown_name
from stl_backbones.image_files import SUFFIXES, ending, is_clutter, is_image, left_out_text
from stl_backbones.paths import check_folder


@dataclass(frozen=True)
class Layout:
    """How one kind of data set is laid out.

    Attributes:
        name: The name used on the command line.
        folders: Candidates of the clean image folder below the source, the first that exists is
            taken; ``{split}`` stands for the split.
        suffixes: File name endings, lower case, that are images.
        depth: Folders between the clean image folder and an image; ``None`` for any number.
        keeps_folder: Whether the clean image folder's name is a level of the copy.
        target_suffix: Ending of the copy's files; ``None`` keeps the source's, ``'*'`` takes the
            encoding's.
        encodings: Format name -> how files are encoded; the first is the default.
        crop: Whether an image is resized and cropped to 224x224 as ImageNet-C's are.
        reader: `OPENCV` or `PILLOW`.
        split: The default split, ``None`` where there are no splits.
        protocol: The default protocol.
    """

    name: str
    folders: tuple[str, ...]
    suffixes: frozenset[str]
    depth: int | None
    keeps_folder: bool
    target_suffix: str | None
    encodings: Mapping[str, Encoding]
    crop: bool = False
    reader: str = OPENCV
    split: str | None = "val"
    protocol: str = "all"

    def encoding(self, name: str | None) -> Encoding:
        """The encoding of a format's name; ``None`` takes the layout's default.

        Raises:
            ValueError: If the layout cannot be written in that format.
        """
        chosen = next(iter(self.encodings)) if name is None else name
        if chosen not in self.encodings:
            raise InputError(
                f"layout '{self.name}' is written as {' or '.join(self.encodings)}, got '{chosen}'"
            )
        return self.encodings[chosen]


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        layout.name: layout
        for layout in (
            Layout(
                "cityscapes", ("leftImg8bit/{split}",), frozenset({".png"}), None,
                keeps_folder=True, target_suffix=None, encodings={"png": PNG},
                protocol="stl-cityscapes-c",
            ),
            Layout(
                "coco", ("{split}2017", "{split}"), frozenset({".jpg", ".jpeg", ".png"}), 0,
                keeps_folder=True, target_suffix=None, encodings={"png": PNG, "jpeg": JPEG},
                protocol="coco-c",
            ),
            Layout(
                "imagenet", ("{split}", "."), SUFFIXES, 1, keeps_folder=False,
                target_suffix=".JPEG", encodings={"jpeg": JPEG_HENDRYCKS}, crop=True,
                reader=PILLOW, protocol="imagenet-c",
            ),
            Layout(
                "folder", (".",), SUFFIXES, None, keeps_folder=False, target_suffix="*",
                encodings={"png": PNG, "jpeg": JPEG}, split=None,
            ),
            Layout(
                "classes", (".",), SUFFIXES, 1, keeps_folder=False, target_suffix="*",
                encodings={"png": PNG, "jpeg": JPEG}, reader=PILLOW, split=None,
                protocol="imagenet-c",
            ),
        )
    }
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One clean image.

    Attributes:
        id: Its path below the clean image folder, in POSIX form: the key of its corruption.
        path: The file.
        target: Its copy's path below ``<corruption>/<severity>``, in POSIX form.
    """

    id: str
    path: Path
    target: str


@dataclass(frozen=True)
class Found:
    """The clean images of a data set.

    Attributes:
        sources: In the order of their ids.
        remarks: What was left out, a sentence each.
    """

    sources: tuple[Source, ...]
    remarks: tuple[str, ...] = ()


def get_layout(name: str) -> Layout:
    """The layout of a name; a KeyError if there is none."""
    if name not in LAYOUTS:
        raise unknown_name("layout", name, LAYOUTS)
    return LAYOUTS[name]


def check_apart(source: Path, out: Path) -> None:
    """Refuse an output inside the source, or the other way round.

    Raises:
        ValueError: If one holds the other, or they are the same.
    """
    inner, outer = out.resolve(), source.resolve()
    if inner.is_relative_to(outer):
        raise InputError(f"output '{out}' lies inside the source '{source}'; choose another folder")
    if outer.is_relative_to(inner):
        raise InputError(f"source '{source}' lies inside the output '{out}'; choose another folder")


def find_sources(
    root: Path,
    layout: Layout,
    *,
    split: str | None,
    encoding: Encoding,
    limit: int | None = None,
    label_maps: bool = False,
) -> Found:
    """Find a data set's clean images, in the order of their ids.

    Args:
        root: The data set.
        layout: How it is laid out.
        split: ``'val'``, for example; ``None`` where the layout has no splits.
        encoding: How copies are encoded; decides their names' ending in a plain folder.
        limit: Only the first images.
        label_maps: Take what looks like a label map too.

    Raises:
        FileNotFoundError: If the folder is missing or holds no image.
        PermissionError: If a folder below cannot be read.
        ValueError: If there are label maps only, two images would have the same copy, or a name
            is no UTF-8.
    """
    folder = _image_folder(root, layout, split)
    names, left_out = _list_images(folder, layout)
    if not names:
        below = "" if layout.depth is None else f" {layout.depth} folders down"
        rest = f"; {left_out_text(left_out)}" if left_out else ""
        raise MissingFileError(
            f"'{folder}' holds no images: expected {' '.join(sorted(layout.suffixes))}{below} "
            f"for layout '{layout.name}'{rest}"
        )
    labels = [] if label_maps else [name for name in names if is_label_map(folder / name)]
    if len(labels) == len(names):
        raise InputError(
            f"'{folder}' holds label maps only ({len(labels)}: {some_of(labels)}), which are not "
            "to be corrupted; give the folder of the images, or --label-maps if these are images"
        )
    remarks = [left_out_text(left_out)] if left_out else []
    if labels:
        remarks.append(f"{len(labels)} label maps are left alone ({some_of(labels)})")
        names = sorted(set(names) - set(labels))
    if layout.crop:
        remarks += _small(folder / names[0])
    level = f"{folder.name}/" if layout.keeps_folder else ""
    sources = tuple(
        Source(name, folder / name, level + _target(name, layout, encoding)) for name in names
    )
    _check_targets(sources)
    for name in names:
        check_key(name)
    return Found(sources[:limit], tuple(remarks))


def _small(path: Path) -> list[str]:
    """What must be said of images that are smaller than ImageNet-C's."""
    try:
        with PIL.Image.open(path) as image:
            size = image.size
    except IMAGE_DAMAGE:
        return []  # the run will say so
    if min(size) >= IMAGENET_CROP:
        return []
    return [
        f"the images are small ('{path.name}' is {size[0]}x{size[1]}) and are enlarged as if they "
        "were ImageNet's, so this is no ImageNet-C; --layout classes leaves them as they are"
    ]


def _image_folder(root: Path, layout: Layout, split: str | None) -> Path:
    check_folder(root, "source")
    candidates = [root / folder.format(split=split) for folder in layout.folders]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    expected = " or ".join(f"'{candidate}'" for candidate in candidates)
    raise MissingFileError(f"layout '{layout.name}' expects images in {expected}: no such folder")


def _list_images(folder: Path, layout: Layout) -> tuple[list[str], Counter[str]]:
    """Paths of images below ``folder``, sorted, and what else is there: ending -> how many."""
    found, left_out = list[str](), Counter[str]()
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        below = Path(place).relative_to(folder)
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:  # a link back up
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        if layout.depth is not None and len(below.parts) >= layout.depth:
            if folders:
                left_out["folder further down"] += len(folders)
            folders.clear()
        fits = layout.depth is None or len(below.parts) == layout.depth
        for name in files:
            if fits and is_image(name, layout.suffixes):
                found.append((below / name).as_posix())
            elif fits and not is_clutter(name):
                left_out[ending(name)] += 1
            elif is_image(name):
                left_out["image in another place than the layout's"] += 1
    return sorted(found), left_out


def _raise(error: OSError) -> None:
    raise error


def _target(name: str, layout: Layout, encoding: Encoding) -> str:
    if layout.target_suffix is None:
        return name
    suffix = encoding.suffix if layout.target_suffix == "*" else layout.target_suffix
    return PurePosixPath(name).with_suffix(suffix).as_posix()


def _check_targets(sources: Sequence[Source]) -> None:
    owners: dict[str, str] = {}
    for source in sources:
        other = owners.setdefault(source.target, source.id)
        if other != source.id:
            raise InputError(
                f"'{other}' and '{source.id}' would both become '{source.target}'; "
                "rename one of them, nothing was written"
            )


__all__ = [
    "LAYOUTS",
    "Found",
    "Layout",
    "Source",
    "check_apart",
    "find_sources",
    "get_layout",
]
