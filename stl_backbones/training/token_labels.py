"""Pictures of what a token labeler sees in images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from stl_backbones.corruptions import check_corruption, check_severity, corrupt
from stl_backbones.corruptions.seeds import check_key
from stl_backbones.datasets.class_folders import read_rgb
from stl_backbones.datasets.rand_augment import Operation
from stl_backbones.datasets.two_views import STUDENT, CenterCropViews, PackViews
from stl_backbones.display import shown_one_by_one
from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.errors import InputError
from stl_backbones.models import FAN
from stl_backbones.models.losses import token_labels
from stl_backbones.pretraining.figures import (
    TokenMap,
    as_png,
    plot_confidence,
    plot_token_labels,
    plot_views,
)
from stl_backbones.pretraining.frozen import FrozenLabeler, load_labeler
from stl_backbones.pretraining.preprocessor import MEAN, STD
from stl_backbones.results.atomic import write_atomically

_KEPT = 0.7  # of each side, by the view 'crop'


@dataclass(frozen=True)
class PictureOptions:
    """What is drawn, and how.

    Attributes:
        size: Side of the images that the labeler sees.
        label: Class of all images, by index or name; default: each image's folder if that is a
            class of the labeler's, else the class that the labeler sees.
        corruption: Show each image clean and with this corruption; default: clean only.
        severity: Its severity, 1 to 5, fractions too.
        threshold: Confidence from which a foreground token counts as sure.
        seed: Of the Gumbel noise.
    """

    size: int = 224
    label: str | None = None
    corruption: str | None = None
    severity: float = 3
    threshold: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 32:
            raise InputError(f"size must be at least 32, got {self.size}")
        if not 0 <= self.threshold <= 1:
            raise InputError(f"threshold must be in 0..1, got {self.threshold}")
        if self.corruption is not None:
            check_corruption(self.corruption)
            check_severity(self.severity)


def draw_token_labels(
    checkpoint: str | Path,
    images: Sequence[str | Path],
    *,
    out: str | Path,
    options: PictureOptions | None = None,
) -> list[Path]:
    """Write the panels of the paper's Figures 2 and 5 for some images.

    Args:
        checkpoint: A FAN with a token head.
        images: Image files.
        out: Folder for ``NAME_tokens.png`` (with a corruption ``NAME_tokens_fog_3.png``) and
            ``NAME_views.png`` of each image, and ``confidence.png`` of several together.
        options: What is drawn.

    Returns:
        The files.

    Raises:
        FileNotFoundError: If the checkpoint or an image is missing.
        ValueError: If one cannot be read, or the labeler does not know the class.
    """
    options = options or PictureOptions()
    for path in images:
        check_key(Path(path).name)
    install_safe_loaders()
    labeler = load_labeler(checkpoint)
    out = Path(out)
    clean: list[TokenMap] = []
    written: list[Path] = []

    def save(name: str, figure: Figure) -> None:
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{name}.png"
        write_atomically(path, as_png(figure))
        written.append(path)

    names = _file_names([Path(path) for path in images])
    for path, name in shown_one_by_one(names.items(), str(out), "images"):
        figures, tokens = _draw_image(labeler, path, options)
        clean.append(tokens)
        for suffix, figure in figures.items():
            save(f"{name}{suffix}", figure)
    if len(clean) > 1:
        save("confidence", plot_confidence(clean))
    return written


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
    confidence, classes = token_logits.float().softmax(dim=-1).max(dim=-1)
    grid = fan.token_grid(inputs)
    return [
        TokenMap(
            title,
            np.asarray(image),
            label,
            *(part[index].view(grid).numpy() for part in (classes, confidence, drawn)),
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


def _draw_image(
    labeler: FrozenLabeler, path: Path, options: PictureOptions
) -> tuple[dict[str, Figure], TokenMap]:
    """Ends of file names and their figures, and the clean image's tokens."""
    crop = CenterCropViews(options.size)
    image = crop({"views": {STUDENT: read_rgb(path)}})["views"][STUDENT]
    label, source = _find_label(labeler, path, options.label)
    shown, suffix = {"clean": image}, "_tokens"
    if options.corruption is not None:
        shown[f"{options.corruption} {options.severity}"] = Image.fromarray(
            corrupt(np.asarray(image), options.corruption, options.severity, key=path.name)
        )
        suffix += f"_{options.corruption}_{options.severity}"
    rows = map_tokens(labeler, shown, label=label, seed=options.seed)
    clean = replace(rows[0], title=f"{_class_name(labeler, rows[0].label)} ({source})")
    views = map_tokens(labeler, geometric_views(image), label=clean.label, seed=options.seed)
    return {
        suffix: plot_token_labels([clean, *rows[1:]], threshold=options.threshold),
        "_views": plot_views(views, threshold=options.threshold),
    }, clean


def _find_label(labeler: FrozenLabeler, path: Path, wanted: str | None) -> tuple[int | None, str]:
    """The class of an image, and who says so; ``None`` where the labeler has to."""
    classes = labeler.classes or ()
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


def _class_name(labeler: FrozenLabeler, label: int) -> str:
    return labeler.classes[label] if labeler.classes else f"class {label}"


def _file_names(paths: Iterable[Path]) -> dict[Path, str]:
    """A name of its own for every image's pictures: its stem, with a number if that is taken."""
    names: dict[Path, str] = {}
    for path in paths:
        name, number = path.stem, 2
        while name in names.values():
            name, number = f"{path.stem}_{number}", number + 1
        names.setdefault(path, name)
    return names
