"""Boxes from the raw outputs of detectors, by the name of the detector's family.

A family brings what its images look like, and its habits of non-maximum suppression, as its own
evaluation on COCO has them.

References:
    YOLOX: Ge et al. 2021, arXiv:2107.08430. YOLOv5 and YOLOv8: Ultralytics' documentation of their
    exports. NanoDet-Plus: its README; distributions of distances: Li et al. 2020, arXiv:2006.04388.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torchvision.ops import batched_nms

from stl_backbones.errors import InputError, unknown_name
from stl_backbones.robustness.predictor import Detections

Values = npt.NDArray[Any]
Outputs = Mapping[str, Values]  # of one image, as the file gives them
Size = tuple[int, int]  # height, width
_KEPT = 300  # detections of an image
_COORDINATES = 4


@dataclass(frozen=True)
class Decoder:
    """A family of detectors.

    Attributes:
        decode: Outputs and the size of the input -> `Detections` in pixels of the input.
        fit: ``'stretch'`` the image to the input; or scale it within and pad it, at the right and
            below (``'corner'``) or all around (``'centre'``).
        mean: Of the normalisation, of values in 0..1.
        std: Likewise.
        channel_order: ``'RGB'`` or ``'BGR'``.
    """

    decode: Callable[[Outputs, Size], Detections]
    fit: str = "stretch"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    channel_order: str = "RGB"


def find_decoder(name: str) -> Decoder:
    """The decoder of a name.

    Raises:
        UnknownNameError: If there is none.
    """
    if name not in DECODERS:
        raise unknown_name(
            "decoder", name, DECODERS, more="; or a function, on the command line FILE.py:FUNCTION"
        )
    return DECODERS[name]


def yolox(outputs: Outputs, size: Size) -> Detections:
    """One output ``(1, N, 5 + K)`` on the grids of strides 8, 16, 32 (and 64).

    Centres are in cells from the cell's corner, sides are logarithms, in cells; objectness and
    class scores are probabilities.
    """
    found = _only(outputs, "yolox", "(1, N, 5 + K)", least=6)
    cells, strides = _grid(size, len(found), (8, 16, 32), "yolox")
    centres = (found[:, :2] + cells) * strides
    sides = np.exp(found[:, 2:4]) * strides
    scores = found[:, 4:5] * found[:, 5:]
    best = scores.argmax(axis=1)
    only_best = np.where(np.arange(scores.shape[1]) == best[:, None], scores, 0)
    return suppress(corners(centres, sides), only_best, least=0.01, iou=0.65)


def nanodet(outputs: Outputs, size: Size) -> Detections:
    """One output ``(1, N, K + 4 * 8)`` of NanoDet-Plus, on the grids of strides 8, 16, 32, 64.

    Class scores are probabilities; each of the distances left, top, right, bottom is the mean of a
    distribution over 0..7 strides, given as logits.
    """
    bins = 8
    found = _only(outputs, "nanodet", "(1, N, K + 32)", least=_COORDINATES * bins + 1)
    cells, strides = _grid(size, len(found), (8, 16, 32, 64), "nanodet")
    logits = found[:, -_COORDINATES * bins :].reshape(-1, _COORDINATES, bins)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    shares = weights / weights.sum(axis=2, keepdims=True)
    distances = shares @ np.arange(bins) * strides
    points = cells * strides
    boxes = np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1)
    boxes = boxes.clip(0, (size[1], size[0], size[1], size[0]))
    return suppress(boxes, found[:, : -_COORDINATES * bins], least=0.05, iou=0.6)


def yolov8(outputs: Outputs, size: Size) -> Detections:
    """One output ``(1, 4 + K, N)``: centre and sides in pixels, probabilities of the classes."""
    del size
    found = _only(outputs, "yolov8", "(1, 4 + K, N)", least=1).T
    _check_columns(found, "yolov8", "(1, 4 + K, N)", least=5)
    return suppress(corners(found[:, :2], found[:, 2:4]), found[:, 4:], least=0.001, iou=0.7)


def yolov5(outputs: Outputs, size: Size) -> Detections:
    """One output ``(1, N, 5 + K)``: centre and sides in pixels, objectness, and the classes."""
    del size
    found = _only(outputs, "yolov5", "(1, N, 5 + K)", least=6)
    _check_columns(found, "yolov5", "(1, N, 5 + K)", least=6)
    scores = found[:, 4:5] * found[:, 5:]
    return suppress(corners(found[:, :2], found[:, 2:4]), scores, least=0.001, iou=0.6)


def torchvision(outputs: Outputs, size: Size) -> Detections:
    """Boxes ``(n, 4)`` in pixels, labels and scores ``(n,)``, and maybe masks ``(n, 1, h, w)``.

    By these names, or distinguished by their shapes and types.
    """
    del size
    sides = {"boxes": 2, "labels": 1, "scores": 1, "masks": 4}
    named = {name: value for name, value in outputs.items() if name in sides}
    if not {"boxes", "labels", "scores"} <= named.keys():
        named = {}
        for value in outputs.values():
            one_number = "labels" if value.dtype.kind in "iu" else "scores"
            name = {1: one_number, 2: "boxes", 4: "masks"}.get(value.ndim, "")
            if not name or name in named:
                raise _unexpected(outputs, "torchvision", "boxes, labels and scores")
            named[name] = value
    shapes = {name: value.ndim for name, value in named.items()}
    if shapes != {name: sides[name] for name in named} or not set(sides) - {"masks"} <= set(named):
        raise _unexpected(outputs, "torchvision", "boxes (n, 4), labels (n,) and scores (n,)")
    return Detections(named["boxes"], named["scores"], named["labels"], named.get("masks"))


def corners(centres: Values, sides: Values) -> Values:
    """Boxes ``(n, 4)``, left, top, right, bottom, of centres ``(n, 2)`` and sides ``(n, 2)``."""
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)


def suppress(boxes: Values, scores: Values, *, least: float, iou: float) -> Detections:
    """Non-maximum suppression within each class.

    Args:
        boxes: ``(n, 4)``, left, top, right, bottom.
        scores: ``(n, K)``; a box may be of several classes.
        least: Scores below, or equal, are left out.
        iou: Of two boxes that overlap more, the one of the lower score is left out.

    Returns:
        The best 300, the surest first.

    Raises:
        InputError: If a number is not finite.
    """
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise InputError("the model's boxes or scores are not finite; are its weights whole?")
    places, labels = np.nonzero(scores > least)
    found = torch.from_numpy(boxes[places].astype(np.float32))
    values = torch.from_numpy(scores[places, labels].astype(np.float32))
    kept = batched_nms(found, values, torch.from_numpy(labels), iou)[:_KEPT]
    return Detections(found[kept].numpy(), values[kept].numpy(), labels[kept.numpy()])


def _only(outputs: Outputs, name: str, shape: str, *, least: int) -> Values:
    """The one output of one image, without its batch axis, as float32."""
    value = next(iter(outputs.values()))
    if len(outputs) != 1 or value.ndim != 3 or len(value) != 1 or value.shape[2] < least:
        raise _unexpected(outputs, name, shape)
    return value[0].astype(np.float32)


def _check_columns(found: Values, name: str, shape: str, *, least: int) -> None:
    """More boxes than numbers of a box: else the axes are another family's."""
    if not least <= found.shape[1] <= len(found):
        raise InputError(
            f"decoder '{name}' expects one output {shape}, got {len(found)} boxes of "
            f"{found.shape[1]} numbers; which detector wrote the file? Expected one of "
            f"{', '.join(DECODERS)}, or a function"
        )


def _grid(size: Size, count: int, strides: Sequence[int], name: str) -> tuple[Values, Values]:
    """Columns and rows ``(N, 2)`` of all cells, and their strides ``(N, 1)``."""
    for levels in (strides, (*strides, 64)):
        sides = [(-(-size[0] // one), -(-size[1] // one)) for one in levels]
        if sum(height * width for height, width in sides) == count:
            break
    else:
        expected = sum(-(-size[0] // one) * -(-size[1] // one) for one in strides)
        raise InputError(
            f"decoder '{name}' expects {expected} boxes of an input of {size[0]}x{size[1]}, got "
            f"{count}; which detector wrote the file? Expected one of {', '.join(DECODERS)}, or a "
            "function"
        )
    cells = [np.indices(side)[::-1].reshape(2, -1).T for side in sides]
    per_level = [len(one) for one in cells]
    return np.concatenate(cells), np.repeat(levels, per_level)[:, None].astype(np.float32)


def _unexpected(outputs: Outputs, name: str, shape: str) -> InputError:
    got = ", ".join(f"{key} {value.shape} {value.dtype}" for key, value in outputs.items())
    return InputError(
        f"decoder '{name}' expects {shape}, the file gives {got}; expected one of "
        f"{', '.join(DECODERS)}, or a function"
    )


DECODERS: Mapping[str, Decoder] = {
    "yolox": Decoder(yolox, "corner", std=(1 / 255,), channel_order="BGR"),
    "nanodet": Decoder(
        nanodet, mean=IMAGENET_DEFAULT_MEAN[::-1], std=IMAGENET_DEFAULT_STD[::-1],
        channel_order="BGR",
    ),
    "yolov5": Decoder(yolov5, "centre"),
    "yolov8": Decoder(yolov8, "centre"),
    "torchvision": Decoder(torchvision),
}  # fmt: skip

__all__ = ["DECODERS", "Decoder", "Outputs", "Size", "corners", "find_decoder", "suppress"]
