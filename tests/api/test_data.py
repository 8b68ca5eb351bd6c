"""Images and truth of any origin, read and refused."""

import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from stl_backbones.datasets.class_folders import ClassFolders
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.find_data import find_data

NAMES = ("ground", "leaf", "brick")
OPTIONS = SweepOptions()


def squares(index):
    label = np.zeros((48, 64), np.uint8)
    label[8:20, 10:40] = 1 + index % 2
    return np.full((48, 64, 3), 40 * index, np.uint8), label


def test_two_folders_are_images_and_label_maps(maps):
    items = find_data(maps, OPTIONS, classes=NAMES)
    assert items.task == "segmentation"
    assert items.keys == tuple(f"city/{index}.png" for index in range(4))
    assert items.image(1).shape == (48, 64, 3)
    assert set(np.unique(items.truth(1))) == {0, 2}


def test_label_maps_have_no_names_of_classes(maps):
    with pytest.raises(InputError, match="give classes, in the order of the labels"):
        find_data(maps, OPTIONS)


@pytest.mark.parametrize("folder", [0, 1])
def test_an_image_without_label_map_is_refused_and_the_other_way_round(maps, folder):
    (maps[folder] / "city/2.png").unlink()
    with pytest.raises(MissingFileError, match=r"1 of 4 .* have no .*city/2"):
        find_data(maps, OPTIONS, classes=NAMES)


def test_a_broken_label_map_is_left_out_on_request(maps):
    path = maps[1] / "city/2.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"2\.png.*1 of 4 images are broken"):
        find_data(maps, OPTIONS, classes=NAMES)
    items = find_data(maps, SweepOptions(skip_broken=True), classes=NAMES)
    assert (len(items.keys), items.total, items.skipped) == (3, 4, ("city/2.png",))


@pytest.mark.parametrize("ending", ["_gtFine_labelTrainIds", "_gtFine_labelIds"])
def test_a_cityscapes_root_with_either_kind_of_labels(tmp_path, ending):
    raw = np.zeros((40, 48), np.uint8)
    raw[:20] = 0 if "Train" in ending else 7  # road
    raw[20:] = 13 if "Train" in ending else 26  # car
    for name, pixels in (
        ("leftImg8bit/val/aachen/a_leftImg8bit.png", np.zeros((40, 48, 3), np.uint8)),
        (f"gtFine/val/aachen/a{ending}.png", raw),
        ("gtFine/val/aachen/a_gtFine_color.png", np.zeros((40, 48, 3), np.uint8)),
    ):
        path = tmp_path / "streets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels)
    items = find_data(tmp_path / "streets", OPTIONS)
    assert items.title == "streets"
    assert len(items.classes) == 19
    assert set(np.unique(items.truth(0))) == {0, 13}


def test_coco(coco):
    items = find_data(coco, OPTIONS)
    assert items.task == "detection"
    assert items.classes == ("leaf", "brick")
    assert items.category_ids == (7, 8)
    assert items.truth(2) == 12


def test_an_annotation_of_another_size_is_refused(coco):
    content = json.loads(coco[0].read_text())
    content["images"][1]["width"] = 63
    coco[0].write_text(json.dumps(content))
    with pytest.raises(InputError, match="is 64x48, the annotation file says 63x48"):
        find_data(coco, OPTIONS)


def test_configs_of_data_sets(maps, coco):
    prefix = {"img_path": str(maps[0]), "seg_map_path": str(maps[1])}
    settings = {"type": "BaseSegDataset", "img_suffix": ".png", "seg_map_suffix": ".png",
                "metainfo": {"classes": NAMES}, "data_prefix": prefix}  # fmt: skip
    items, own = find_data(settings, OPTIONS), find_data(maps, OPTIONS, classes=NAMES)
    assert (items.keys, items.fingerprint) == (own.keys, own.fingerprint)
    assert np.array_equal(items.truth(3), own.truth(3))
    assert np.array_equal(items.image(3), own.image(3))
    settings = {"type": "CocoDataset", "ann_file": str(coco[0]), "pipeline": [],
                "data_prefix": {"img": str(coco[1])}}  # fmt: skip
    settings["metainfo"] = {"classes": ("brick", "leaf")}
    assert find_data(settings, OPTIONS).category_ids == (8, 7)


def test_class_folders(folders):
    assert isinstance(find_data(folders, OPTIONS), ClassFolders)


class Pairs(torch.utils.data.Dataset):
    """A torch data set."""

    def __init__(self, truth):
        self.truth = truth

    def __len__(self):
        return 3

    def __getitem__(self, index):
        image, label = squares(index)
        return Image.fromarray(image), self.truth(index, label)


@pytest.mark.parametrize(
    ("truth", "task"),
    [
        (lambda index, label: index % 2, "classification"),
        (lambda index, label: torch.from_numpy(label), "segmentation"),
        (lambda index, label: {"boxes": [[1, 2, 30, 40]], "labels": [1]}, "detection"),
    ],
)
def test_a_torch_data_set_says_its_task_by_its_truth(truth, task):
    items = find_data(Pairs(truth), OPTIONS, classes=NAMES, ids=["a", "b", "c"])
    assert items.task == task
    assert items.keys == ("a", "b", "c")
    assert items.fingerprint == find_data(Pairs(truth), OPTIONS, classes=NAMES,
                                          ids=["a", "b", "c"]).fingerprint  # fmt: skip


@pytest.mark.parametrize(
    ("data", "named", "words"),
    [
        ([], {}, "the data set is empty"),
        ([(np.zeros((40, 40, 3), np.float32), 0)], {}, "before any normalisation"),
        ([(np.zeros((40, 40), np.uint8), 0)], {}, r"must be \(H, W, 3\) uint8 RGB"),
        ([(np.zeros((40, 40, 3), np.uint8), np.zeros(3))], {}, "expected as truth a class index"),
        ([np.zeros((40, 40, 3), np.uint8)], {}, "no pair of an image and its truth"),
        ([(np.zeros((40, 40, 3), np.uint8), 0)], {"ids": ["a", "b"]}, "expected 1 ids"),
        ([(np.zeros((40, 40, 3), np.uint8), {"boxes": [[30, 30, 5, 5]], "labels": [0]})], {},
         "left, top, right, bottom"),
        ([(np.zeros((40, 40, 3), np.uint8), {"boxes": [[1, 1, 5, 5]], "labels": [3]})], {},
         r"has labels 3\.\.3, there are 3 classes"),
        ({"a": 1}, {}, "expected as data a folder of class folders"),
    ],
)  # fmt: skip
def test_what_is_no_data_is_refused(data, named, words):
    with pytest.raises(InputError, match=words):
        find_data(data, OPTIONS, classes=NAMES, **named)


def test_a_sequence_without_names_is_refused():
    with pytest.raises(InputError, match="give classes"):
        find_data(Pairs(lambda index, label: 0), OPTIONS)
