"""Detections of mmdet's models in COCO's result format, and that format compactly on disk."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from stl_backbones.errors import InputError

Detections = list[dict[str, Any]]


def instances_of(sample: Any, *, kinds: Sequence[str]) -> dict[str, Tensor]:
    """The numbers of a predicted mmdet sample, on the device that they are on.

    Args:
        sample: A ``DetDataSample`` with ``pred_instances``: boxes ``(n, 4)`` as corners in pixels
            of the file, scores and labels ``(n,)``, and, where masks are scored, masks
            ``(n, H, W)``.
        kinds: ``'bbox'``, ``'segm'`` or both.

    Returns:
        ``corners`` ``(n, 4)`` float32; ``scores`` ``(n,)`` float32; ``labels`` ``(n,)``; where
        masks are scored, ``masks`` as `pack_rows` packs them, their ``height`` ``()`` and, where
        the model states them, ``mask_scores`` ``(n,)`` float32.

    Raises:
        InputError: If there are no masks where they are scored.
    """
    found = sample.pred_instances
    numbers = {
        "corners": _tensor(found.bboxes).float().reshape(-1, 4),
        "scores": _tensor(found.scores).float(),
        "labels": _tensor(found.labels),
    }
    if "segm" in kinds:
        if "masks" not in found:
            raise InputError(
                "the model returns no masks, but the config's test_evaluator asks for 'segm'; "
                "choose --cfg-options test_evaluator.metric=bbox"
            )
        masks = _tensor(found.masks)
        numbers["masks"] = pack_rows(masks if len(masks) else masks.new_zeros((0, 1, 1)))
        numbers["height"] = torch.tensor(masks.shape[-2] if len(masks) else 1)
        if "mask_scores" in found:  # of Mask Scoring R-CNN
            numbers["mask_scores"] = _tensor(found.mask_scores).float()
    return numbers


def pack_rows(masks: Tensor) -> Tensor:
    """Masks ``(n, H, W)`` -> ``(n, ceil(H / 8), W)`` uint8: eight rows each, the first highest.

    An eighth of the bytes to copy off a device and to another process, and to turn: run-length code
    goes down the columns.
    """
    on = (masks if masks.dtype == torch.bool else masks.to(torch.uint8) != 0).view(torch.uint8)
    count, height, width = on.shape
    packed = on.new_zeros((count, -(-height // 8), width))
    for row in range(min(height, 8)):
        rows = on[:, row::8]
        packed[:, : rows.shape[1]] |= rows << (7 - row)
    return packed


def to_coco_results(
    instances: Mapping[str, npt.NDArray[Any]],
    *,
    category_ids: Sequence[int],
    kinds: Sequence[str],
    image_number: int,
) -> Detections:
    """Write predicted instances in COCO's result format; needs no torch.

    Numbers are float32 with as many digits as distinguish them, so that what is read back from a
    file scores as what was measured.

    Args:
        instances: What `instances_of` returns, as arrays.
        category_ids: The category of each class.
        kinds: ``'bbox'``, ``'segm'`` or both.
        image_number: The image's id in the annotations.

    Returns:
        One dict per detection: ``image_id``, ``category_id``, ``bbox`` ``[x, y, width, height]``,
        ``score`` and, where masks are scored, ``segmentation`` as run-length code and, where the
        model states one, ``mask_score``.

    Raises:
        InputError: If the model's labels are no classes, or a number is not finite.
    """
    labels, scores, corners = (instances[name] for name in ("labels", "scores", "corners"))
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(category_ids):
        raise InputError(
            f"the model predicts labels {labels.min()}..{labels.max()}, the data set has "
            f"{len(category_ids)} classes"
        )
    if not (np.isfinite(scores).all() and np.isfinite(corners).all()):
        raise InputError("the model's boxes or scores are not finite; are its weights whole?")
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    results: Detections = [
        {
            "image_id": image_number,
            "category_id": int(category_ids[label]),
            "bbox": [_shortest(side) for side in box],
            "score": _shortest(score),
        }
        for label, box, score in zip(labels, boxes, scores, strict=True)
    ]
    if "segm" in kinds:
        codes = _run_lengths(instances["masks"], int(instances["height"]))
        for result, code in zip(results, codes, strict=True):
            result["segmentation"] = code
        if "mask_scores" in instances:
            for result, own in zip(results, instances["mask_scores"], strict=True):
                result["mask_score"] = _shortest(own)
    return results


def _run_lengths(packed: npt.NDArray[np.uint8], height: int) -> list[dict[str, Any]]:
    if not len(packed):
        return []
    columns = np.ascontiguousarray(packed.transpose(0, 2, 1))
    codes = coco_mask.encode(np.unpackbits(columns, axis=2, count=height).transpose(2, 1, 0))
    return [{"size": list(code["size"]), "counts": code["counts"].decode()} for code in codes]


def _tensor(values: Any) -> Tensor:
    if hasattr(values, "tensor"):  # mmdet's box types
        values = values.tensor
    elif hasattr(values, "to_ndarray"):  # and its masks
        values = values.to_ndarray()
    return torch.as_tensor(values)


def _shortest(value: np.float32) -> float:
    """The float whose decimal text is the shortest that gives the same float32."""
    return float(str(value))


def encode_image(detections: Sequence[Mapping[str, Any]]) -> bytes:
    """One image's detections as compressed JSON, one per line, with commas between them."""
    lines = [json.dumps(found, separators=(",", ":")) for found in detections]
    return _compressed(",\n".join(lines))


def decode_image(packed: bytes) -> Detections:
    """Inverse of `encode_image`."""
    found: Detections = json.loads(f"[{gzip.decompress(packed).decode()}]" if packed else "[]")
    return found


def encode_file(images: Iterable[bytes]) -> bytes:
    """The file of a cell: a list in COCO's result format, as compressed JSON.

    Nothing is compressed anew: gzip's files may be put one after the other, and read as one.

    Args:
        images: `encode_image` of each image.

    Returns:
        Bytes that depend on the detections alone. ``json.load(gzip.open(path))`` reads them.
    """
    empty, comma = _compressed(""), _compressed(",\n")
    found = comma.join(packed for packed in images if packed != empty)
    return _compressed("[") + found + _compressed("]\n")


def _compressed(text: str) -> bytes:
    return gzip.compress(text.encode(), compresslevel=6, mtime=0)


__all__ = [
    "decode_image",
    "encode_file",
    "encode_image",
    "instances_of",
    "pack_rows",
    "to_coco_results",
]
