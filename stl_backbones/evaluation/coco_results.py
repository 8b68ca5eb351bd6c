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

from stl_backbones.errors import InputError

Detections = list[dict[str, Any]]


def to_coco_results(
    sample: Any, *, category_ids: Sequence[int], kinds: Sequence[str], image_number: int
) -> Detections:
    """Write a predicted mmdet sample in COCO's result format.

    Numbers are float32 with as many digits as tell them apart, so that what is read back from a
    file scores as what was measured.

    Args:
        sample: A ``DetDataSample`` with ``pred_instances``: boxes ``(n, 4)`` as corners in pixels
            of the file, scores and labels ``(n,)``, and, where masks are scored, masks
            ``(n, H, W)``.
        category_ids: The category of each class.
        kinds: ``'bbox'``, ``'segm'`` or both.
        image_number: The image's id in the annotations.

    Returns:
        One dict per detection: ``image_id``, ``category_id``, ``bbox`` ``[x, y, width, height]``,
        ``score`` and, where masks are scored, ``segmentation`` as run-length code and, where the
        model states one, ``mask_score``.

    Raises:
        ValueError: If the model's labels are no classes, a number is not finite, or there are no
            masks where they are scored.
    """
    found = sample.pred_instances
    labels, scores = _array(found.labels), _array(found.scores).astype(np.float32)
    corners = _array(found.bboxes).astype(np.float32).reshape(-1, 4)
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
        for result, code in zip(results, _run_lengths(found), strict=True):
            result["segmentation"] = code
        if "mask_scores" in found:  # of Mask Scoring R-CNN
            for result, own in zip(results, _array(found.mask_scores), strict=True):
                result["mask_score"] = _shortest(np.float32(own))
    return results


def _run_lengths(found: Any) -> list[dict[str, Any]]:
    if "masks" not in found:
        raise InputError(
            "the model returns no masks, but the config's test_evaluator asks for 'segm'; choose "
            "--cfg-options test_evaluator.metric=bbox"
        )
    masks = found.masks
    if hasattr(masks, "to_ndarray"):
        masks = masks.to_ndarray()
    pixels = _array(masks).astype(np.uint8)
    if not len(pixels):
        return []
    codes = coco_mask.encode(np.asfortranarray(pixels.transpose(1, 2, 0)))
    return [{"size": list(code["size"]), "counts": code["counts"].decode()} for code in codes]


def _array(values: Any) -> npt.NDArray[Any]:
    if hasattr(values, "tensor"):  # mmdet's box types
        values = values.tensor
    return values.float().cpu().numpy() if _is_floating(values) else _plain(values)


def _is_floating(values: Any) -> bool:
    return isinstance(values, torch.Tensor) and values.is_floating_point()


def _plain(values: Any) -> npt.NDArray[Any]:
    return values.cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def _shortest(value: np.float32) -> float:
    """The float whose decimal text is the shortest that gives the same float32."""
    return float(str(value))


def encode_image(detections: Sequence[Mapping[str, Any]]) -> bytes:
    """One image's detections as compressed lines of JSON, one per detection."""
    lines = [json.dumps(found, separators=(",", ":")) for found in detections]
    return gzip.compress("\n".join(lines).encode(), compresslevel=6, mtime=0)


def encode_file(images: Iterable[bytes]) -> bytes:
    """The file of a cell: a list in COCO's result format, as compressed JSON.

    Args:
        images: `encode_image` of each image.

    Returns:
        Bytes that depend on the detections alone. ``json.load(gzip.open(path))`` reads them.
    """
    texts = (gzip.decompress(packed).decode() for packed in images)
    lines = [line for text in texts for line in text.split("\n") if line]
    return gzip.compress(f"[{(',' + chr(10)).join(lines)}]\n".encode(), compresslevel=6, mtime=0)


__all__ = ["encode_file", "encode_image", "to_coco_results"]
