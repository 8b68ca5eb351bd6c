"""Cityscapes, or any data set in its layout, that refuses what it cannot trust."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmseg.datasets import CityscapesDataset

from stl_backbones.datasets.integrity import check_files, drop_broken_pairs, find_lost_images
from stl_backbones.datasets.label_ids import ID_SUFFIX, TRAIN_ID_SUFFIX, advise_missing, label_table
from stl_backbones.datasets.loading import naming_the_image
from stl_backbones.errors import MissingFileError
from stl_backbones.image_files import has_clutter
from stl_backbones.paths import check_folder
from stl_backbones.registry import DATASETS


@DATASETS.register_module()
class CheckedCityscapesDataset(CityscapesDataset):
    """mmseg's Cityscapes with every image and label map checked when it is opened.

    Args:
        num_classes: Classes of label maps that hold 0..K-1, where they have no names: they are
            called '0', '1', ... unless there are 19.
        classes: Names of your own, in the order of the labels 0, 1, ... of the label maps; default:
            Cityscapes' 19. Some of these 19 alone, by name: ``metainfo``, as in mmseg.
        label_ids: ``'cityscapes'`` or ``'kitti'``: the files hold these data sets' ids, of which
            the 19 classes are made while they are read. Or the files' label of each of your
            classes. All other labels are ignored.
        seg_map_suffix: How label maps' names end; default ``_gtFine_labelIds.png`` where
            ``label_ids`` is a name, else ``_gtFine_labelTrainIds.png``.
        skip_broken: Leave out truncated files and pairs that do not fit, with a warning for each,
            instead of refusing the data set.
        **kwargs: As for mmseg's ``CityscapesDataset``.

    Attributes:
        skipped: Broken image path -> what is wrong with it.

    Raises:
        FileNotFoundError: If the image folder is missing or holds no image.
        ValueError: If a file is truncated or damaged, or a label map or its image is missing, or of
            another size or format.
    """

    def __init__(
        self,
        *,
        num_classes: int | None = None,
        classes: Sequence[str] | None = None,
        label_ids: str | Sequence[int] | None = None,
        seg_map_suffix: str | None = None,
        skip_broken: bool = False,
        **kwargs: Any,
    ) -> None:
        self.skip_broken = skip_broken
        self.label_table = None if label_ids is None else label_table(label_ids)
        info = kwargs.get("metainfo") or {}
        if classes is None and "classes" not in info and num_classes is not None:
            is_theirs = num_classes == len(self.METAINFO["classes"])
            classes = None if is_theirs else tuple(map(str, range(num_classes)))
        self.has_own_classes = classes is not None
        if classes is not None:
            kwargs["metainfo"] = {**info, "classes": tuple(classes), "palette": []}
        suffix = ID_SUFFIX if isinstance(label_ids, str) else TRAIN_ID_SUFFIX
        kwargs["seg_map_suffix"] = seg_map_suffix or suffix
        self.skipped: dict[str, str] = {}
        super().__init__(**kwargs)

    def get_label_map(self, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """Which labels become which: as in mmseg, but labels of classes of your own stay."""
        return None if self.has_own_classes else super().get_label_map(new_classes)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images, checked."""
        folder = Path(self.data_prefix["img_path"])
        hint = "give the data set's folder with --data-root DIR"
        check_folder(folder, "image folder", hint=hint)
        table = self.label_map  # as in mmseg: of some classes alone
        if self.label_table is not None:
            table = {raw: (table or {}).get(one, one) for raw, one in self.label_table.items()}
        own = {"num_classes": len(self.metainfo["classes"]), "label_map": table}
        listed = super().load_data_list()
        items = [{**item, **own} for item in listed if not has_clutter(item["img_path"], folder)]
        if not items:
            raise MissingFileError(f"no '*{self.img_suffix}' file in '{folder}'; {hint}")
        if advice := advise_missing(items[0]["seg_map_path"], self.seg_map_suffix):
            raise MissingFileError(f"'{items[0]['seg_map_path']}' does not exist; {advice}")
        whole, self.skipped = check_files(
            lambda: drop_broken_pairs(
                items, skip_broken=self.skip_broken, lost=find_lost_images(self)
            )
        )
        return self._whole(items, whole)

    def _whole(self, items: list[dict[str, Any]], whole: Sequence[int]) -> list[dict[str, Any]]:
        for reason in self.skipped.values():
            print_log(f"left out: {reason}", logger="current", level=logging.WARNING)
        return [items[index] for index in whole]

    def prepare_data(self, idx: int) -> Any:
        """Load an image and its label map; what cannot be decoded is named."""
        with naming_the_image(lambda: self.get_data_info(idx)["img_path"]):
            return super().prepare_data(idx)


@DATASETS.register_module()
class ListedCityscapesDataset(CheckedCityscapesDataset):
    """Images and label maps of Cityscapes' classes that lie wherever they are listed.

    Args:
        pairs: Image and label map.
        **kwargs: As for `CheckedCityscapesDataset`; ``data_prefix['img_path']`` is the folder that
            ids are relative to.
    """

    def __init__(self, *, pairs: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        self.pairs = pairs
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """The pairs, checked."""
        own = {
            "num_classes": len(self.metainfo["classes"]),
            "label_map": self.label_table or self.label_map,
            "reduce_zero_label": self.reduce_zero_label, "seg_fields": [],
        }  # fmt: skip
        items = [{"img_path": image, "seg_map_path": label, **own} for image, label in self.pairs]
        whole, self.skipped = check_files(
            lambda: drop_broken_pairs(items, skip_broken=self.skip_broken)
        )
        return self._whole(items, whole)
