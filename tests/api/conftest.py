"""Small data of every form, and models that know the truth."""

import json
import sys
from pathlib import Path

import cv2
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from toys import box_of, squares


@pytest.fixture
def maps(tmp_path):
    """``(images, labels)``, two folders."""
    for index in range(4):
        image, label = squares(index)
        for folder, pixels in (("images", image[..., ::-1]), ("labels", label)):
            path = tmp_path / folder / "city" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels)
    return tmp_path / "images", tmp_path / "labels"


@pytest.fixture
def coco(tmp_path):
    """``(annotations.json, images)``."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    images, annotations = [], []
    for index in range(4):
        image, label = squares(index)
        cv2.imwrite(str(folder / f"{index}.png"), image[..., ::-1])
        (box,), (one,) = box_of(label)
        left, top, right, bottom = box.tolist()
        size = (right - left, bottom - top)
        images.append({"id": 10 + index, "file_name": f"{index}.png", "height": 48, "width": 64})
        annotations.append(
            {"id": index + 1, "image_id": 10 + index, "category_id": 7 + int(one), "iscrowd": 0,
             "bbox": [left, top, *size], "area": size[0] * size[1]}
        )  # fmt: skip
    categories = [{"id": 7, "name": "leaf"}, {"id": 8, "name": "brick"}]
    path = tmp_path / "objects.json"
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path, folder


@pytest.fixture
def folders(tmp_path):
    """Class folders: what the square of an image is."""
    for index in range(6):
        image, label = squares(index)
        path = tmp_path / "val" / ("leaf", "brick")[label.max() - 1] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image[..., ::-1])
    return tmp_path / "val"
