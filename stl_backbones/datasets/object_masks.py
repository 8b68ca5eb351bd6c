"""Where the object of an image is: masks from a folder of PNG files, or from COCO's annotations.

A mask is of the image's class alone; what else is in the image is background.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from stl_backbones.corruptions.images import IMAGE_DAMAGE
from stl_backbones.datasets.coco_annotations import check_scored, group_by_image, read_annotations
from stl_backbones.datasets.integrity import check_intact, image_header
from stl_backbones.errors import InputError, MissingFileError, did_you_mean
from stl_backbones.packages import require

Mask = npt.NDArray[np.bool_]
_MODES = ("1", "L", "P")  # Pillow's of 8 bit or less, one channel
_TRIANGLE = 6  # numbers; mmdet leaves shorter parts out, too
_EXPECTED = "expected a folder of PNG masks, or a JSON file of COCO's instances"


class ObjectMasks(Protocol):
    """Finds and reads the masks of images."""

    def check(self, image: Path, *, class_name: str) -> None:
        """Refuse an image without a mask, as `read` does, without reading any.

        Raises:
            FileNotFoundError: If the image has no mask.
            ValueError: If it cannot be known which is its mask.
        """

    def read(self, image: Path, *, size: tuple[int, int], class_name: str) -> Mask:
        """The mask of an image.

        Args:
            image: The image's file.
            size: Its width and height.
            class_name: Its class.

        Returns:
            ``(height, width)`` bool, true where an object of the class is.

        Raises:
            FileNotFoundError: If the image has no mask.
            ValueError: If the mask is damaged, of another size, or empty.
        """


def open_masks(path: str | Path) -> ObjectMasks:
    """Open masks: a folder's are `MaskFolder`, a file's are `CocoMasks`.

    Raises:
        FileNotFoundError: If there is nothing of that name.
        ValueError: If a file is no annotation file of COCO's format.
    """
    path = Path(path)
    if path.is_dir():
        return MaskFolder(path)
    if not path.exists():
        raise MissingFileError(f"--masks '{path}' does not exist; {_EXPECTED}")
    return CocoMasks(path)


class MaskFolder:
    """Masks as PNG files: ``<class>/<stem>.png``, or ``<stem>.png``, of ``<class>/<stem>.jpg``.

    ``<class>`` is the image's folder. Every value but zero is the object: 0 and 1, 0 and 255, or
    numbers of objects. There is no value for void: 255 is the object, too.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._image_of: dict[Path, Path] = {}

    def check(self, image: Path, *, class_name: str) -> None:
        """See `ObjectMasks`."""
        del class_name  # the file holds one object
        self._find(image)

    def read(self, image: Path, *, size: tuple[int, int], class_name: str) -> Mask:
        """See `ObjectMasks`."""
        del class_name
        path = self._find(image)
        check_intact(path)
        own_size, mode = image_header(path)
        if mode not in _MODES:
            raise InputError(f"mask '{path}' must be 8 bit with one channel, got mode '{mode}'")
        _check_size(f"mask '{path}'", own_size, image, size)
        try:
            with Image.open(path) as picture:
                mask = np.asarray(picture) != 0
        except IMAGE_DAMAGE as error:
            raise InputError(f"mask '{path}' cannot be read: {error}") from error
        if not mask.any():
            raise InputError(
                f"mask '{path}' is empty; expected values other than 0 where the object is"
            )
        return mask

    def _find(self, image: Path) -> Path:
        name = f"{image.stem}.png"
        candidates = (self.root / image.resolve().parent.name / name, self.root / name)
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            raise MissingFileError(
                f"image '{image}' has no mask; expected '{candidates[0]}' or '{candidates[1]}'"
            )
        owner = self._image_of.setdefault(path, image)
        if owner != image:
            raise InputError(
                f"mask '{path}' would be that of '{owner}' and of '{image}'; put masks into "
                f"folders named as the images' folders, '{candidates[0]}'"
            )
        return path


class CocoMasks:
    """Masks from annotations in COCO's format, as polygons or run-length codes.

    An image is known by its file's name, its class by the name of the category. All objects of the
    class count, crowds too; those of other categories are background.

    Args:
        file: The annotation file.

    Raises:
        ValueError: If it is no annotation file of COCO's format.
    """

    def __init__(self, file: Path) -> None:
        require("reading masks of a COCO file", "pycocotools")
        self.file = file
        content = read_annotations(file)
        self._categories: dict[str, int] = {
            str(category.get("name")): category["id"] for category in content["categories"]
        }
        self._annotations = group_by_image(content, source=file)
        self._images: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for image in content["images"]:
            self._images[Path(str(image.get("file_name"))).name].append(image)

    def check(self, image: Path, *, class_name: str) -> None:
        """See `ObjectMasks`."""
        self._find(image, class_name)

    def read(self, image: Path, *, size: tuple[int, int], class_name: str) -> Mask:
        """See `ObjectMasks`."""
        entry, objects = self._find(image, class_name)
        own_size = (entry.get("width"), entry.get("height"))
        _check_size(f"its entry in '{self.file}'", own_size, image, size)
        mask = np.zeros((size[1], size[0]), np.bool_)
        for one in objects:
            check_scored(one, entry, masks=True)
            mask |= _decode(one["segmentation"], size)
        if not mask.any():
            raise InputError(f"the masks of '{class_name}' in '{image}' are empty: '{self.file}'")
        return mask

    def _find(self, image: Path, class_name: str) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
        """The image's entry and its objects of the class."""
        if class_name not in self._categories:
            raise InputError(
                f"'{self.file}' has no category '{class_name}', the class of '{image}'"
                + did_you_mean(class_name, self._categories)
            )
        named = self._images.get(image.name, [])
        if len(named) > 1:  # one file name in several folders
            own = image.resolve().as_posix()
            named = [one for one in named if own.endswith(f"/{one['file_name']}")]
        if len(named) != 1:
            raise MissingFileError(
                f"image '{image}' must be listed once in '{self.file}', by its file_name; "
                f"{len(named)} entries are its"
            )
        category = self._categories[class_name]
        objects = [
            one for one in self._annotations.get(named[0]["id"], ())
            if one.get("category_id") == category
        ]  # fmt: skip
        if not objects:
            raise MissingFileError(
                f"image '{image}' has no object of its class '{class_name}' in '{self.file}'"
            )
        return named[0], objects


def _decode(segmentation: Any, size: tuple[int, int]) -> Mask:
    """Polygons or a run-length code, checked, as a mask."""
    from pycocotools import mask as coco_mask

    width, height = size
    if isinstance(segmentation, list):
        parts = [part for part in segmentation if len(part) >= _TRIANGLE]
        code = coco_mask.merge(coco_mask.frPyObjects(parts, height, width))
    elif isinstance(segmentation["counts"], list):
        code = coco_mask.frPyObjects(segmentation, height, width)
    else:
        code = segmentation
    return np.asarray(coco_mask.decode(code)) != 0


def _check_size(what: str, own: tuple[Any, Any], image: Path, size: tuple[int, int]) -> None:
    if own != size:
        raise InputError(
            f"{what} is {own[0]}x{own[1]}, the image '{image}' {size[0]}x{size[1]}; "
            "expected a mask of the image's size"
        )


__all__ = ["CocoMasks", "MaskFolder", "ObjectMasks", "open_masks"]
