"""Class probabilities: the best classes as bars, the rival, and how the probabilities move."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

from stl_backbones.drawing import (
    BLUE,
    GREY,
    INK,
    LINE,
    VERMILION,
    canvas,
    fitted,
    font,
    grid,
    key_of,
    resized,
    stacked,
    titled,
)
from stl_backbones.failures.drawn import Drawn, Pair, draw
from stl_backbones.report.read.class_names import shown_classes
from stl_backbones.robustness.examined import ClassProbabilities

_BARS = 5
_OTHER = (150, 150, 150)


@draw.register
def draw_probabilities(prediction: ClassProbabilities, pair: Pair) -> Drawn:
    """Draw class probabilities: see `draw`."""
    names = shown_classes(tuple(pair.classes))
    label = prediction.label
    before, after = (one.prediction.probabilities for one in (pair.clean, pair.corrupted))
    width = pair.width
    words = [
        ("truth", names[label]),
        ("clean", _best_two(before, names)),
        ("corrupted", _best_two(after, names)),
    ]
    rows = [
        [titled(resized(pair.clean.image, width), "clean image"),
         titled(resized(pair.corrupted.image, width), "corrupted image"),
         titled(_texts(words, width), "class, probability, rival")],
        [titled(_bars(before, names, label, width), "prediction, clean"),
         titled(_bars(after, names, label, width), "prediction, corrupted"),
         titled(_changes(after - before, names, label, width), "where they differ (points)")],
    ]  # fmt: skip
    picture = grid(rows)
    key = key_of([(BLUE, "the image's class"), (VERMILION, "predicted, and wrong"),
                  (_OTHER, "others")], picture.width)  # fmt: skip
    first, second = (_best_two(one, names) for one in (before, after))
    caption = f"truth {names[label]}; clean {first}; corrupted {second}"
    return Drawn(stacked([picture, key], margin=0), caption)


def _best_two(probabilities: npt.NDArray[np.float64], names: Sequence[str]) -> str:
    """The class and its rival, for example ``'tench 0.91 (rival: eel 0.04)'``."""
    first, second = np.argsort(-probabilities, kind="stable")[:2]
    return (
        f"{names[first]} {probabilities[first]:.2f} "
        f"(rival: {names[second]} {probabilities[second]:.2f})"
    )


def _texts(words: Sequence[tuple[str, str]], width: int) -> Image:
    made, pen = canvas(width, 2 * LINE * len(words))
    for place, (head, text) in enumerate(words):
        pen.text((0, 2 * LINE * place), head, GREY, font())
        pen.text((0, 2 * LINE * place + LINE - 2), fitted(text, width), INK, font())
    return made


def _bars(values: npt.NDArray[np.float64], names: Sequence[str], label: int, width: int) -> Image:
    """The best classes, and the image's own if it is not among them."""
    best = [int(one) for one in np.argsort(-values, kind="stable")[:_BARS]]
    shown = best if label in best else [*best[:-1], label]
    made, pen = canvas(width, 2 * LINE * len(shown))
    for place, one in enumerate(shown):
        top = 2 * LINE * place
        wrong = VERMILION if one == best[0] else _OTHER
        pen.text((0, top), fitted(f"{names[one]}  {values[one]:.3f}", width), INK, font())
        pen.rectangle((0, top + LINE, width - 1, top + 2 * LINE - 8), (238, 238, 238))
        end = round(values[one] * (width - 1))
        pen.rectangle((0, top + LINE, end, top + 2 * LINE - 8), BLUE if one == label else wrong)
    return made


def _changes(
    changes: npt.NDArray[np.float64], names: Sequence[str], label: int, width: int
) -> Image:
    """The largest changes, left of the middle where a probability falls."""
    shown = [int(one) for one in np.argsort(-np.abs(changes), kind="stable")[:_BARS]]
    most = int(np.argmax(changes))
    made, pen = canvas(width, 2 * LINE * len(shown))
    middle = width // 2
    for place, one in enumerate(shown):
        top = 2 * LINE * place
        text = f"{names[one]}  {100 * changes[one]:+.1f}"
        pen.text((0, top), fitted(text, width), INK, font())
        ends = sorted((middle, middle + round(changes[one] * (middle - 1))))
        wrong = VERMILION if one == most else _OTHER
        pen.rectangle(
            (ends[0], top + LINE, ends[1], top + 2 * LINE - 8), BLUE if one == label else wrong
        )
        pen.line((middle, top + LINE - 2, middle, top + 2 * LINE - 6), GREY)
    return made


__all__ = ["draw_probabilities"]
