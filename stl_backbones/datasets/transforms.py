"""Pipeline steps: corrupt an image, check a label map."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from stl_backbones.corruptions import apply_corruption, check_severity, check_spec
from stl_backbones.datasets.integrity import image_id
from stl_backbones.datasets.label_ids import advise_labels
from stl_backbones.errors import InputError
from stl_backbones.metrics import IGNORE_INDEX
from stl_backbones.records import CorruptionEngine, CorruptionSpec
from stl_backbones.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CorruptImage(BaseTransform):
    """Corrupt ``results['img']``; put it right after the image is loaded.

    The image is taken to be BGR, as OpenMMLab's loaders hand it out; the corruption sees RGB.

    Args:
        corruption: A corruption of the catalog.
        severity: 1 (weakest) to 5, fractions too.
        image_root: The data set's image folder. An image's draw depends on its path below it; on
            its file name alone when no folder is given.
        **engine: As for `CorruptionEngine`: ``mode``, ``compat``, ``channel_order``, ``seed``,
            ``strengths``. Mode ``'torch'`` on a GPU only where no worker processes load the data.

    Raises:
        KeyError: If the corruption is unknown.
        ValueError: If the severity, mode, package or channel order is.
    """

    def __init__(
        self,
        corruption: str,
        severity: float,
        *,
        image_root: str | None = None,
        **engine: Any,
    ) -> None:
        self.spec = CorruptionSpec(corruption, check_severity(severity), CorruptionEngine(**engine))
        check_spec(self.spec)
        self.image_root = image_root

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace the image by its corrupted version."""
        key = image_id(results["img_path"], self.image_root)
        results["img"] = corrupt_bgr(results["img"], self.spec, key=key)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec})"


def corrupt_bgr(image: np.ndarray, spec: CorruptionSpec, *, key: str) -> np.ndarray:
    """Corrupt an image as OpenMMLab's loaders hand it out, see `stl_backbones.corruptions.corrupt`.

    Args:
        image: ``(H, W, 3)`` uint8 BGR; or ``(H, W)``, gray: corrupted as colour, then made gray.
        spec: What to do.
        key: The image's id.

    Returns:
        As ``image``.

    Raises:
        ValueError: If the image is of another type or shape.
    """
    if image.ndim == 2:
        corrupted = corrupt_bgr(np.stack([image] * 3, axis=-1), spec, key=key)
        return cv2.cvtColor(corrupted, cv2.COLOR_BGR2GRAY)
    corrupted = apply_corruption(np.ascontiguousarray(image[..., ::-1]), spec, key=key)
    return np.ascontiguousarray(corrupted[..., ::-1])


@TRANSFORMS.register_module()
class CheckSegMap(BaseTransform):
    """Refuse a label map that does not fit its image or holds labels that are no class.

    Args:
        num_classes: Labels must be in 0..num_classes - 1; default: the number that the data set
            states, as `CheckedCityscapesDataset` does.
        ignore_index: Or this.

    Raises:
        ValueError: If they are not; the file is named.
    """

    def __init__(self, *, num_classes: int | None = None, ignore_index: int = IGNORE_INDEX) -> None:
        self.num_classes, self.ignore_index = num_classes, ignore_index

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Check ``results['gt_seg_map']``; change nothing."""
        labels, path = results["gt_seg_map"], results.get("seg_map_path", "label map")
        count = self.num_classes or results.get("num_classes")
        if count is None:
            raise InputError(
                "CheckSegMap: the data set states no num_classes; expected a "
                "stl_backbones.CheckedCityscapesDataset, or CheckSegMap(num_classes=K)"
            )
        if labels.ndim != 2:
            raise InputError(f"'{path}' must have one channel, got shape {labels.shape}")
        present = np.flatnonzero(np.bincount(labels.ravel()))
        unknown = [int(v) for v in present if v >= count and v != self.ignore_index]
        if unknown:
            raise InputError(
                f"'{path}' holds labels that are no class: expected 0..{count - 1} or "
                f"{self.ignore_index}, got {unknown}{advise_labels(unknown, count)}"
            )
        return results


__all__ = ["CheckSegMap", "CorruptImage", "corrupt_bgr"]
