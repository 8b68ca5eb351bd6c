"""Batches of images by their ids, as `stl_backbones.corruptions.apply_corruption` takes one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from stl_backbones.corruptions.seeds import draw_seed
from stl_backbones.corruptions.torch_backend.batch import corrupt_batch
from stl_backbones.records import CorruptionSpec


def corrupt_keyed(images: Tensor, spec: CorruptionSpec, *, keys: Sequence[str]) -> Tensor:
    """Corrupt images of one size on the device they are on.

    Args:
        images: ``(N, H, W, 3)`` uint8 RGB, H and W at least 32; not changed.
        spec: One of `PARALLEL`, of mode ``'torch'``.
        keys: The images' ids.

    Returns:
        ``(N, H, W, 3)`` uint8 RGB on the same device: of each image what `apply_corruption` gives.

    Raises:
        KeyError: If the corruption is unknown.
        ValueError: If it has no parallel form, or an argument is not as above.
    """
    is_reversed = spec.engine.channel_order == "bgr"
    seeds = [draw_seed(key, spec.name, spec.severity, seed=spec.engine.seed) for key in keys]
    planes = (images.flip(-1) if is_reversed else images).permute(0, 3, 1, 2)
    made = corrupt_batch(
        planes, spec.name, spec.severity, seeds=seeds, strengths=spec.engine.strengths
    ).permute(0, 2, 3, 1)
    return (made.flip(-1) if is_reversed else made).contiguous()


__all__ = ["corrupt_keyed"]
