"""Sets of other images in the layouts of their archives: found, labelled and counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stl_backbones.datasets.class_folders import ClassFolders
from stl_backbones.datasets.imagenet_classes import SUBSETS, imagenet_wnids, subset_indices
from stl_backbones.errors import InputError, MissingFileError, some_of, unknown_name
from stl_backbones.image_files import is_clutter
from stl_backbones.paths import check_file, check_folder
from stl_backbones.plain_files import read_json
from stl_backbones.shift_sets import CATEGORIES, SHIFT_SETS, ShiftSet

NO_CLASS = "(none of them)"  # of a score whose class a set does not have
_MAPPINGS = ("folder_to_objectnet_label.json", "objectnet_to_imagenet_1k.json",
             "imagenet_to_label_2012_v2", "pytorch_to_imagenet_2012_id.json")  # fmt: skip


def find_sets(given: Sequence[str | Path] | Mapping[str, str | Path], task: str) -> dict[str, Path]:
    """The sets that folders hold.

    Args:
        given: Folders, each of a set or with sets in it, known by the names that their archives
            give them; or ``'NAME=DIR'``. Or name -> folder.
        task: The task that they are for.

    Returns:
        Name -> folder, in the order of the table of sets.

    Raises:
        MissingFileError: If a folder does not exist.
        InputError: If it holds no set, or a set is there twice.
        UnknownNameError: If a name is none of the task's sets.
    """
    found: dict[str, Path] = {}
    pairs = given.items() if isinstance(given, Mapping) else map(_split, given)
    for name, path in pairs:
        root = check_folder(path, "--sets" if not name else f"--sets {name}")
        own = _called(name, root, task) if name else _recognised(root, task)
        for one, folder in own.items():
            if one in found:
                raise InputError(f"--sets has {one} twice: '{found[one]}' and '{folder}'")
            found[one] = folder
    return {name: found[name] for name in SHIFT_SETS if name in found}


def _called(name: str, root: Path, task: str) -> dict[str, Path]:
    """The sets of a name, which may be that of a family."""
    known = {key: one for key, one in SHIFT_SETS.items() if one.task == task}
    found = [key for key, one in known.items() if name in (key, one.family)]
    if not found:
        families = dict.fromkeys(one.family for one in known.values() if one.family)
        raise unknown_name("set of other images", name, (*known, *families))
    if len({known[key].folder for key in found}) == 1:
        return dict.fromkeys(found, root)
    own = _recognised(root, task)  # each of them has a folder of its own
    absent = [key for key in found if key not in own]
    if absent:
        raise MissingFileError(
            f"--sets {name} '{root}' lacks folders of {', '.join(absent)}, called as their "
            "archives unpack; the name of a single set is that of its own folder"
        )
    return {key: own[key] for key in found}


def _split(text: str | Path) -> tuple[str, Path]:
    name, mark, path = str(text).partition("=")
    return (name, Path(path)) if mark and "/" not in name else ("", Path(text))


def _recognised(root: Path, task: str) -> dict[str, Path]:
    """The sets that a folder is, or holds, by their folders' names."""
    places = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    if _named(root, task):
        places = [root]
    found: dict[str, Path] = {}
    for place in places:
        for one in _named(place, task):
            if one.name in found:
                raise InputError(
                    f"--sets '{root}' holds {one.name} twice: '{found[one.name]}' and '{place}'"
                )
            found[one.name] = place
    if not found:
        names = [one.name for one in SHIFT_SETS.values() if one.task == task]
        raise InputError(
            f"--sets '{root}': no folder is called as a set's archive unpacks, for example "
            f"'imagenet-a'; NAME=DIR says which set a folder is: {', '.join(names)}"
        )
    return found


def _named(place: Path, task: str) -> list[ShiftSet]:
    """The sets whose archives unpack to a folder of this name, a link's own before its target's."""
    for name in (place.absolute().name.lower(), place.resolve().name.lower()):
        found = [one for one in SHIFT_SETS.values()
                 if one.task == task and re.fullmatch(one.folder, name)]  # fmt: skip
        if found:
            return found
    return []


@dataclass(frozen=True)
class OpenedSet:
    """The class folders of a set, and its classes.

    Attributes:
        folder: Its class folders, named as the classes.
        classes: Its classes, in order.
        groups: Of each class, its places among ImageNet's 1000.
        form: What the class folders are called after, in words.
    """

    folder: ClassFolders
    classes: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    form: str

    @property
    def of_wnid(self) -> dict[str, str]:
        """ImageNet's class -> the set's."""
        wnids = imagenet_wnids()
        return {
            wnids[place]: name
            for name, places in zip(self.classes, self.groups, strict=True)
            for place in places
        }


class RenamedFolders(ClassFolders):
    """Class folders that are called otherwise than their classes.

    Args:
        root: The folder that holds them.
        class_of: Folder -> its class; folders that are not in it are left out.
    """

    def __init__(self, root: Path, class_of: Mapping[str, str]) -> None:
        super().__init__(root, classes=tuple(class_of), allow_empty=True)
        self.empty = tuple(class_of[name] for name in self.empty)
        self.classes = tuple(class_of[name] for name in self.classes)


def open_set(one: ShiftSet, root: Path, *, option: str) -> OpenedSet:
    """Read a set's layout.

    Args:
        one: The set.
        root: Its folder.
        option: What names the folder in errors.

    Raises:
        MissingFileError: If something of the layout is missing.
        InputError: If the folder is another set's, or its classes are no classes of the set.
    """
    root = check_folder(root, option, hint="expected class folders in it")
    named = _named(root, one.task)
    if named and one not in named:
        raise InputError(f"{option} '{root}' is called as the folder of {named[0].title}, not "
                         f"{one.title}")  # fmt: skip
    place = root / one.below
    if one.below and not place.is_dir():
        raise MissingFileError(f"'{root}' is not laid out as {one.title}: expected '{one.below}' "
                               "in it")  # fmt: skip
    folders = sorted(path.name for path in place.iterdir() if path.is_dir())
    folders = [name for name in folders if not is_clutter(name)]
    if not folders:
        raise MissingFileError(f"'{place}' holds no class folder; expected one folder per class")
    opened = _FORMS[one.folders](one, root, place, folders)
    _check_files(one, opened.folder)
    return opened


def _by_wnid(one: ShiftSet, root: Path, place: Path, folders: Sequence[str]) -> OpenedSet:
    del root, folders
    indices = subset_indices(one.title) if one.title in SUBSETS else range(len(imagenet_wnids()))
    return _of_indices(ClassFolders(place, allow_empty=True), indices, "wnids")


def _by_number(one: ShiftSet, root: Path, place: Path, folders: Sequence[str]) -> OpenedSet:
    """Folders are label numbers, with or without zeros in front; re-packed copies have wnids."""
    numbers = [name for name in folders if name.isascii() and name.isdecimal()]
    if not numbers:
        return _by_wnid(one, root, place, folders)
    others = sorted(set(folders) - set(numbers))
    if others:
        raise InputError(
            f"'{place}' mixes folders that are label numbers ({some_of(numbers)}) with others "
            f"({some_of(others)}); expected one form"
        )
    wnids, labels = imagenet_wnids(), {name: int(name) for name in numbers}
    if max(labels.values()) >= len(wnids) or len(set(labels.values())) < len(labels):
        raise InputError(
            f"'{place}': expected folders 0 to 999, each once, got {some_of(sorted(numbers))}"
        )
    by_label = sorted(labels, key=labels.__getitem__)
    folder = RenamedFolders(place, {name: wnids[labels[name]] for name in by_label})
    return _of_indices(folder, range(len(wnids)), f"label numbers ({min(numbers, key=len)}, ...)")


def _of_indices(folder: ClassFolders, indices: Sequence[int], form: str) -> OpenedSet:
    wnids = imagenet_wnids()
    classes = tuple(wnids[index] for index in indices)
    return OpenedSet(folder, classes, tuple((index,) for index in indices), form)


def _by_category(one: ShiftSet, root: Path, place: Path, folders: Sequence[str]) -> OpenedSet:
    del one, root, folders
    folder = ClassFolders(place, allow_empty=True)
    return OpenedSet(folder, tuple(CATEGORIES), tuple(CATEGORIES.values()), "categories")


def _by_objectnet(one: ShiftSet, root: Path, place: Path, folders: Sequence[str]) -> OpenedSet:
    """The 113 of ObjectNet's folders that are classes of ImageNet, by the files in ``mappings``."""
    to_label, to_names, lines, ids = (_mapping(root, name) for name in _MAPPINGS)
    try:
        index_of = {lines[int(line)]: int(index) for index, line in ids.items()}
    except (ValueError, TypeError, IndexError) as error:
        raise InputError(f"'{root}/mappings/{_MAPPINGS[3]}' does not number the lines of "
                         f"{_MAPPINGS[2]}: {error}") from error  # fmt: skip
    groups: dict[str, tuple[int, ...]] = {}
    for folder, label in to_label.items():
        names = to_names.get(label, "")
        found = [index_of.get(name) for name in names.split("; ")] if names else []
        if None in found:
            raise InputError(
                f"'{root}/mappings': '{names}' of {label} is no name in {_MAPPINGS[2]}"
            )
        if found:
            groups[folder] = tuple(sorted(index for index in found if index is not None))
    unknown = sorted(set(folders) - set(to_label))
    if unknown:
        raise InputError(
            f"'{place}' holds {len(unknown)} folders that are none of ObjectNet's "
            f"({some_of(unknown)})"
        )
    there = {name: name for name in sorted(groups) if name in folders}
    if len(there) < 2:
        raise InputError(
            f"'{place}' holds {len(there)} of the {len(groups)} classes of {one.title}"
        )
    classes = tuple(sorted(groups))
    ordered = tuple(groups[name] for name in classes)
    return OpenedSet(RenamedFolders(place, there), classes, ordered, "ObjectNet's folders")


def _mapping(root: Path, name: str) -> Any:
    path = check_file(root / "mappings" / name, "ObjectNet's file", hint="expected the archive's "
                      "folder, with images/ and mappings/")  # fmt: skip
    if path.suffix:
        found = read_json(path)
        texts = (str, int) if name == _MAPPINGS[3] else (str,)
        if isinstance(found, dict) and all(isinstance(one, texts) for one in found.values()):
            return found
        raise InputError(f"'{path}' cannot be read: expected one text for each name")
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise InputError(f"'{path}' cannot be read: {error}") from error


_FORMS = {
    "wnids": _by_wnid, "numbers": _by_number, "objectnet": _by_objectnet,
    "categories": _by_category,
}  # fmt: skip


def _check_files(one: ShiftSet, folder: ClassFolders) -> None:
    """Refuse another set's images, by their names."""
    pattern = re.compile(one.file)
    names = [Path(folder.key(index)).name for index in range(len(folder))]
    others = [name for name in names if one.file and not pattern.fullmatch(name)]
    if others:
        raise InputError(
            f"'{folder.root}' holds {len(others)} of {len(names)} images that are not named as "
            f"{one.title}'s ({some_of(others)}); is it another set?"
        )


def missing_of(one: ShiftSet, opened: OpenedSet) -> str:
    """What a set lacks, or has too much of, by its counts; empty for a complete one."""
    folder, found = opened.folder, len(opened.folder)
    per_class = Counter(folder.class_name(index) for index in range(found))
    wrong = {name: count for name, count in per_class.items() if one.each and count not in one.each}
    if wrong:
        name, count = next(iter(wrong.items()))
        each = " or ".join(map(str, one.each))
        return f"{len(wrong)} classes have not {each} images ({name} has {count})"
    if found not in one.counts:
        return f"{found} images of {one.counts[-1]}"
    return ""


__all__ = ["NO_CLASS", "OpenedSet", "RenamedFolders", "find_sets", "missing_of", "open_set"]
