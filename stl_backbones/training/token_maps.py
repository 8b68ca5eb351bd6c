"""What a token labeler sees in images, with the places of their objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image

from stl_backbones.corruptions import check_corruption, check_severity, corrupt
from stl_backbones.corruptions.seeds import check_key
from stl_backbones.datasets.class_folders import read_rgb
from stl_backbones.datasets.imagenet_classes import imagenet_wnids
from stl_backbones.datasets.object_masks import ObjectMasks
from stl_backbones.datasets.rand_augment import Operation
from stl_backbones.datasets.two_views import STUDENT, CenterCropViews, PackViews
from stl_backbones.display import shown_one_by_one
from stl_backbones.errors import InputError, MissingFileError, some_of
from stl_backbones.image_files import has_clutter, is_image
from stl_backbones.metrics.token_labels import foreground_tokens
from stl_backbones.models import FAN
from stl_backbones.models.losses import token_labels
from stl_backbones.pretraining.figures import TokenMap
from stl_backbones.pretraining.frozen import FrozenLabeler
from stl_backbones.pretraining.preprocessor import MEAN, STD

_KEPT = 0.7  # of each side, by the view 'crop'


@dataclass(frozen=True)
class PictureOptions:
    """What is labelled, and how it is drawn.

    Attributes:
        size: Side of the images that the labeler sees; with masks a multiple of its patches' side,
            mostly 16, so that each token has a patch of its own.
        label: Class of all images, by index or name; default: each image's folder if that is a
            class of the labeler's, else the class that the labeler sees.
        corruption: Show each image clean and with this corruption; default: clean only.
        severity: Its severity, 1 to 5, fractions too.
        threshold: Confidence from which a foreground token counts as sure.
        seed: Of the Gumbel noise.
        pictures: Draw only so many images, the first; default: all.
        share: Share of its patch from which a token is on the object.
    """

    size: int = 224
    label: str | None = None
    corruption: str | None = None
    severity: float = 3
    threshold: float = 0.5
    seed: int = 0
    pictures: int | None = None
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.size < 32:
            raise InputError(f"size must be at least 32, got {self.size}")
        if not 0 <= self.threshold <= 1:
            raise InputError(f"threshold must be in 0..1, got {self.threshold}")
        if self.pictures is not None and self.pictures < 0:
            raise InputError(f"pictures must be at least 0, got {self.pictures}")
        if self.corruption is not None:
            check_corruption(self.corruption)
            check_severity(self.severity)


@dataclass(frozen=True)
class LabelledImage:
    """The token labels of an image.

    Attributes:
        path: Its file.
        maps: Of the clean image, and with a corruption of the corrupted one.
    """

    path: Path
    maps: tuple[TokenMap, ...]


def find_images(given: Sequence[str | Path]) -> list[Path]:
    """The images of files and folders, those of a folder by path, each once.

    Raises:
        FileNotFoundError: If a folder holds no image.
        ValueError: If a file's name is no UTF-8.
    """
    found: list[Path] = []
    for path in map(Path, given):
        if not path.is_dir():
            found.append(path)
            continue
        inside = [
            file for file in sorted(path.rglob("*"))
            if is_image(file.name) and not has_clutter(file, path) and file.is_file()
        ]  # fmt: skip
        if not inside:
            raise MissingFileError(f"image folder '{path}' holds no image")
        found += inside
    for path in found:
        check_key(path.name)
    return list(dict.fromkeys(found))


def label_images(
    labeler: FrozenLabeler,
    paths: Sequence[Path],
    *,
    masks: ObjectMasks | None = None,
    options: PictureOptions,
    title: str,
) -> Iterator[LabelledImage]:
    """Label the tokens of images, one after the other.

    Args:
        labeler: A FAN with a token head.
        paths: The images.
        masks: Where the objects are.
        options: Size, class and corruption.
        title: Of the progress that is shown.

    Raises:
        FileNotFoundError: If an image or a mask is missing; masks are looked for before the first
            image is read.
        ValueError: If one cannot be read, or a class is not known.
    """
    if masks is not None:
        stride = cast("FAN", labeler.network.fan).variant.patch_stride
        if options.size % stride:
            raise InputError(
                f"with masks the size must be a multiple of {stride}, so that each token has a "
                f"patch of its own; got {options.size}"
            )
        for path in paths:
            masks.check(path, class_name=known_class(labeler, path, options.label))
    for path in shown_one_by_one(paths, title, "images"):
        yield _label_image(labeler, path, masks, options)


def map_tokens(
    labeler: FrozenLabeler,
    images: Mapping[str, Image.Image],
    *,
    label: int | None = None,
    seed: int = 0,
) -> list[TokenMap]:
    """Label the tokens of images of one size.

    Args:
        labeler: A FAN with a token head.
        images: Title -> RGB image.
        label: The class that counts as foreground; default: what the class token of the first
            image says.
        seed: Of the Gumbel noise.
    """
    pack = PackViews()
    pixels = torch.stack(
        [
            pack({"views": {STUDENT: image}, "label": -1, "path": ""})[STUDENT]
            for image in images.values()
        ]
    )
    inputs = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    fan = cast("FAN", labeler.network.fan)
    with torch.inference_mode():
        class_logits, token_logits = fan(inputs)
    if label is None:
        label = int(class_logits[0].argmax())
    noise = torch.Generator().manual_seed(seed)
    drawn = token_labels(token_logits, mode="gumbel", generator=noise)
    probabilities = token_logits.float().softmax(dim=-1)
    confidence, classes = probabilities.max(dim=-1)
    grid = fan.token_grid(inputs)
    return [
        TokenMap(
            title,
            np.asarray(image),
            label,
            *(
                part[index].view(grid).numpy()
                for part in (classes, confidence, probabilities[..., label], drawn)
            ),
        )
        for index, (title, image) in enumerate(images.items())
    ]


def geometric_views(image: Image.Image) -> dict[str, Image.Image]:
    """An image and its views by the four kinds of spatial augmentation, by title."""
    side, _ = image.size
    margin = round(side * (1 - _KEPT) / 2)
    box = (margin, margin, side - margin, side - margin)
    return {
        "image": image,
        "crop": image.crop(box).resize(image.size, Image.Resampling.BICUBIC),
        "rotation": Operation("Rotate", (25.0,)).apply(image),
        "shear": Operation("ShearX", (0.25,)).apply(image),
        "translation": Operation("TranslateXRel", (0.25,)).apply(image),
    }


def _label_image(
    labeler: FrozenLabeler, path: Path, masks: ObjectMasks | None, options: PictureOptions
) -> LabelledImage:
    whole, view = read_rgb(path), CenterCropViews(options.size)
    image = view.crop(whole)
    label, source = _find_label(labeler, path, options.label)
    shown = {"clean": image}
    if options.corruption is not None:
        shown[f"{options.corruption} {options.severity}"] = Image.fromarray(
            corrupt(np.asarray(image), options.corruption, options.severity, key=path.name)
        )
    clean, *corrupted = map_tokens(labeler, shown, label=label, seed=options.seed)
    maps = [replace(clean, title=f"{class_name(labeler, clean.label)} ({source})"), *corrupted]
    if masks is not None:
        name = known_class(labeler, path, options.label)
        mask = _mask_of_view(masks.read(path, size=whole.size, class_name=name), view)
        on_object = foreground_tokens(mask, clean.classes.shape, share=options.share)
        maps = [replace(one, mask=mask, on_object=on_object) for one in maps]
    return LabelledImage(path, tuple(maps))


def _mask_of_view(mask: np.ndarray, view: CenterCropViews) -> np.ndarray:
    """The mask after the image's resizing and crop: pixels of which it covers half or more."""
    shares = view.crop(Image.fromarray(mask.astype(np.float32)), resample=Image.Resampling.BOX)
    return np.asarray(shares) >= 0.5 - 1e-6


def known_class(labeler: FrozenLabeler, path: Path, wanted: str | None) -> str:
    """The name of an image's class, where its folder or the user says which it is."""
    label, _ = _find_label(labeler, path, wanted)
    if label is None:
        names = _class_names(labeler)
        known = some_of(names) if names else "the checkpoint holds no names"
        raise InputError(
            f"with masks the class of '{path}' must be known: its folder "
            f"'{path.resolve().parent.name}' is no class of the labeler ({known}); give --label "
            "CLASS"
        )
    return class_name(labeler, label)


def _find_label(labeler: FrozenLabeler, path: Path, wanted: str | None) -> tuple[int | None, str]:
    """The class of an image, and who says so; ``None`` where the labeler has to."""
    classes = _class_names(labeler)
    if wanted is None:
        folder = path.resolve().parent.name
        return (classes.index(folder), "its folder") if folder in classes else (None, "as seen")
    if wanted in classes:
        return classes.index(wanted), "given"
    if wanted.isdecimal() and int(wanted) < labeler.num_classes:
        return int(wanted), "given"
    known = "by index or name" if classes else "by index: the checkpoint holds no class names"
    raise InputError(
        f"the labeler knows classes 0..{labeler.num_classes - 1}, {known}; got '{wanted}'"
    )


def _class_names(labeler: FrozenLabeler) -> tuple[str, ...]:
    """The labeler's classes; ImageNet's where a file of 1000 names none, as released ones."""
    if labeler.classes is None and labeler.num_classes == len(imagenet_wnids()):
        return imagenet_wnids()
    return labeler.classes or ()


def class_name(labeler: FrozenLabeler, label: int) -> str:
    """A class's name, or its number where there is none."""
    names = _class_names(labeler)
    return names[label] if names else f"class {label}"


__all__ = [
    "LabelledImage",
    "PictureOptions",
    "class_name",
    "find_images",
    "geometric_views",
    "known_class",
    "label_images",
    "map_tokens",
]
