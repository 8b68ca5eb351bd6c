"""Masks of objects: what is read from folders and COCO's files, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from stl_backbones.datasets.object_masks import open_masks

SIZE = (6, 4)  # width and height
IMAGE_NAME = "dog/a.jpg"


@pytest.fixture
def mask():
    found = np.zeros((4, 6), bool)
    found[1:3, 2:5] = True
    return found


@pytest.fixture
def image(tmp_path):
    return tmp_path / "images" / IMAGE_NAME


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(path)
    return path


def read(root, image):
    masks = open_masks(root)
    masks.check(image, class_name="dog")
    return masks.read(image, size=SIZE, class_name="dog")


@pytest.mark.parametrize("value", [1, 7, 255])
@pytest.mark.parametrize("place", ["dog/a.png", "a.png"])
def test_a_folder_s_nonzero_values_are_the_object(tmp_path, image, mask, value, place):
    save(tmp_path / "masks" / place, mask.astype(np.uint8) * value)
    assert np.array_equal(read(tmp_path / "masks", image), mask)


def test_one_bit_and_palettes_are_read_as_numbers(tmp_path, image, mask):
    save(tmp_path / "bits/a.png", mask)
    picture = Image.fromarray(mask.astype(np.uint8)).convert("P")
    picture.putpalette([0, 0, 0, 0, 0, 0])  # both of one colour
    (tmp_path / "palette").mkdir()
    picture.save(tmp_path / "palette/a.png")
    for folder in ("bits", "palette"):
        assert np.array_equal(read(tmp_path / folder, image), mask)


def test_the_class_s_folder_comes_first(tmp_path, image, mask):
    save(tmp_path / "masks/a.png", ~mask)
    save(tmp_path / "masks/dog/a.png", mask)
    assert np.array_equal(read(tmp_path / "masks", image), mask)


def test_one_mask_of_two_images_is_refused(tmp_path, image, mask):
    save(tmp_path / "masks/a.png", mask)
    masks = open_masks(tmp_path / "masks")
    masks.check(image, class_name="dog")
    with pytest.raises(ValueError, match=r"would be that of '.*dog/a.jpg' and of '.*cat/a.jpg'"):
        masks.check(image.parent.parent / "cat/a.jpg", class_name="cat")


def test_a_missing_mask_is_named(tmp_path, image):
    (tmp_path / "masks").mkdir()
    with pytest.raises(FileNotFoundError, match=r"dog/a.jpg' has no mask; expected '.*dog/a.png'"):
        read(tmp_path / "masks", image)
    with pytest.raises(FileNotFoundError, match=r"nosuch' does not exist; expected a folder"):
        open_masks(tmp_path / "nosuch")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((4, 5), np.uint8), r"is 5x4, the image '.*' 6x4; expected a mask of the image's"),
        (np.zeros((4, 6), np.uint8), "is empty; expected values other than 0"),
        (np.ones((4, 6, 3), np.uint8), "8 bit with one channel, got mode 'RGB'"),
        (np.ones((4, 6), np.uint16), "8 bit with one channel, got mode 'I;16'"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(tmp_path, image, values, message):
    save(tmp_path / "masks/a.png", values)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "masks", image)


@pytest.mark.parametrize("end", [0, 20, -8])
def test_a_damaged_mask_is_refused(tmp_path, image, mask, end):
    path = save(tmp_path / "masks/a.png", mask)
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(ValueError, match=r"a.png' is (empty|truncated|no image)"):
        read(tmp_path / "masks", image)


@pytest.fixture
def coco(tmp_path, mask):
    """Two boxes of dogs, one as polygon and one as counts, and a cat in the corner."""
    left, right, cat = mask.copy(), mask.copy(), np.zeros_like(mask)
    left[:, 3:] = False
    right[:, :3] = False
    cat[0, 0] = True
    code = coco_mask.encode(np.asfortranarray(right.astype(np.uint8)))
    runs = coco_mask.encode(np.asfortranarray(cat.astype(np.uint8)))
    parts = [
        (1, [[2, 1, 3, 1, 3, 3, 2, 3]], 0),
        (1, {"size": [4, 6], "counts": code["counts"].decode()}, 1),
        (2, {"size": [4, 6], "counts": runs["counts"].decode()}, 0),
    ]
    content = {
        "images": [{"id": 5, "file_name": IMAGE_NAME, "width": 6, "height": 4}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": [
            {"id": number, "image_id": 5, "category_id": category, "segmentation": part,
             "bbox": [0, 0, 6, 4], "area": 3, "iscrowd": crowd}
            for number, (category, part, crowd) in enumerate(parts)
        ],
    }  # fmt: skip

    def write(**changes):
        path = tmp_path / "instances.json"
        path.write_text(json.dumps({**content, **changes}))
        return path

    write.content = content
    return write


def test_coco_s_objects_of_the_class_are_joined(coco, image, mask):
    assert np.array_equal(read(coco(), image), mask)  # the crowd too, not the cat


def test_uncompressed_counts(coco, image):
    annotation = {**coco.content["annotations"][0], "segmentation": {"size": [4, 6], "counts": [
        20, 4]}}  # fmt: skip
    found = read(coco(annotations=[annotation]), image)
    expected = np.zeros((4, 6), bool)
    expected[:, 5] = True
    assert np.array_equal(found, expected)


def test_images_of_one_name_are_told_by_their_folder(coco, image, mask):
    entries = [{**coco.content["images"][0], "id": 6, "file_name": "cat/a.jpg"}]
    assert np.array_equal(read(coco(images=[*coco.content["images"], *entries]), image), mask)


def test_a_class_that_the_file_lacks_is_named(coco, image):
    masks = open_masks(coco())
    with pytest.raises(ValueError, match=r"has no category 'dogs', .*; did you mean dog"):
        masks.check(image, class_name="dogs")
    with pytest.raises(FileNotFoundError, match="has no object of its class 'cat'"):
        open_masks(coco(annotations=[])).check(image, class_name="cat")
    with pytest.raises(FileNotFoundError, match=r"b.jpg' must be listed once .*; 0 entries"):
        masks.check(image.with_name("b.jpg"), class_name="dog")


def test_a_coco_file_that_does_not_fit_is_refused(coco, image, tmp_path):
    wide = [{**coco.content["images"][0], "width": 7}]
    with pytest.raises(ValueError, match=r"its entry in '.*' is 7x4, the image '.*' 6x4"):
        read(coco(images=wide), image)
    flat = {**coco.content["annotations"][0], "segmentation": [[0, 0, 0, 0, 0, 0]]}
    with pytest.raises(ValueError, match=r"masks of 'dog' in '.*' are empty"):
        read(coco(annotations=[flat]), image)
    odd = {**coco.content["annotations"][0], "segmentation": [[1, 2, 3]]}
    with pytest.raises(ValueError, match="a polygon must be"):
        read(coco(annotations=[odd]), image)
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match="is no COCO annotation file: expected a list 'images'"):
        open_masks(tmp_path / "other.json")
    (tmp_path / "text.json").write_text("masks")
    with pytest.raises(ValueError, match="is truncated or no JSON"):
        open_masks(tmp_path / "text.json")
