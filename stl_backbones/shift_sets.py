"""The sets of other images that models are scored on: one table of names, layouts and counts.

A set is looked up by its name, which is also the folder of its results. Images are downloaded by
the user; none of them is part of the package. docs/how-to/real_shifts.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stl_backbones.errors import InputError

# What a class folder of the official archive is called after.
Folders = Literal["wnids", "numbers", "objectnet", "categories"]
Rule = Literal["all", "max", "mean", "argmax"]


@dataclass(frozen=True)
class ShiftSet:
    """A set of other images.

    Attributes:
        name: Its name in options, and the folder of its results.
        title: Its name in tables.
        task: The task that it is for.
        folder: Pattern of the folder's name that its archive unpacks to.
        below: Folder below the root that holds the images.
        counts: Numbers of images that count as complete; the last one is named in errors.
        each: Numbers of images that a class may have; empty for any.
        folders: What class folders are called after.
        file: Pattern of the images' names; empty for any.
        rule: How the 1000 scores become those of its classes: ``'all'`` of them; ``'max'``, the
            largest of each class; ``'mean'``, the mean probability of each class; ``'argmax'``,
            the best of the 1000, whose class it is, if it has one.
        border: Pixels cut off on every side before the model's own resize.
        clean: What its clean partner is, in words.
        terms: Conditions of its licence, in words.
        may_show: Whether reports and pictures may show its images.
        family: Another name, which several sets of one archive share.
        clean_title: Name of its own clean partner in tables, where it has one.
        is_subset: Whether the sweep's clean images are more than it is made of, so that they are
            no partner of it.
        is_cropped: Whether its images have 224 pixels, to be scored by a network of that size
            without resize or crop.
    """

    name: str
    title: str
    task: str
    folder: str
    terms: str
    counts: tuple[int, ...]
    clean: str = "ImageNet-1K's validation images"
    below: str = ""
    each: tuple[int, ...] = ()
    folders: Folders = "wnids"
    file: str = ""
    rule: Rule = "all"
    border: int = 0
    may_show: bool = True
    family: str = ""
    clean_title: str = ""
    is_subset: bool = False
    is_cropped: bool = False

    @property
    def has_own_clean(self) -> bool:
        """Whether its partner is scored beside it, and not the sweep's own clean images."""
        return self.rule != "all" or self.is_subset

    @property
    def partner_title(self) -> str:
        """Name of that partner in tables."""
        return self.clean_title or f"ImageNet-1K, classes of {self.title}"


def notes_of_count(
    one: ShiftSet, root: Path, images: int, *, allow_missing: bool
) -> tuple[str, ...]:
    """What tables must print where a set is not complete; nothing where it is.

    Args:
        one: The set.
        root: Its folder, for the message.
        images: How many are there.
        allow_missing: Go on where some are missing.

    Raises:
        InputError: If some are missing, and may not.
    """
    if images in one.counts:
        return ()
    lacks = f"{images} images of {one.counts[-1]}"
    if not allow_missing:
        raise InputError(
            f"--sets {one.name} '{root}' is not all of {one.title}: {lacks}; --allow-missing "
            "scores what is there, and says so in tables"
        )
    return (f"--allow-missing: {one.title} is not complete: {lacks}",)


_V2 = "images as ImageNet's (Flickr, research only), code MIT"
_OBJECTNET = (
    "CC BY 4.0, never to tune a parameter on, and its images appear on the web only with their "
    "red border; reports do not show them"
)
_RESEARCH = "research only, images from the web without a licence"
_VALIDATION = r"ILSVRC2012_val_\d{8}.*"


def _classified(
    name: str, title: str, folder: str, terms: str, *counts: int, **more: object
) -> ShiftSet:
    return ShiftSet(name, title, "classification", folder, terms, counts, **more)  # type: ignore[arg-type]


_OWN_CLASSES = "ImageNet-1K's validation images of the same classes, scored alike"
# Hendrycks et al. 2021, arXiv:1907.07174, 2006.16241; Recht et al. 2019, arXiv:1902.10811; Wang et
# al. 2019, arXiv:1905.13549; Barbu et al. 2019; Geirhos et al. 2019, arXiv:1811.12231; Zenodo
# 6801109.
_ALL: tuple[ShiftSet, ...] = (
    *(
        _classified(
            f"imagenet-{letter}", f"ImageNet-{letter.upper()}", rf"imagenet-{letter}",
            f"code MIT; {_RESEARCH}", count, rule="max", clean=_OWN_CLASSES,
        )
        for letter, count in (("a", 7500), ("r", 30_000))
    ),
    *(
        _classified(
            f"imagenet-v2-{variant}", f"ImageNet-V2 {variant}",
            rf"imagenetv2-{re.escape(variant)}(-format-val)?", _V2, 10_000, each=(10,),
            family="imagenet-v2", folders="numbers",
        )
        for variant in ("matched-frequency", "threshold0.7", "top-images")
    ),
    # 50,000 by its README, 50,874 in its list, 50,889 in its archive.
    _classified(
        "imagenet-sketch", "ImageNet-Sketch", r"(imagenet-?)?sketch", _RESEARCH, 50_000, 50_874,
        50_889, each=(50, 51), file=r"sketch_\d+\..*",
    ),
    *(
        _classified(
            f"objectnet-113-{rule}", f"ObjectNet (113 classes, {what})", r"objectnet(-1\.0)?",
            _OBJECTNET, 18_574, below="images", folders="objectnet", file=r"[0-9a-f]{15}\.png",
            rule=readout, border=2, family="objectnet", may_show=False, clean=_OWN_CLASSES,
        )
        for rule, what, readout in (
            ("argmax", "arg max of 1000", "argmax"), ("cut", "arg max of 113", "max"),
        )
    ),
    _classified(
        "stylized-imagenet", "Stylized-ImageNet", r"stylized-?imagenet.*", "made by its user; no "
        "two copies are equal; code MIT, images as ImageNet's", 50_000, below="val",
        each=(50,), file=rf"{_VALIDATION}\.png", is_cropped=True,
    ),
    _classified("imagenet-cartoon", "ImageNet-Cartoon", r"imagenet-cartoon", "CC BY 4.0", 50_000),
    _classified("imagenet-drawing", "ImageNet-Drawing", r"imagenet-drawing", "CC BY 4.0", 50_000),
    _classified(
        "cue-conflict", "Cue conflict (16 categories)",
        r"cue-?conflict|style-transfer-preprocessed-512", _RESEARCH, 1280, each=(80,),
        folders="categories", file=r"[a-z]+\d+-[a-z]+\d+\.png",
        rule="mean", clean=_OWN_CLASSES,
    ),
)  # fmt: skip

_CITYSCAPES = "the sweep's clean images, Cityscapes val"
_NON_COMMERCIAL = "non-commercial"


def _scenes(
    name: str, title: str, folder: str, terms: str, *counts: int, **more: object
) -> ShiftSet:
    found: dict[str, object] = {"clean": _CITYSCAPES, **more}
    return ShiftSet(name, title, "segmentation", folder, terms, counts, **found)  # type: ignore[arg-type]


# Sakaridis et al. 2021, arXiv:2104.13395 (ACDC); Sakaridis et al. 2018, 2019; Dai & Van Gool 2018;
# Hu et al. 2019; Yu et al. 2020 (BDD100K).
_ALL += (
    _scenes(
        "acdc", "ACDC val", r"acdc", f"{_NON_COMMERCIAL}, registration", 406,
        clean="its reference images, the same places in fair weather, as far as they have labels; "
        "without them Cityscapes val", clean_title="ACDC val, reference images in fair weather",
    ),
    _scenes("dark-zurich", "Dark Zurich val", r"dark[-_]?zurich(_val_anon)?", _NON_COMMERCIAL, 50),
    _scenes(
        "nighttime-driving", "Nighttime Driving test", r"nighttime-?driving-?(test)?",
        "research, see its page", 50,
    ),
    *(
        _scenes(
            f"foggy-zurich-{split}", f"Foggy Zurich {split}", r"foggy[-_]?zurich", _NON_COMMERCIAL,
            count, family="foggy-zurich",
        )
        for split, count in (("testv2", 40), ("testv1", 16))
    ),
    _scenes("foggy-cityscapes", "Foggy Cityscapes val", r"foggy[-_]?cityscapes",
            "Cityscapes' terms", 1500),
    _scenes("foggy-cityscapes-dbf", "Foggy Cityscapes-DBF val", r"foggy[-_]?cityscapes-?dbf",
            "Cityscapes' terms", 1500),
    _scenes(
        "rain-cityscapes", "RainCityscapes val", r"rain[-_]?cityscapes", "Cityscapes' terms", 1188,
        clean="the 33 images of Cityscapes val that it is made of; none without them",
        clean_title="Cityscapes val, the images of RainCityscapes", is_subset=True,
    ),
    _scenes(
        "bdd100k-seg", "BDD100K sem_seg val", r"bdd100k", "educational, research, not for profit",
        1000,
    ),
)  # fmt: skip

# Mao et al. 2023, arXiv:2307.12730.
COCO_O, SLOPE = "coco-o", 0.45  # of effective robustness
_DOMAINS = {"sketch": 707, "weather": 961, "cartoon": 1996, "painting": 954, "tattoo": 918,
            "handmake": 1246}  # fmt: skip
_ALL += (
    *(
        ShiftSet(
            f"{COCO_O}-{domain}", f"COCO-O {domain}", "detection", r"coco-?o|ood_coco", _RESEARCH,
            (count,), "the sweep's clean images, COCO val2017", below=domain, family=COCO_O,
        )
        for domain, count in _DOMAINS.items()
    ),
    ShiftSet(
        "bdd100k-det", "BDD100K detection val", "detection", r"bdd100k",
        "educational, research, not for profit", (10_000,), "the sweep's clean images",
    ),
)  # fmt: skip
DOMAINS = tuple(f"{COCO_O}-{domain}" for domain in _DOMAINS)

SHIFT_SETS: Mapping[str, ShiftSet] = {one.name: one for one in _ALL}

# Entry-level category -> its indices among ImageNet's 1000 (Geirhos et al. 2019, arXiv:1811.12231).
CATEGORIES: Mapping[str, tuple[int, ...]] = {
    "airplane": (404,),
    "bear": (294, 295, 296, 297),
    "bicycle": (444, 671),
    "bird": (
        8, *range(10, 17), *range(18, 21), *range(22, 25), *range(80, 84), *range(87, 97),
        *range(98, 101), *range(127, 134), *range(135, 146),
    ),
    "boat": (472, 554, 625, 814, 914),
    "bottle": (440, 720, 737, 898, 899, 901, 907),
    "car": (436, 511, 817),
    "cat": tuple(range(281, 287)),
    "chair": (423, 559, 765, 857),
    "clock": (409, 530, 892),
    "dog": (
        *range(152, 192), *range(193, 204), *range(205, 227), *range(228, 242), *range(243, 251),
        *range(252, 258), 259, *range(261, 264), *range(265, 269),
    ),
    "elephant": (385, 386),
    "keyboard": (508, 878),
    "knife": (499,),
    "oven": (766,),
    "truck": (555, 569, 656, 675, 717, 734, 864, 867),
}  # fmt: skip

_CUES = re.compile(r"(?:.*/)?([a-z]+)\d+-([a-z]+)\d+\.png")


def check_may_show(dataset: str, image_ids: Iterable[str]) -> None:
    """Refuse to show images that a licence forbids to show.

    Args:
        dataset: The data set's name in tables.
        image_ids: Its images.

    Raises:
        InputError: If they are of such a set, by its name or the names of its images.
    """
    names = [one.rpartition("/")[2] for one in image_ids]
    for hidden in (one for one in SHIFT_SETS.values() if not one.may_show):
        if dataset == hidden.title or any(re.fullmatch(hidden.file, name) for name in names):
            raise InputError(f"images of {hidden.title} are never shown ({hidden.terms}); "
                             "expected a sweep of other images")  # fmt: skip


def sets_of(task: str) -> dict[str, str]:
    """Name -> title of a task's sets."""
    return {one.name: one.title for one in SHIFT_SETS.values() if one.task == task}


def cues_of(image_id: str) -> tuple[str, str]:
    """Category of the shape and of the texture of a cue-conflict image.

    Raises:
        InputError: If its name states none.
    """
    found = _CUES.fullmatch(image_id)
    if found is None or not {found[1], found[2]} <= CATEGORIES.keys():
        raise InputError(
            f"'{image_id}' is no cue-conflict image: expected a name such as cat1-elephant2.png"
        )
    return found[1], found[2]


__all__ = [
    "CATEGORIES",
    "COCO_O",
    "DOMAINS",
    "SHIFT_SETS",
    "SLOPE",
    "ShiftSet",
    "check_may_show",
    "cues_of",
    "sets_of",
]
