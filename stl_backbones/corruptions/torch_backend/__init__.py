"""Corruptions of whole batches in torch, on the device that the images are on."""

from stl_backbones.corruptions.torch_backend.batch import (
    PARALLEL,
    corrupt_batch,
    corrupt_image,
    is_parallel,
)
from stl_backbones.corruptions.torch_backend.keyed import corrupt_keyed

__all__ = ["PARALLEL", "corrupt_batch", "corrupt_image", "corrupt_keyed", "is_parallel"]
