"""Sliding windows in batches: mmseg predicts one crop after the other, which leaves a GPU idle.

A batch may round otherwise than its crops alone, so on the CPU mmseg's own way stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor

CROPS = 8  # of a batch, at most
_APART = 0.05  # of the largest logit: more than rounding adds up to, in 16 bits too


def predict_crops_together(model: Any, device: torch.device, predict: Callable[[], object]) -> bool:
    """Have a segmentor on a GPU predict its crops in batches, if that gives the same.

    Args:
        model: The segmentor, out of any wrapper; its ``slide_inference`` is replaced if it is
            mmseg's own.
        device: The model's.
        predict: Predicts an image, for trial.

    Returns:
        Whether it does so now.
    """
    is_own = getattr(type(model), "slide_inference", None) is EncoderDecoder.slide_inference
    if device.type == "cpu" or not is_own or model.test_cfg.get("mode") != "slide":
        return False
    alike: list[bool] = []

    def both_ways(inputs: Tensor, metas: list[dict[str, Any]]) -> Tensor:
        alone = EncoderDecoder.slide_inference(model, inputs, metas)
        try:
            apart = (slide_in_batches(model, inputs, metas) - alone).abs().max()
            alike.append(bool(apart <= _APART * alone.abs().max()))
        except Exception:  # of a head that takes one crop alone, or too little memory
            alike.append(False)
        return alone

    model.slide_inference = both_ways
    try:
        predict()
    finally:
        del model.slide_inference
    if not alike or not all(alike):
        return False
    model.slide_inference = partial(slide_in_batches, model)
    return True


def slide_in_batches(
    model: Any, inputs: Tensor, batch_img_metas: Sequence[dict[str, Any]], *, crops: int = CROPS
) -> Tensor:
    """Mean logits of overlapping crops, as ``EncoderDecoder.slide_inference``.

    Args:
        model: An mmseg ``EncoderDecoder``.
        inputs: ``(B, C, H, W)``.
        batch_img_metas: Of each image.
        crops: Crops of a batch, at most; at least one of each image.

    Returns:
        ``(B, K, H, W)`` logits.
    """
    count, _, *size = inputs.shape
    windows = _windows(size, model.test_cfg["crop_size"], model.test_cfg["stride"])
    sums = inputs.new_zeros((count, model.out_channels, *size))
    times = inputs.new_zeros((1, 1, *size))
    each = max(crops // count, 1)
    for start in range(0, len(windows), each):
        now = windows[start : start + each]
        pieces = torch.cat([inputs[:, :, rows, columns] for rows, columns in now])
        metas = [{**meta, "img_shape": pieces.shape[2:]} for _ in now for meta in batch_img_metas]
        logits = model.encode_decode(pieces, metas)
        for (rows, columns), part in zip(now, logits.split(count), strict=True):
            sums[:, :, rows, columns] += part
            times[:, :, rows, columns] += 1
    return sums / times


def _windows(
    size: Sequence[int], crop: Sequence[int], stride: Sequence[int]
) -> list[tuple[slice, slice]]:
    """Rows and columns of each crop; the last ones end at the image's edge."""
    rows, columns = (
        [
            slice(max(stop - length, 0), stop)
            for first in range(0, max(side - length + step - 1, 0) // step * step + 1, step)
            for stop in [min(first + length, side)]
        ]
        for side, length, step in zip(size, crop, stride, strict=True)
    )
    return [(row, column) for row in rows for column in columns]


__all__ = ["CROPS", "predict_crops_together", "slide_in_batches"]
