"""COCO's annotations with a folder of images: what a broken entry does to the others."""

import json

import numpy as np
import pytest
from PIL import Image

from stl_backbones.errors import InputError
from stl_backbones.robustness.coco_items import CocoItems


@pytest.fixture
def content(tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / name)
    return {
        "images": [{"id": n, "file_name": name, "width": 40, "height": 40}
                   for n, name in enumerate(("a.png", "b.png"))],
        "annotations": [{"id": n, "image_id": n, "category_id": 1, "bbox": [1, 1, 8, 8],
                         "area": 64} for n in range(2)],
        "categories": [{"id": 1, "name": "car"}],
    }  # fmt: skip


def opened(folder, content, **options):
    (folder / "truth.json").write_text(json.dumps(content))
    return CocoItems(folder / "truth.json", folder, **options)


@pytest.mark.parametrize("name", ["category_id", "bbox", "area"])
def test_objects_of_a_broken_image_are_left_out(tmp_path, content, name):
    del content["annotations"][1][name]
    with pytest.raises(InputError, match=r"annotation 1 of 'b\.png'.*--skip-broken goes on"):
        opened(tmp_path, content)
    items = opened(tmp_path, content, skip_broken=True)
    assert (items.keys, items.skipped) == (("a.png",), ("b.png",))
    truth = items.coco()
    assert (truth.getImgIds(), truth.getAnnIds()) == ([0], [0])


def test_a_category_without_a_name(tmp_path, content):
    del content["categories"][0]["name"]
    with pytest.raises(InputError, match=r"truth\.json': categories need a name, 1 has none"):
        opened(tmp_path, content)
