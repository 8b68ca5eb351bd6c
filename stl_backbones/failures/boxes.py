"""Boxes: what was found, what is missed, and what is there that is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw
from PIL.Image import Image

from stl_backbones.drawing import (
    BLUE,
    GREEN,
    PURPLE,
    VERMILION,
    YELLOW,
    Colour,
    Pixels,
    Tags,
    grid,
    key_of,
    resized,
    stacked,
    titled,
)
from stl_backbones.failures.drawn import Drawn, Pair, draw
from stl_backbones.robustness.examined import Box, Boxes

_IOU = 0.5
_MOST = 40  # detections that are drawn, the surest first


@dataclass(frozen=True)
class _Matched:
    """Detections and the objects that they find.

    Attributes:
        shown: The detections.
        hits: Whether each finds an object.
        found: Whether each object is found.
        hidden: Detections that are too many, or too unsure.
    """

    shown: tuple[Box, ...]
    hits: tuple[bool, ...]
    found: tuple[bool, ...]
    hidden: int


@draw.register
def draw_boxes(prediction: Boxes, pair: Pair) -> Drawn:
    """Draw boxes: see `draw`."""
    truth = prediction.truth
    before = _match(prediction, pair.least_score)
    after = _match(pair.corrupted.prediction, pair.least_score)
    panels = _Panels(pair)
    objects = [(box, BLUE if not box.crowd else PURPLE, _name(pair, box)) for box in truth]
    state = list(zip(truth, before.found, after.found, strict=True))
    differing = [
        *((box, VERMILION, _name(pair, box)) for box, was, is_ in state if was and not is_),
        *((box, GREEN, _name(pair, box)) for box, was, is_ in state if is_ and not was),
        *((box, BLUE, "") for box, was, is_ in state if was and is_),
        *((box, YELLOW, "") for box, was, is_ in state if not (was or is_ or box.crowd)),
        *((box, PURPLE, _name(pair, box)) for box, hit in zip(after.shown, after.hits, strict=True)
          if not hit and not _overlaps(box, before)),
    ]  # fmt: skip
    clean, corrupted = pair.clean.image, pair.corrupted.image
    rows = [
        [panels.of("clean image", clean, []), panels.of("corrupted image", corrupted, []),
         panels.of(f"truth: {_counted(len(truth), 'object', 'objects')}", clean, objects)],
        [panels.of(_title("clean", before), clean, _predicted(pair, before)),
         panels.of(_title("corrupted", after), corrupted, _predicted(pair, after)),
         panels.of("where they differ", corrupted, differing)],
    ]  # fmt: skip
    picture = grid(rows)
    keys = [
        key_of([(BLUE, "predictions: finds an object (same class, IoU from 0.5)"),
                (VERMILION, "predictions: finds none")], picture.width),
        key_of([(VERMILION, "difference: object lost"), (GREEN, "gained"), (BLUE, "found in both"),
                (YELLOW, "missed in both"), (PURPLE, "new detection without an object")],
               picture.width),
    ]  # fmt: skip
    return Drawn(stacked([picture, *keys], margin=0), _caption(pair, state, before, after))


class _Panels:
    """Draws boxes on images of one width."""

    def __init__(self, pair: Pair) -> None:
        self.width = pair.width

    def of(self, title: str, image: Pixels, boxes: Sequence[tuple[Box, Colour, str]]) -> Image:
        """A panel."""
        made, scale = resized(image, self.width), self.width / image.shape[1]
        pen = ImageDraw.Draw(made)
        placed = [
            ([side * scale for side in box.corners], colour, text) for box, colour, text in boxes
        ]
        for corners, colour, _ in placed:
            left, top, right, bottom = corners
            ends = (left, top, max(right, left), max(bottom, top))
            pen.rectangle(ends, outline=(0, 0, 0), width=4)
            pen.rectangle([end + d for end, d in zip(ends, (1, 1, -1, -1), strict=True)]
                          if min(right - left, bottom - top) > 4 else ends,
                          outline=colour, width=2)  # fmt: skip
        tags = Tags(pen, made.size)
        for corners, colour, text in placed[::-1]:  # the surest gets its place first
            if text:
                tags.add((corners[0], corners[1]), text, colour)
        return titled(made, title)


def _predicted(pair: Pair, matched: _Matched) -> list[tuple[Box, Colour, str]]:
    """Detections, the surest last, so that it lies on top."""
    both = list(zip(matched.shown, matched.hits, strict=True))
    return [
        (box, BLUE if hit else VERMILION, f"{_name(pair, box)} {box.score:.2f}")
        for box, hit in reversed(both)
    ]


def _match(boxes: Boxes, least_score: float) -> _Matched:
    """Give each detection, the surest first, the free object of its class that it fits best."""
    by_score = sorted(boxes.found, key=lambda box: -box.score)
    shown = tuple(box for box in by_score if box.score >= least_score)[:_MOST]
    found = [False] * len(boxes.truth)
    hits = []
    for box in shown:
        fits = [
            (_iou(box, one), place) for place, one in enumerate(boxes.truth)
            if one.label == box.label and not found[place] and not one.crowd
        ]  # fmt: skip
        best, place = max(fits, default=(0.0, -1))
        hits.append(best >= _IOU)
        if best >= _IOU:
            found[place] = True
    return _Matched(shown, tuple(hits), tuple(found), len(boxes.found) - len(shown))


def _iou(one: Box, other: Box) -> float:
    a, b = np.array(one.corners), np.array(other.corners)
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(sides.clip(0).prod())
    union = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared
    return shared / union if union > 0 else 0.0


def _overlaps(box: Box, others: _Matched) -> bool:
    return any(one.label == box.label and _iou(box, one) >= _IOU for one in others.shown)


def _title(what: str, matched: _Matched) -> str:
    more = f" ({matched.hidden} more, less sure)" if matched.hidden else ""
    return f"prediction, {what}: {_counted(len(matched.shown), 'box', 'boxes')}{more}"


def _counted(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _name(pair: Pair, box: Box) -> str:
    return str(pair.classes[box.label])


def _caption(
    pair: Pair, state: Sequence[tuple[Box, bool, bool]], before: _Matched, after: _Matched
) -> str:
    objects = sum(not box.crowd for box, _, _ in state)
    lost = Counter(_name(pair, box) for box, was, is_ in state if was and not is_)
    names = ", ".join(f"{count} {name}" for name, count in lost.most_common())
    false = [sum(not hit for hit in one.hits) for one in (before, after)]
    return (
        f"objects found: {sum(before.found)} of {objects} clean, {sum(after.found)} corrupted"
        + (f"; lost: {names}" if lost else "")
        + f"; detections without an object: {false[0]} clean, {false[1]} corrupted"
    )


__all__ = ["draw_boxes"]
