"""The image sets that a classifier is scored on."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stl_backbones.copies.images import PILLOW
from stl_backbones.corruptions import get_protocol
from stl_backbones.datasets.class_folders import ClassFolders
from stl_backbones.datasets.image_list import ImageList, read_image_list
from stl_backbones.datasets.imagenet_classes import imagenet_wnids
from stl_backbones.datasets.labelled_images import LabelledImages, choose_classes, find_images
from stl_backbones.datasets.labelled_source import LabelledSource
from stl_backbones.datasets.shift_folders import (
    NO_CLASS,
    RenamedFolders,
    find_sets,
    missing_of,
    open_set,
)
from stl_backbones.datasets.views import IMAGENET_C_VIEW, View
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.evaluation.classified import Readout
from stl_backbones.records import CLEAN, Cell, Provenance
from stl_backbones.robustness.array_copy import find_array_copy, is_array_copy
from stl_backbones.robustness.classifier_versions import ViewRules, default_rule, notes_of_size
from stl_backbones.robustness.corrupted_copy import CorruptedCopy, find_copy
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.provenance import corruption_fields, data_name, describe
from stl_backbones.shift_sets import SHIFT_SETS, ShiftSet

_LOGGER = logging.getLogger(__name__)
_SHOWN = 8


@dataclass(frozen=True)
class Asked:
    """What a classification sweep is asked for.

    Attributes:
        options: What all sweeps have.
        scoring: ``'cls'`` or ``'cls_plus_max_token'``.
        resize_rule: One of `RESIZE_RULES`; empty for `default_rule`.
        jpeg85: Pass what is corrupted here through JPEG of quality 85, as ImageNet-C's files.
        sets: Folders of sets of other images, to be scored too, see
            `stl_backbones.datasets.shift_folders.find_sets`.
        imagenet_a: Folder of ImageNet-A.
        imagenet_r: Folder of ImageNet-R.
        allow_missing: Go on where classes have no images, or a copy's cells are not whole.
        classes: The model's class names in the order of its logits, or a file of them.
    """

    options: SweepOptions
    scoring: str = "cls"
    resize_rule: str = ""
    jpeg85: bool = False
    sets: str | Path | Sequence[str | Path] | Mapping[str, str | Path] | None = None
    imagenet_a: str | Path | None = None
    imagenet_r: str | Path | None = None
    allow_missing: bool = False
    classes: str | Path | Sequence[str] | None = None


@dataclass(frozen=True)
class ImageSet:
    """One folder of results: images, the cells to score them in, and how.

    Attributes:
        place: The folder, below the sweep's; ``''`` for itself.
        title: Name of the data set.
        images: The images.
        cells: What to score, those left out not among them.
        rules: How versions of the images are made.
        readout: What makes the set's classes of the model's; ``None``: they are the same.
        provenance: What the numbers are measured with.
    """

    place: str
    title: str
    images: LabelledImages
    cells: tuple[Cell, ...]
    rules: ViewRules
    readout: Readout | None
    provenance: Provenance


def find_image_sets(classifier: Any, asked: Asked) -> tuple[ImageSet, ...]:
    """Check all data of a sweep before any of it is scored.

    Args:
        classifier: What is scored, and the folder of the clean images: a `Classifier`, or a
            `stl_backbones.robustness.predicted.classification.PredictedClassifier`.
        asked: The options.

    Returns:
        The clean images and their corrupted versions; then sets of other images where they are
        given, those of other classes with ImageNet-1K's images of these.

    Raises:
        InputError: If data and model do not fit together, or data are broken.
        MissingFileError: If something named is missing.
    """
    folder = classifier.folder
    classifier.check_scoring(asked.scoring)
    order = choose_classes(
        folder, classifier.num_classes, recorded=classifier.recorded, stated=asked.classes
    )
    _LOGGER.warning("%s", order)
    classes = order.names
    folder = folder.named(classes)
    if (view := folder.fitted(classifier.view)) != classifier.view:
        classifier = dataclasses.replace(classifier, view=view)
    is_imagenet = classes == imagenet_wnids()
    describer = _Describer(classifier, asked, is_imagenet=is_imagenet)
    sets = [_open_main(folder, classes, describer)]
    for name, (root, option) in _asked_sets(asked).items():
        if not is_imagenet:
            raise InputError(
                f"{SHIFT_SETS[name].title} is scored by the logits of ImageNet-1K's classes, which "
                f"'{classifier.name}' has not"
            )
        sets += _open_shift(SHIFT_SETS[name], root, folder, describer, option=option)
    return tuple(sets)


def _open_main(folder: LabelledSource, classes: tuple[str, ...], describer: _Describer) -> ImageSet:
    asked, options = describer.asked, describer.asked.options
    images = describer.find(
        folder, classes, "ImageNet-1K" if describer.is_imagenet else "the model",
        listed=None if options.image_list is None else read_image_list(options.image_list),
    )  # fmt: skip
    own_title = f"{folder.title or data_name(folder.root)} ({len(classes)} classes)"
    title = "ImageNet-1K" if describer.are_imagenet_val(images) else own_title
    cells = options.cells()
    found = None
    if options.corrupted_root is not None:
        found = _find_copy(asked, cells, images, folder)
        cells = (CLEAN, *(cell for cell in cells if cell in found.folders))
    rules = ViewRules(
        describer.classifier.view,
        asked.resize_rule or default_rule(images, None if found is None else found.folders),
        options.engine,
        jpeg85=asked.jpeg85,
        folders=None if found is None else found.folders,
    )
    small = list(notes_of_size(rules, options.protocol, images)) if len(cells) > 1 else []
    for note in (*small, *folder.notes):
        _LOGGER.warning("%s", note)
    read_as = (*(() if found is None else found.notes), *folder.notes, *small)
    provenance = describer.describe(
        title, images, classes, (*describer.main_notes(found, images, rules), *read_as),
        **corruption_fields(found, options, images.keys),
    )  # fmt: skip
    if asked.jpeg85:
        source = f"{provenance.corruption_source} (jpeg quality=85)"
        provenance = dataclasses.replace(provenance, corruption_source=source)
    inference = provenance.inference + rules.inference
    provenance = dataclasses.replace(provenance, inference=inference)
    return ImageSet("", title, images, cells, rules, None, provenance)


def _find_copy(
    asked: Asked, cells: Sequence[Cell], images: LabelledImages, folder: LabelledSource
) -> CorruptedCopy[Any]:
    """Check a corrupted copy; where cells may be missing, all of the protocol are looked for.

    What is noted then does not depend on the cells asked for, and runs over some corruptions each
    can share a folder.
    """
    options, root = asked.options, str(asked.options.corrupted_root)
    wanted = [cell for cell in cells if not cell.is_clean]
    hint = "; --allow-missing leaves them out, and says so in tables"
    find: Callable[..., CorruptedCopy[Any]] = partial(
        find_copy, root, keys=images.keys, image_root=images.root, reader=PILLOW, same_size=False,
        hint=hint,
    )  # fmt: skip
    if is_array_copy(root):
        find = partial(find_array_copy, root, source=folder, hint=hint)
    if not asked.allow_missing:
        return find(cells=wanted)
    own = [cell for cell in get_protocol(options.protocol).cells() if not cell.is_clean]
    every = [*own, *(cell for cell in wanted if cell not in own)]
    try:
        found = find(cells=every, allow_missing=True)
    except FileNotFoundError:
        find(cells=wanted)  # names a cell that is asked for
        raise
    if not any(cell in found.folders for cell in wanted):
        raise MissingFileError(
            f"--corrupted-root '{options.corrupted_root}': none of the {len(wanted)} cells asked "
            f"for is whole; cell '{wanted[0].name}' {found.lacking[wanted[0]]}"
        )
    return found


def _asked_sets(asked: Asked) -> dict[str, tuple[Path, str]]:
    """Set -> its folder, and the option that names it, in the order of the table of sets."""
    given = asked.sets
    several = (given,) if isinstance(given, str | Path) else given
    found = {name: (root, f"--sets {name}")
             for name, root in find_sets(several or (), "classification").items()}  # fmt: skip
    for name, place in (("imagenet-a", asked.imagenet_a), ("imagenet-r", asked.imagenet_r)):
        if place is not None and name in found:
            raise InputError(f"{name} is given twice: by --{name} and by --sets")
        if place is not None:
            found[name] = (Path(place), f"--{name}")
    return {name: found[name] for name in SHIFT_SETS if name in found}


def _open_shift(
    one: ShiftSet, root: Path, validation: LabelledSource, describer: _Describer, *, option: str
) -> list[ImageSet]:
    """A set of other images, and ImageNet-1K's images of its classes where these are others."""
    opened = open_set(one, root, option=option)
    classes, readout, notes = opened.classes, None, []
    if one.rule != "all":
        readout = Readout(opened.groups, one.rule, len(imagenet_wnids()))
    lacks = missing_of(one, opened)
    if lacks and not describer.asked.allow_missing:
        raise InputError(
            f"{option} '{root}' is not all of {one.title}: {lacks}; --allow-missing scores what is "
            "there, and says so in tables"
        )
    if lacks:
        notes.append(f"--allow-missing: {one.title} is not complete: {lacks}")
    images = describer.find(opened.folder, classes, one.title, border=one.border)
    if lacks:
        images = dataclasses.replace(images, total=max(images.total, one.counts[-1]))
    _LOGGER.warning(
        "%s: %d images, class folders are %s", one.title, len(opened.folder), opened.form
    )
    view = describer.classifier.view
    if one.is_cropped and view.size == IMAGENET_C_VIEW.size:
        view = dataclasses.replace(view, shorter=view.size)
    made = [_not_corrupted(one.name, one.title, images, classes, notes, readout, describer, view)]
    if not one.has_own_clean:
        return made
    there = {wnid: name for wnid, name in opened.of_wnid.items() if wnid in validation.classes}
    if len(set(there.values())) < 2:
        raise InputError(
            f"'{validation.root}' holds {len(there)} of the {len(opened.of_wnid)} classes of "
            f"{one.title}, so there is no clean score on the same classes"
        )
    is_plain = one.folders == "wnids"
    clean = ClassFolders(validation.root, classes=sorted(there))
    if not is_plain:
        clean = RenamedFolders(Path(validation.root), dict(sorted(there.items())))
    images = describer.find(clean, classes, one.title)
    title = f"ImageNet-1K, classes of {one.title}"
    made.append(_not_corrupted(f"{one.name}-clean", title, images, classes, (), readout, describer))
    return made


def _not_corrupted(
    place: str,
    title: str,
    images: LabelledImages,
    classes: Sequence[str],
    notes: Sequence[str],
    readout: Readout | None,
    describer: _Describer,
    view: View | None = None,
) -> ImageSet:
    own = describer.classifier.view
    rules = ViewRules(view or own, "model", describer.asked.options.engine)
    if readout is not None and readout.rule == "argmax":
        classes = (*classes, NO_CLASS)
    provenance = describer.describe(title, images, classes, notes, **_NOT_CORRUPTED)
    if images.border:
        inference = f"{images.border} pixels cut off on every side, {provenance.inference}"
        provenance = dataclasses.replace(provenance, inference=inference)
    if rules.view != own:
        inference = provenance.inference.replace(str(own), str(rules.view), 1)
        provenance = dataclasses.replace(provenance, inference=inference)
    return ImageSet(place, title, images, (CLEAN,), rules, readout, provenance)


_NOT_CORRUPTED = {
    "corruption_source": "none", "corruption_mode": "none", "corruption_package": "none",
    "channel_order": "rgb", "seed": 0, "image_list": "",
}  # fmt: skip


class _Describer:
    """What all image sets of a sweep share."""

    def __init__(self, classifier: Any, asked: Asked, *, is_imagenet: bool) -> None:
        self.classifier, self.asked, self.is_imagenet = classifier, asked, is_imagenet

    def are_imagenet_val(self, images: LabelledImages) -> bool:
        """Whether scores are ImageNet-1K's: its validation images, and all its classes."""
        return self.is_imagenet and images.imagenet_val

    def find(
        self,
        folder: LabelledSource,
        classes: Sequence[str],
        kind: str,
        *,
        border: int = 0,
        listed: ImageList | None = None,
    ) -> LabelledImages:
        options = self.asked.options
        images = find_images(
            folder, classes, kind=kind, allow_missing=self.asked.allow_missing,
            limit=options.limit, skip_broken=options.skip_broken, listed=listed,
        )  # fmt: skip
        images = dataclasses.replace(images, border=border)
        if images.left_out:
            _LOGGER.warning("'%s': %s", folder.root, images.left_out)
        return images

    def describe(
        self,
        title: str,
        images: LabelledImages,
        classes: Sequence[str],
        notes: Sequence[str],
        **corruption: object,
    ) -> Provenance:
        classifier, options = self.classifier, self.asked.options
        parts = [str(classifier.view), classifier.normalisation, f"scoring {self.asked.scoring}",
                 options.amp or ""]  # fmt: skip
        fields = {
            "task": "classification",
            "model": options.name or classifier.name,
            "dataset": title,
            "dataset_fingerprint": images.fingerprint,
            "num_images": len(images),
            "num_images_total": images.total,
            "skipped": images.skipped,
            "classes": tuple(classes),
            "config_sha256": classifier.config_sha256,
            "checkpoint_sha256": classifier.checkpoint_sha256,
            "inference": ", ".join(filter(None, parts)),
            "parameters": classifier.parameters,
            "macs": classifier.macs,
            "notes": (*notes, *classifier.notes, *_data_notes(images)),
            "imagenet_val": self.are_imagenet_val(images),
            **corruption,
        }
        return describe(options, libraries=classifier.libraries, **fields)

    def main_notes(
        self, found: CorruptedCopy[Any] | None, images: LabelledImages, rules: ViewRules
    ) -> list[str]:
        """What a table must say of the corrupted cells."""
        notes, asked = [], self.asked
        manifest, lacking = (None, {}) if found is None else (found.manifest, found.lacking)
        if images.imagenet_val and found is None:
            crop = "their own" if rules.resize_rule == "model" else str(IMAGENET_C_VIEW)
            saved = "after" if asked.jpeg85 else "without"
            notes.append(
                "not the official ImageNet-C files: corrupted on the fly from the validation "
                f"images after {crop} resize and crop, {saved} JPEG compression of quality 85"
            )
        elif images.imagenet_val and manifest is not None:
            notes.append(
                "not the official ImageNet-C files: a copy made by stl_backbones "
                f"({manifest.mode} mode, {manifest.image_format})"
            )
        if lacking:
            names = [cell.name for cell in lacking]
            more = f", ... ({len(names) - _SHOWN} more)" if len(names) > _SHOWN else ""
            notes.append(
                f"--allow-missing: {len(names)} cells are not whole in the corrupted copy and were "
                f"left out ({', '.join(names[:_SHOWN])}{more})"
            )
        return notes


def _data_notes(images: LabelledImages) -> Iterator[str]:
    if images.absent:
        count = len(images.classes)
        there = count - len(images.absent)
        yield f"--allow-missing: images of {there} of the {count} classes only"
    if images.left_out:
        yield f"'{images.root.name}': {images.left_out}"


__all__ = ["Asked", "ImageSet", "find_image_sets"]
