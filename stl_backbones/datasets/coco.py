"""COCO, or any data set in its format, that refuses what it cannot trust.

The unusual is treated as in mmdet: crowd annotations are handed on with ``ignore_flag`` 1, and are
not learned; those marked ``ignore`` are left out, and so are those smaller than a pixel (COCO
itself has some), here with a warning; images without any annotation are left out of training where
``filter_cfg=dict(filter_empty_gt=True)`` says so, and always tested.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmengine.logging import print_log

from stl_backbones.datasets.coco_annotations import (
    ROOT_HINT,
    find_whole,
    group_by_image,
    is_too_small,
    match_categories,
    read_annotations,
)
from stl_backbones.datasets.integrity import check_files
from stl_backbones.datasets.loading import naming_the_image
from stl_backbones.display import shown_one_by_one
from stl_backbones.errors import InputError, some_of
from stl_backbones.paths import check_folder
from stl_backbones.registry import DATASETS


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """mmdet's COCO with the annotation file and every image checked when it is opened.

    Labels follow ``classes`` by name, whatever the order of the file's categories; annotations of
    other categories are left out, as in mmdet.

    Args:
        num_classes: Classes K of the model; another number of classes is refused.
        classes: Their names; default: COCO's 80.
        skip_broken: Leave out images that are missing, truncated or of another size, and those
            with a broken annotation, with a warning for each, instead of refusing the data set.
        **kwargs: As for mmdet's ``CocoDataset``.

    Attributes:
        skipped: Broken image path -> what is wrong with it.

    Raises:
        FileNotFoundError: If the annotation file or the image folder is missing.
        ValueError: If the annotation file is damaged or lacks a class, an image or an annotation is
            broken, or no image is left.
    """

    def __init__(
        self,
        *,
        num_classes: int | None = None,
        classes: Sequence[str] | None = None,
        skip_broken: bool = False,
        **kwargs: Any,
    ) -> None:
        self.num_classes = num_classes
        self.skip_broken = skip_broken
        self.skipped: dict[str, str] = {}
        if classes is not None:
            kwargs["metainfo"] = {**(kwargs.get("metainfo") or {}), "classes": tuple(classes)}
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images with their annotations, checked."""
        folder = Path(self.data_prefix["img"])
        check_folder(folder, "image folder", hint=ROOT_HINT)
        content = read_annotations(self.ann_file)
        self.cat_ids = match_categories(
            content["categories"],
            self.metainfo["classes"],
            num_classes=self.num_classes,
            source=self.ann_file,
        )
        self.cat2label = {number: label for label, number in enumerate(self.cat_ids)}
        by_image = group_by_image(content, source=self.ann_file)
        self._note_what_mmdet_leaves_out(content)
        known = {category["id"] for category in content["categories"]}
        images = self._drop_broken(content["images"], by_image, known)
        self.cat_img_map: dict[int, list[int]] = {number: [] for number in self.cat_ids}
        items = []
        for image in images:
            found = by_image[image["id"]]
            for annotation in found:
                if annotation["category_id"] in self.cat2label:
                    self.cat_img_map[annotation["category_id"]].append(image["id"])
            raw = {**image, "img_id": image["id"]}
            items.append(self.parse_data_info({"raw_img_info": raw, "raw_ann_info": found}))
        return items

    def prepare_data(self, idx: int) -> Any:
        """Load an image and its objects; what cannot be decoded is named."""
        with naming_the_image(lambda: self.get_data_info(idx)["img_path"]):
            return super().prepare_data(idx)

    def filter_data(self) -> list[dict[str, Any]]:
        """Leave out what ``filter_cfg`` names, as mmdet does."""
        kept = super().filter_data()
        if not kept:
            raise InputError(
                f"'{self.ann_file}' leaves no image: none of its {len(self.data_list)} passes "
                f"filter_cfg={self.filter_cfg}"
            )
        return kept

    def _drop_broken(
        self,
        images: Sequence[dict[str, Any]],
        by_image: Mapping[int, Sequence[dict[str, Any]]],
        category_ids: set[int],
    ) -> list[dict[str, Any]]:
        whole, self.skipped = check_files(lambda: self._check(images, by_image, category_ids))
        for reason in self.skipped.values():
            print_log(f"left out: {reason}", logger="current", level=logging.WARNING)
        return [images[index] for index in whole]

    def _check(
        self,
        images: Sequence[dict[str, Any]],
        by_image: Mapping[int, Sequence[dict[str, Any]]],
        category_ids: set[int],
    ) -> tuple[list[int], dict[str, str]]:
        """The indices of the whole images, and broken image path -> what is wrong with it."""
        return find_whole(
            shown_one_by_one(images, f"checking '{self.ann_file}'", "images"),
            by_image,
            folder=Path(self.data_prefix["img"]),
            category_ids=category_ids,
            source=self.ann_file,
            masks=any(getattr(step, "with_mask", False) for step in self.pipeline.transforms),
            skip_broken=self.skip_broken,
        )

    def _note_what_mmdet_leaves_out(self, content: Mapping[str, Sequence[dict[str, Any]]]) -> None:
        annotations = content["annotations"]
        small = [found.get("id") for found in annotations if is_too_small(found)]
        unknown = {
            category["id"]: category.get("name")
            for category in content["categories"]
            if category["id"] not in self.cat2label
        }
        ids = set(map(str, unknown))  # a broken annotation's may be anything
        others = [one for one in annotations if str(one.get("category_id")) in ids]
        for count, what in (
            (len(small), f"smaller than a pixel (id {some_of(small)})"),
            (len(others), f"of categories that are no class ({some_of(unknown.values())})"),
        ):
            if count:
                print_log(
                    f"'{self.ann_file}': left out, as in mmdet: {count} of {len(annotations)} "
                    f"annotations on {len(content['images'])} images, {what}",
                    logger="current",
                    level=logging.WARNING,
                )
