"""The images and truth of a data set config of mmseg or mmdet, for models from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mmengine.registry import DefaultScope

from stl_backbones.config.reading import building, without_import_notes
from stl_backbones.corruptions.seeds import check_key
from stl_backbones.datasets.integrity import image_id
from stl_backbones.errors import InputError
from stl_backbones.metrics import IGNORE_INDEX
from stl_backbones.registry import DATASETS
from stl_backbones.robustness.coco_items import CocoItems
from stl_backbones.robustness.items import Items, read_image
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predictor import Pixels, as_array
from stl_backbones.robustness.provenance import data_name, fingerprint

_PIPELINE = [
    {"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}, {"type": "PackSegInputs"},
]  # fmt: skip


def config_items(settings: Mapping[str, Any], options: SweepOptions) -> Items:
    """Build a data set.

    Args:
        settings: ``dict(type=..., data_root=..., ...)``. Without a pipeline mmseg's images and
            label maps are loaded as they are.
        options: Its limit, and whether broken images are left out.

    Raises:
        MissingFileError: If something named is missing.
        InputError: If it does not build, or is neither of label maps nor in COCO's format.
    """
    found = dict(settings)
    is_mmdet = _is_of_mmdet(found["type"])
    if not is_mmdet:
        found.setdefault("pipeline", _PIPELINE)
    scope = "mmdet" if is_mmdet else "mmseg"
    with (
        without_import_notes(),
        building("the data set"),
        DefaultScope.overwrite_default_scope(scope),
    ):
        dataset = DATASETS.build(found)
    if hasattr(dataset, "cat_ids"):
        return CocoItems(
            dataset.ann_file, dataset.data_prefix["img"], classes=dataset.metainfo["classes"],
            limit=options.limit, skip_broken=options.skip_broken,
        )  # fmt: skip
    return _ConfigMaps(dataset, options)


def _is_of_mmdet(kind: Any) -> bool:
    """Whether a class, or the class of a registered name, is a data set of mmdet's."""
    for module in ("mmseg.datasets", "stl_backbones.datasets.coco",
                   "stl_backbones.datasets.cityscapes"):  # fmt: skip
        import_module(module)  # registers its own
    from mmdet.datasets import BaseDetDataset
    from mmdet.registry import DATASETS as OF_MMDET

    found = kind if isinstance(kind, type) else OF_MMDET.get(str(kind).rpartition(".")[2])
    return isinstance(found, type) and issubclass(found, BaseDetDataset)


class _ConfigMaps(Items):
    """A data set of mmseg; label maps as its pipeline loads them."""

    task = "segmentation"

    def __init__(self, dataset: Any, options: SweepOptions) -> None:
        self._dataset, self.total = dataset, len(dataset)
        infos = [dataset.get_data_info(n) for n in range(len(dataset))][: options.limit]
        self._paths = [Path(info["img_path"]) for info in infos]
        folder = (dataset.data_prefix or {}).get("img_path")
        self.root = Path(folder) if folder else None
        self.keys = tuple(image_id(path, self.root) for path in self._paths)
        for key in self.keys:
            check_key(key)
        self.classes = tuple(dataset.metainfo.get("classes") or ())
        if not self.classes:
            raise InputError(f"{type(dataset).__name__} names no classes: give metainfo in it")
        self.ignore_index = int(getattr(dataset, "ignore_index", IGNORE_INDEX))
        root = getattr(dataset, "data_root", None) or self.root or self._paths[0].parent
        self.title = data_name(root)
        files = []
        for key, path, info in zip(self.keys, self._paths, infos, strict=True):
            files.append((key, path))
            if info.get("seg_map_path"):
                files.append((f"{key} label", Path(info["seg_map_path"])))
        self.fingerprint = fingerprint(files)
        self.truth(0)

    def image(self, index: int) -> Pixels:
        """The image, as OpenCV decodes it."""
        return read_image(self._paths[index])

    def truth(self, index: int) -> npt.NDArray[np.integer]:
        """Its label map."""
        packed = self._dataset[index]
        samples = packed.get("data_samples") if isinstance(packed, Mapping) else None
        if samples is None or "gt_sem_seg" not in samples:
            raise InputError(
                f"the pipeline of {type(self._dataset).__name__} packs no label map: expected "
                "'gt_sem_seg' in its data samples; leave the pipeline out"
            )
        return as_array(samples.gt_sem_seg.data).squeeze(0)


__all__ = ["config_items"]
