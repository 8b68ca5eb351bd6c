"""Label maps that lie among images: they hold classes, not light, and are never corrupted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import PIL.Image

from stl_backbones.corruptions.images import IMAGE_DAMAGE
from stl_backbones.image_files import ending

_LOSSY = frozenset({".jpg", ".jpeg", ".webp"})  # no format for labels
# What Cityscapes and its kin call them.
_NAMES = re.compile(
    r".*_(labelIds|labelTrainIds|instanceIds|instanceTrainIds|gtFine|gtCoarse|color|panoptic)"
    r"(_.*)?",
    re.IGNORECASE,
)
_ONE_CHANNEL = ("1", "L", "P", "I")  # how Pillow's names of such modes begin
_FEW = 64  # classes that one picture shows; a grey photograph has more levels
_FLAT = 0.5  # bytes of a file per pixel: a photograph without loss has more


def is_label_map(path: Path) -> bool:
    """Whether a file looks like a label map: by its name, or one channel of few grey levels.

    Three equal channels count as one.

    A file that cannot be read does not.
    """
    if ending(path.name) in _LOSSY:
        return False
    if _NAMES.fullmatch(path.stem):
        return True
    try:
        with PIL.Image.open(path) as image:
            if image.mode == "RGB":
                is_flat = path.stat().st_size < _FLAT * image.width * image.height
                found = image.getcolors(_FEW) if is_flat else None
                return found is not None and all(map(_is_grey, found))
            if image.mode == "LA" or not image.mode.startswith(_ONE_CHANNEL):
                return False
            return image.getcolors(_FEW) is not None
    except IMAGE_DAMAGE:
        return False


def _is_grey(count_and_levels: tuple[int, Any]) -> bool:
    return len(set(count_and_levels[1])) == 1


__all__ = ["is_label_map"]
