"""Street scenes in fog, rain and at night, in the layouts of their archives.

Every image with its label map, and the conditions it is reported by. docs/how-to/real_shifts.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stl_backbones.corruptions.seeds import leads_out
from stl_backbones.errors import InputError, MissingFileError, some_of
from stl_backbones.image_files import has_clutter
from stl_backbones.paths import check_file, check_folder
from stl_backbones.plain_files import read_json
from stl_backbones.shift_sets import ShiftSet, notes_of_count

NO_ATTRIBUTE = "no attribute"  # of an image that the label file does not have
_ATTRIBUTES = ("weather", "timeofday")
Pair = tuple[Path, Path]


@dataclass(frozen=True)
class Scenes:
    """Images with label maps of Cityscapes' classes.

    Attributes:
        name: The set, or with ``-clean`` behind it its clean partner.
        title: Its name in tables.
        root: The folder that the images' ids are relative to.
        pairs: Image and label map.
        conditions: Column -> image id -> value.
        label_ids: ``'cityscapes'`` where the label maps hold Cityscapes' ids, not train ids.
        total: Images that a whole set has.
        notes: Sentences that every table must print.
    """

    name: str
    title: str
    root: Path
    pairs: tuple[Pair, ...]
    conditions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    label_ids: str | None = None
    total: int = 0
    notes: tuple[str, ...] = ()


def find_scenes(one: ShiftSet, root: Path, *, allow_missing: bool = False) -> list[Scenes]:
    """Read a set's layout.

    Args:
        one: The set.
        root: Its folder.
        allow_missing: Go on where images are missing; tables will say so.

    Returns:
        The set, and its own clean partner where it has one.

    Raises:
        MissingFileError: If something of the layout is missing.
        InputError: If images are missing, or the folder is laid out otherwise.
    """
    check_folder(root, f"--sets {one.name}")
    found = _LAYOUTS[one.name](one, root)
    images = len(found[0].pairs)
    notes = notes_of_count(one, root, images, allow_missing=allow_missing)
    first = replace(found[0], total=max(images, one.counts[-1]), notes=notes)
    return [first, *found[1:]]


def _none(image: Path) -> Mapping[str, str]:
    del image
    return {}


def _make(
    one: ShiftSet,
    root: Path,
    pairs: list[Pair],
    value: Callable[[Path], Mapping[str, str]] = _none,
    *,
    is_clean: bool = False,
) -> Scenes:
    """Scenes of pairs; ``value`` states an image's conditions."""
    conditions: dict[str, dict[str, str]] = {}
    for image, _ in pairs:
        for column, text in value(image).items():
            conditions.setdefault(column, {})[image.relative_to(root).as_posix()] = text
    name, title = one.name, one.title
    if is_clean:
        name, title = f"{name}-clean", one.clean_title
    has_ids = any(label.name.endswith("_labelIds.png") for _, label in pairs)
    return Scenes(name, title, root, tuple(pairs), conditions,
                  "cityscapes" if has_ids else None, len(pairs))  # fmt: skip


def _images(root: Path, below: str, pattern: str, one: ShiftSet) -> list[Path]:
    """Images below a folder that the official archive has."""
    folder = root / below
    if not folder.is_dir():
        raise MissingFileError(
            f"--sets {one.name} '{root}' is not laid out as {one.title}'s archives: expected "
            f"'{below}' in it; trees that others have flattened or renamed are not read"
        )
    found = [path for path in sorted(folder.rglob(pattern)) if not has_clutter(path, root)]
    if not found:
        raise MissingFileError(f"'{folder}' holds no image '{pattern}'")
    return found


def _labelled(images: list[Path], label_of: Callable[[Path], Path]) -> list[Pair]:
    """Each image with its label map; train ids before ids."""
    pairs = []
    for image in images:
        label = label_of(image)
        ids = label.with_name(label.name.replace("_labelTrainIds", "_labelIds"))
        pairs.append((image, ids if not label.is_file() and ids.is_file() else label))
    absent = [str(image) for image, label in pairs if not label.is_file()]
    if absent:
        raise MissingFileError(
            f"{len(absent)} of {len(pairs)} images have no label map ({some_of(absent)}); expected "
            f"'{label_of(Path(absent[0]))}' for one"
        )
    return pairs


def _replaced(path: Path, root: Path, old: str, new: str, suffixes: tuple[str, str]) -> Path:
    """``root/old/a/b<first>`` -> ``root/new/a/b<second>``."""
    inner = path.relative_to(root / old)
    return root / new / inner.with_name(inner.name.removesuffix(suffixes[0]) + suffixes[1])


_WEATHER = ("fog", "night", "rain", "snow")


def _acdc(one: ShiftSet, root: Path) -> list[Scenes]:
    conditions = [name for name in _WEATHER if (root / "rgb_anon" / name / "val").is_dir()]
    if not conditions:
        _images(root, "rgb_anon/fog/val", "*", one)  # says what is expected
    pairs, clean = [], list[Pair]()
    for name in conditions:
        images = _images(root, f"rgb_anon/{name}/val", "*_rgb_anon.png", one)
        pairs += _labelled(
            images, lambda path: _replaced(path, root, "rgb_anon", "gt",
                                           ("_rgb_anon.png", "_gt_labelTrainIds.png")),
        )  # fmt: skip
        for label in sorted((root / "gt" / name / "val_ref").rglob("*_gt_ref_labelTrainIds.png")):
            image = _replaced(label, root, "gt", "rgb_anon",
                              ("_gt_ref_labelTrainIds.png", "_rgb_ref_anon.png"))  # fmt: skip
            clean.append((image, label))
    _check_references([image for image, _ in clean])

    def condition(path: Path) -> Mapping[str, str]:
        return {"condition": path.relative_to(root / "rgb_anon").parts[0]}

    made = [_make(one, root, pairs, condition)]
    if clean:
        made.append(_make(one, root, clean, condition, is_clean=True))
    return made


def _check_references(images: list[Path]) -> None:
    absent = [str(path) for path in images if not path.is_file()]
    if absent:
        raise MissingFileError(f"{len(absent)} label maps have no image ({some_of(absent)})")


def _dark_zurich(one: ShiftSet, root: Path) -> list[Scenes]:
    images = _images(root, "rgb_anon/val/night", "*_rgb_anon.png", one)
    suffixes = ("_rgb_anon.png", "_gt_labelTrainIds.png")
    pairs = _labelled(images, lambda path: _replaced(path, root, "rgb_anon", "gt", suffixes))
    return [_make(one, root, pairs)]


def _nighttime_driving(one: ShiftSet, root: Path) -> list[Scenes]:
    if (root / "NighttimeDrivingTest").is_dir():
        root = root / "NighttimeDrivingTest"
    images = _images(root, "leftImg8bit/test/night", "*_leftImg8bit.png", one)
    suffixes = ("_leftImg8bit.png", "_gtCoarse_labelTrainIds.png")
    new = "gtCoarse_daytime_trainvaltest"
    pairs = _labelled(images, lambda path: _replaced(path, root, "leftImg8bit", new, suffixes))
    return [_make(one, root, pairs)]


def _foggy_zurich(one: ShiftSet, root: Path) -> list[Scenes]:
    """Which images are of a split stands in its list alone."""
    split = one.name.removeprefix("foggy-zurich-")
    path = root / "lists_file_names" / f"RGB_{split}_filenames.txt"
    check_file(path, f"{one.title}'s list", hint="the folder holds images of all splits")
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        raise InputError(f"'{path}' is no text; expected one image a line") from None
    images = [root / "RGB" / name.removeprefix("RGB/") for name in names if name]
    _check_references(images)
    suffixes = (".png", ".png")
    return [
        _make(one, root, _labelled(
            images, lambda path: _replaced(path, root, "RGB", "gt_labelTrainIds", suffixes)))
    ]  # fmt: skip


_FOG = re.compile(r"_foggy(?:DBF)?_beta_(0\.\d+)\.png")
_RAIN = re.compile(r"_rain_alpha_(0\.\d+)_beta_(0\.\d+)_dropsize_(0\.\d+)_pattern_(\d+)\.png")


def _foggy_cityscapes(one: ShiftSet, root: Path) -> list[Scenes]:
    below = "leftImg8bit_foggyDBF" if one.name.endswith("dbf") else "leftImg8bit_foggy"
    images = _images(root, f"{below}/val", "*_leftImg8bit_foggy*.png", one)
    pairs = _labelled(images, lambda path: _fine(path, root, below, _FOG))
    return [_make(one, root, pairs, lambda path: {"beta": _part(path, _FOG)})]


def _rain_cityscapes(one: ShiftSet, root: Path) -> list[Scenes]:
    """33 of Cityscapes' images: their clean score is taken on the same ones."""
    below = "leftImg8bit_rain"
    images = _images(root, f"{below}/val", "*_leftImg8bit_rain_*.png", one)
    pairs = _labelled(images, lambda path: _fine(path, root, below, _RAIN))
    made = [_make(one, root, pairs, lambda path: {"alpha": _part(path, _RAIN)})]
    sources = dict.fromkeys(
        (root / "leftImg8bit" / image.relative_to(root / below).with_name(
            _RAIN.sub(".png", image.name)), label)
        for image, label in pairs
    )  # fmt: skip
    if all(image.is_file() for image, _ in sources):
        made.append(_make(one, root, list(sources), is_clean=True))
    return made


def _fine(path: Path, root: Path, below: str, pattern: re.Pattern[str]) -> Path:
    """Cityscapes' own label map of an image that was made of its."""
    inner = path.relative_to(root / below)
    stem = pattern.sub("", inner.name).removesuffix("_leftImg8bit")
    return root / "gtFine" / inner.with_name(f"{stem}_gtFine_labelTrainIds.png")


def _part(path: Path, pattern: re.Pattern[str]) -> str:
    found = pattern.search(path.name)
    if found is None:
        raise InputError(f"'{path}' states no strength; expected a name such as ..._beta_0.02.png")
    return found[1]


def _bdd100k(one: ShiftSet, root: Path) -> list[Scenes]:
    old = not (root / "images/10k/val").is_dir() and (root / "seg/images/val").is_dir()
    images = _images(root, "seg/images/val" if old else "images/10k/val", "*.jpg", one)
    labels = root / ("seg/labels/val" if old else "labels/sem_seg/masks/val")
    suffix = "_train_id.png" if old else ".png"
    pairs = _labelled(images, lambda path: labels / f"{path.stem}{suffix}")
    attributes = dict(_attributes(root))
    missing = dict.fromkeys(_ATTRIBUTES, NO_ATTRIBUTE)
    if not attributes:
        return [_make(one, root, pairs)]
    return [_make(one, root, pairs, lambda path: attributes.get(path.name, missing))]


def _attributes(root: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Image -> weather and time of day, of the label files of '100k', of which '10k' is no part."""
    for split in ("train", "val"):
        path = root / "labels/det_20" / f"det_{split}.json"
        for frame in read_frames(path) if path.is_file() else ():
            found = frame.get("attributes") or {}
            yield str(frame["name"]), {k: str(found.get(k) or NO_ATTRIBUTE) for k in _ATTRIBUTES}


def read_frames(path: Path) -> list[dict[str, Any]]:
    """The frames of a BDD100K label file.

    Raises:
        MissingFileError: If it is missing.
        InputError: If it is another file.
    """
    found = read_json(check_file(path, "label file"))
    frames = found.get("frames") if isinstance(found, dict) else found
    if not isinstance(frames, list) or not all(map(_is_frame, frames)):
        raise InputError(
            f"'{path}' is no list of frames with a name, attributes and labels each, of BDD100K"
        )
    return frames


def _is_frame(frame: Any) -> bool:
    if not isinstance(frame, dict) or not isinstance(frame.get("name"), str):
        return False
    labels = frame.get("labels") or []
    return (
        not leads_out(frame["name"])
        and isinstance(labels, list)
        and all(isinstance(one, dict) for one in labels)
        and all(isinstance(one.get("attributes") or {}, dict) for one in (frame, *labels))
    )


_LAYOUTS: Mapping[str, Callable[[ShiftSet, Path], list[Scenes]]] = {
    "acdc": _acdc,
    "dark-zurich": _dark_zurich,
    "nighttime-driving": _nighttime_driving,
    "foggy-zurich-testv2": _foggy_zurich,
    "foggy-zurich-testv1": _foggy_zurich,
    "foggy-cityscapes": _foggy_cityscapes,
    "foggy-cityscapes-dbf": _foggy_cityscapes,
    "rain-cityscapes": _rain_cityscapes,
    "bdd100k-seg": _bdd100k,
}

__all__ = ["NO_ATTRIBUTE", "Scenes", "find_scenes", "read_frames"]
