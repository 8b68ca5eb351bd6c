"""Labels of files that become the classes 0, 1, ... while they are read: Cityscapes' labelIds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import MappingProxyType

from stl_backbones.errors import InputError
from stl_backbones.metrics import IGNORE_INDEX

# Label of the files, in the order of the trainIds 0..18: labels.py of the authors'
# cityscapesScripts. KITTI's semantic benchmark numbers its labels alike.
CITYSCAPES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CLASS_NAMES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle",
    "bicycle",
)  # fmt: skip
NAMED = MappingProxyType({"cityscapes": CITYSCAPES, "kitti": CITYSCAPES})
ID_SUFFIX = "_gtFine_labelIds.png"  # what Cityscapes' download holds
TRAIN_ID_SUFFIX = "_gtFine_labelTrainIds.png"  # what its scripts, and mmseg's, make of them
_LEAST_CITYSCAPES = 19  # classes
_HIGHEST = 33
_HINT = (
    "Cityscapes' and KITTI's labelIds become trainIds with --cfg-options label_ids=cityscapes, "
    "in a config of yours with label_ids='cityscapes' of stl_backbones.CheckedCityscapesDataset"
)


def label_table(label_ids: str | Sequence[int]) -> dict[int, int]:
    """Which label of a file becomes which class.

    Args:
        label_ids: ``'cityscapes'``, ``'kitti'``, or a label for each class 0, 1, ...

    Returns:
        Label 0..255 -> class; 255, ignored, for labels that are none.

    Raises:
        ValueError: If it is another name, or no whole numbers in 0..255, each once.
    """
    labels = NAMED.get(label_ids) if isinstance(label_ids, str) else tuple(label_ids)
    if labels is None:
        raise InputError(
            f"label_ids must be {' or '.join(map(repr, NAMED))}, or a label for each class such as "
            f"(7,8,11), got '{label_ids}'"
        )
    odd = [one for one in labels if not isinstance(one, int) or not 0 <= one <= 255]
    if odd or len(set(labels)) < len(labels):
        raise InputError(f"label_ids must be whole numbers in 0..255, each once, got {labels}")
    classes = {label: number for number, label in enumerate(labels)}
    return {label: classes.get(label, IGNORE_INDEX) for label in range(256)}


def advise_labels(unknown: Iterable[int], num_classes: int) -> str:
    """What labels that are no class may be: the end of an error's sentence."""
    if num_classes == _LEAST_CITYSCAPES and all(label <= _HIGHEST for label in unknown):
        return f"; {_HINT}"
    return "; give the files' label of each class with label_ids, see docs/how-to/segmenter.md"


def advise_missing(label: str | Path, suffix: str) -> str:
    """What lies where a label map was expected, if it is Cityscapes' labelIds; else nothing."""
    path = Path(label)
    other = path.with_name(path.name.removesuffix(suffix) + ID_SUFFIX)
    if not path.is_file() and other != path and other.is_file():
        return f"'{other}' is there; {_HINT}"
    return ""


__all__ = [
    "CITYSCAPES",
    "ID_SUFFIX",
    "NAMED",
    "TRAIN_ID_SUFFIX",
    "advise_labels",
    "advise_missing",
    "label_table",
]
