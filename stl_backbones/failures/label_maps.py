"""Label maps: the data set's colours, and the pixels that a corruption took."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from stl_backbones.drawing import (
    BLUE,
    VERMILION,
    YELLOW,
    Colour,
    Pixels,
    grid,
    key_of,
    resized,
    stacked,
    titled,
)
from stl_backbones.failures.drawn import Drawn, Pair, draw, percent
from stl_backbones.robustness.examined import LabelMaps

VOID = (0, 0, 0)
_GOLDEN = 0.618034  # of the circle of hues: neighbours in number are far apart in colour
_SHOWN = 14  # classes in the key
_FLOWS = 3
_LEAST = 0.005  # share of the pixels from which a class is in the key
# Cityscapes' own colours, as its scripts have them (cityscapesScripts, labels.py).
_CITYSCAPES: dict[str, Colour] = {
    "road": (128, 64, 128), "sidewalk": (244, 35, 232), "building": (70, 70, 70),
    "wall": (102, 102, 156), "fence": (190, 153, 153), "pole": (153, 153, 153),
    "traffic light": (250, 170, 30), "traffic sign": (220, 220, 0), "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152), "sky": (70, 130, 180), "person": (220, 20, 60),
    "rider": (255, 0, 0), "car": (0, 0, 142), "truck": (0, 0, 70), "bus": (0, 60, 100),
    "train": (0, 80, 100), "motorcycle": (0, 0, 230), "bicycle": (119, 11, 32),
}  # fmt: skip


@draw.register
def draw_label_maps(prediction: LabelMaps, pair: Pair) -> Drawn:
    """Draw label maps: see `draw`."""
    after: LabelMaps = pair.corrupted.prediction
    colours = class_colours(pair.classes, prediction.palette)
    truth = prediction.truth
    counts = truth != prediction.ignore_index
    rights = [one.found == truth for one in (prediction, after)]
    changed = counts & (prediction.found != after.found)
    kinds = (
        (VERMILION, "right, then wrong", changed & rights[0]),
        (BLUE, "wrong, then right", changed & rights[1]),
        (YELLOW, "wrong otherwise", changed & ~rights[0] & ~rights[1]),
    )
    pixels = max(int(counts.sum()), 1)
    shown = [np.where(counts, truth, -1), prediction.found, after.found]
    maps = [_coloured(one, colours) for one in shown]
    faded = _faded(pair.corrupted.image, truth.shape)
    for colour, _, where in kinds:
        faded[where] = colour
    photos = {"clean image": pair.clean.image, "corrupted image": pair.corrupted.image}
    first = [titled(resized(image, pair.width), title) for title, image in photos.items()]
    second = [
        titled(resized(image, pair.width, smooth=False), title)
        for title, image in (
            ("truth (black: not counted)", maps[0]), ("prediction, clean", maps[1]),
            ("prediction, corrupted", maps[2]), ("where the predictions differ", faded),
        )
    ]  # fmt: skip
    rows = [[*first, second[0]], second[1:]]
    picture = grid(rows)
    legend = [(colour, f"{text}: {percent(where.sum() / pixels)}") for colour, text, where in kinds]
    lost = changed & rights[0]
    names = [
        (colours[label], pair.classes[label])
        for label in _classes_shown(shown, lost, truth, len(pair.classes))
    ]
    keys = [key_of(legend, picture.width), key_of(names, picture.width)]
    return Drawn(stacked([picture, *keys], margin=0), _caption(pair, rights, lost, counts))


def class_colours(classes: Sequence[str], palette: Sequence[Sequence[int]] = ()) -> list[Colour]:
    """A colour for each class: the data set's, Cityscapes' by the name, or one of its number."""
    if len(palette) >= len(classes):
        return [(int(r), int(g), int(b)) for r, g, b in palette[: len(classes)]]
    return [_CITYSCAPES.get(name) or _own_colour(label) for label, name in enumerate(classes)]


def _own_colour(label: int) -> Colour:
    value = (0.95, 0.7, 0.5)[label % 3]
    red, green, blue = colorsys.hsv_to_rgb(label * _GOLDEN % 1, 0.75, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _coloured(labels: npt.NDArray[np.integer], colours: Sequence[Colour]) -> Pixels:
    """Labels ``(H, W)`` as colours; what is no class is `VOID`."""
    table = np.array([*colours, VOID], np.uint8)
    known = (labels >= 0) & (labels < len(colours))
    return table[np.where(known, labels, len(colours))]


def _faded(image: Pixels, shape: tuple[int, ...]) -> Pixels:
    """The image in light grey, at the size of the label map."""
    grey = np.array(Image.fromarray(image).convert("L").resize((shape[1], shape[0])))
    return np.repeat((140 + grey * 0.4).astype(np.uint8)[..., None], 3, axis=2)


def _classes_shown(
    maps: Sequence[npt.NDArray[np.integer]],
    lost: npt.NDArray[np.bool_],
    truth: npt.NDArray[np.integer],
    classes: int,
) -> list[int]:
    """Classes that lose pixels first, then those that cover some of the maps."""
    by_loss = np.bincount(truth[lost], minlength=classes)[:classes]
    found = [one[(one >= 0) & (one < classes)] for one in maps]
    counted = np.array([np.bincount(one, minlength=classes) for one in found])
    covered = counted.sum(axis=0) / maps[0].size
    order = sorted(range(classes), key=lambda label: (-by_loss[label], -covered[label]))
    return [one for one in order if by_loss[one] or covered[one] >= _LEAST][:_SHOWN]


def _caption(
    pair: Pair,
    rights: Sequence[npt.NDArray[np.bool_]],
    lost: npt.NDArray[np.bool_],
    counts: npt.NDArray[np.bool_],
) -> str:
    before, after = (percent(right[counts].mean() if counts.any() else 0) for right in rights)
    truth, found = pair.clean.prediction.truth, pair.corrupted.prediction.found
    pairs, numbers = np.unique(np.stack([truth[lost], found[lost]]), axis=1, return_counts=True)
    flows = []
    for place in np.argsort(-numbers, kind="stable")[:_FLOWS]:
        label, other = (int(one) for one in pairs[:, place])
        share = numbers[place] / max(int((truth == label).sum()), 1)
        flows.append(f"{pair.classes[label]} to {pair.classes[other]} {percent(share)}")
    losses = f"; lost: {', '.join(flows)} of its pixels" if flows else ""
    return f"pixels right: {before} clean, {after} corrupted{losses}"


__all__ = ["class_colours", "draw_label_maps"]
