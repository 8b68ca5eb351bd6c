"""COCO files that cannot be right, each reported in one line before anything is trained on them."""

from __future__ import annotations

import copy
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from stl_backbones.datasets import coco
from stl_backbones.datasets.coco import CheckedCocoDataset, is_too_small, match_categories
from stl_backbones.datasets.coco_annotations import _decode_runs

CLASSES = ("car", "person")
SQUARE = [[10, 10, 30, 10, 30, 30, 10, 30]]


def annotation(number, image=1, category=3, box=(10, 10, 20, 20), **more):
    return {
        "id": number, "image_id": image, "category_id": category, "bbox": list(box),
        "area": 400, "iscrowd": 0, "segmentation": SQUARE, **more,
    }  # fmt: skip


GOOD = {
    "images": [
        {"id": 1, "file_name": "a.jpg", "width": 60, "height": 40},
        {"id": 2, "file_name": "b.jpg", "width": 60, "height": 40},
        {"id": 5, "file_name": "empty.jpg", "width": 60, "height": 40},
    ],
    # Neither the order of the classes nor numbers without a gap.
    "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
    "annotations": [annotation(1), annotation(2, category=1, box=(0, 0, 60, 40)), annotation(7, 2)],
}


@pytest.fixture
def write(tmp_path):
    """Write a data set; the images are there whatever the file says."""
    (tmp_path / "images").mkdir()
    for name in ("a", "b", "empty"):
        Image.new("RGB", (60, 40), (90, 120, 30)).save(tmp_path / f"images/{name}.jpg")

    def make(content=GOOD):
        (tmp_path / "truth.json").write_text(json.dumps(content))
        return tmp_path

    return make


@pytest.fixture
def said(monkeypatch):
    """The lines of the log."""
    lines = []
    monkeypatch.setattr(coco, "print_log", lambda line, **options: lines.append(line))
    return lines


WITH_MASKS = [{"type": "mmdet.LoadAnnotations", "with_bbox": True, "with_mask": True}]


def read(root, **options):
    chosen = {"classes": CLASSES, "num_classes": 2, "pipeline": WITH_MASKS, **options}
    return CheckedCocoDataset(
        data_root=str(root), ann_file="truth.json", data_prefix={"img": "images"}, **chosen
    )


def change(**parts):
    """GOOD with one part replaced by what a function makes of a copy of it."""
    content = copy.deepcopy(GOOD)
    for name, function in parts.items():
        content[name] = function(content[name])
    return content


def with_annotation(**more):
    return change(annotations=lambda found: [*found, annotation(8, **more)])


def test_a_good_file_is_read_by_the_names_of_the_classes(write):
    data = read(write())
    assert data.cat_ids == [3, 1]
    assert [len(data.get_data_info(i)["instances"]) for i in range(3)] == [2, 1, 0]
    labels = [item["bbox_label"] for item in data.get_data_info(0)["instances"]]
    assert labels == [0, 1]  # car, person
    assert data.metainfo["classes"] == CLASSES
    assert data.get_data_info(0)["instances"][0]["bbox"] == [10, 10, 30, 30]
    assert data.skipped == {}


def test_the_same_items_as_mmdets_where_nothing_is_wrong(mini_data):
    from mmdet.datasets import CocoDataset

    from stl_backbones.datasets.mini import COCO_CATEGORIES

    names = tuple(name for name, _ in COCO_CATEGORIES.values())
    place = {
        "data_root": str(mini_data / "coco"),
        "ann_file": "annotations/instances_train2017.json",
        "data_prefix": {"img": "train2017"},
        "filter_cfg": {"filter_empty_gt": True, "min_size": 32},
    }
    ours = CheckedCocoDataset(classes=names, num_classes=len(names), **place)
    theirs = CocoDataset(metainfo={"classes": names}, **place)
    assert len(ours) == len(theirs) > 0
    assert [ours.get_data_info(i) for i in range(len(ours))] == [
        theirs.get_data_info(i) for i in range(len(theirs))
    ]


class TestLikeMmdet:
    """Documented, neither refused nor changed."""

    def test_empty_images_are_left_out_of_training_where_the_config_says_so(self, write):
        chosen = {"filter_empty_gt": True, "min_size": 32}
        assert len(read(write(), filter_cfg=chosen)) == 2
        assert len(read(write(), filter_cfg=chosen, test_mode=True)) == 3

    def test_a_crowd_is_there_to_be_ignored(self, write):
        code = {"size": [40, 60], "counts": [0, 2400]}
        crowd = with_annotation(iscrowd=1, box=(0, 0, 60, 40), segmentation=code)
        flags = [item["ignore_flag"] for item in read(write(crowd)).get_data_info(0)["instances"]]
        assert flags == [0, 0, 1]

    @pytest.mark.parametrize(
        "small", [{"box": (10, 10, 0, 5)}, {"box": (10, 10, 5, 0.4)}, {"area": 0}]
    )
    def test_what_is_smaller_than_a_pixel_is_left_out_with_a_warning(self, write, small, said):
        data = read(write(with_annotation(**small)))
        assert len(data.get_data_info(0)["instances"]) == 2
        (line,) = said
        end = "left out, as in mmdet: 1 of 4 annotations on 3 images, smaller than a pixel (id 8)"
        assert line.endswith(end)

    def test_a_mask_is_needed_of_the_smallest_too(self, write):
        small = with_annotation(box=(1, 1, 0.5, 2), segmentation=[])  # pycocotools would fail
        with pytest.raises(ValueError, match=r"polygons or a run-length code, got \[\]"):
            read(write(small))

    def test_a_mask_is_not_needed_where_none_is_loaded(self, write):
        folder = write(with_annotation(box=(1, 1, 20, 20), segmentation=None))
        assert len(read(folder, pipeline=[])) == 3

    def test_a_box_may_leave_its_image_by_a_pixel(self, write):
        assert len(read(write(with_annotation(box=(-0.9, 0, 61.8, 40.5))))) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            with_annotation(box=(70, 10, 20, 20)),
            r"annotation 8 of 'a\.jpg': bbox .* leaves the image",
        ),
        (with_annotation(box=(50, 10, 20, 20)), r"= \[50, 10, 20, 20\] leaves the image of 60x40"),
        (with_annotation(box=(-5, 10, 20, 20)), "leaves the image of 60x40"),
        (with_annotation(box=(10, 10, 20, 40)), "leaves the image of 60x40"),
        (with_annotation(box=(10, 10, -3, 20)), "width and height of 0 or more, got"),
        (with_annotation(box=(10, 10, 20)), r"bbox must be \[x, y, width, height\], got"),
        (with_annotation(box=(10, 10, float("nan"), 5)), r"bbox must be \[x, y, width, height\]"),
        (with_annotation(box=(10, 10, "a", 5)), r"bbox must be \[x, y, width, height\]"),
        (with_annotation(area=None), "area must be a number of 0 or more, got None"),
        (with_annotation(category=2), "category_id 2, which is none of the file's 2 categories"),
        (with_annotation(category=None), "category_id None, which is none of"),
        (with_annotation(segmentation=[]), r"must be polygons or a run-length code, got \[\]"),
        (with_annotation(segmentation=None), "must be polygons or a run-length code, got None"),
        *(
            (
                with_annotation(segmentation={"size": size, "counts": [2400]}),
                f"size \\[height, width\\] is {re.escape(str(size))}, the image is 60x40",
            )
            for size in ([60, 40], 7, None)
        ),
        *(
            (with_annotation(segmentation=[[1, 1, 9, 1, *end]]), "leaves the image of 60x40 by mor")
            for end in ((2**32 - 1, 9), (9, -(2**31)), (121, 0), (0, 81))
        ),
        (
            change(images=lambda found: [{**found[0], "width": 61}, *found[1:]]),
            r"a\.jpg' is 60x40, the annotation file says 61x40",
        ),
        (change(images=lambda found: [{**found[0], "width": 0}, *found[1:]]), "of 1 or more, got"),
        (with_annotation(area=-1), "area must be a number of 0 or more, got -1"),
        (with_annotation(iscrowd="yes"), "iscrowd must be 0 or 1, got 'yes'"),
        (with_annotation(category=[1]), r"category_id \[1\], which is none of"),
        (with_annotation(box=(1, 2, 2**2000, 4)), r"bbox must be \[x, y, width, height\]"),
        *(
            (with_annotation(segmentation=mask), "a polygon must be .* three points or more, got")
            for mask in (
                [[1, 2, 3, 4]],
                [[1, 2, 3, 4, 5, 6, 7]],
                [["1", 2, 3, 4, 5, 6]],
                [[1, 2, float("nan"), 4, 5, 6]],
                [1, 2, 3, 4, 5, 6],
                [[]],
            )
        ),
        *(
            (
                with_annotation(iscrowd=1, segmentation={"size": [40, 60], "counts": counts}),
                "a run-length code must have runs of 2400 pixels together, got",
            )
            for counts in ([2000], [-1, 2401], "", "é~", "ZZZZZZ9", None, [2400.0])
        ),
        *(
            (
                change(
                    images=lambda found, name=name: [{**found[0], "file_name": name}, *found[1:]]
                ),
                f"the image name '{name}' leads out of the image folder",
            )
            for name in ("/etc/hostname", "../images/a.jpg")
        ),
        (
            change(images=lambda found: [*found[:2], {**found[2], "file_name": "a.jpg"}]),
            r"a\.jpg' is listed twice",
        ),
        (
            change(images=lambda found: [{"id": 1}, *found[1:]]),
            "image 1 needs a file_name, got None",
        ),
    ],
)
def test_a_broken_entry_is_reported_or_left_out_with_its_image(write, said, content, message):
    root = write(content)
    summary = r".* \(1 of 3 images are broken; --skip-broken goes on without\)$"
    with pytest.raises(ValueError, match=message + summary) as caught:
        read(root)
    assert "\n" not in str(caught.value)
    left = read(root, skip_broken=True)
    assert len(left) == 2
    (reason,) = left.skipped.values()
    assert re.search(message, reason)
    assert said == [f"left out: {reason}"]


class TestFiles:
    def test_a_missing_image(self, write):
        root = write()
        (root / "images/b.jpg").unlink()
        with pytest.raises(
            ValueError, match=r"image '.*b\.jpg' does not exist \(1 of 3 images are"
        ):
            read(root)
        left = read(root, skip_broken=True)
        assert [left.get_data_info(i)["img_id"] for i in range(len(left))] == [1, 5]
        assert list(left.skipped) == [str(root / "images/b.jpg")]

    def test_a_truncated_image(self, write):
        root = write()
        path = root / "images/a.jpg"
        path.write_bytes(path.read_bytes()[:-2])
        with pytest.raises(ValueError, match=r"a\.jpg' is truncated: its end is missing"):
            read(root)

    def test_all_images_missing(self, write):
        root = write()
        shutil.rmtree(root / "images")
        (root / "images").mkdir()
        with pytest.raises(ValueError, match=r"does not exist \(3 of 3 images are broken\)"):
            read(root, skip_broken=True)

    def test_no_image_folder(self, write):
        root = write()
        shutil.rmtree(root / "images")
        with pytest.raises(FileNotFoundError, match=r"images' does not exist; give the data set's"):
            read(root)

    def test_no_annotation_file(self, write):
        root = write()
        (root / "truth.json").unlink()
        with pytest.raises(
            FileNotFoundError, match=r"annotation file '.*truth\.json' does not exist"
        ):
            read(root)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is empty"),
            (json.dumps(GOOD)[:-30], "is truncated or no JSON"),
            ("[]", "no COCO annotation file: expected a list 'images'"),
            ('{"images": [], "categories": []}', "expected a list 'annotations'"),
            ('{"images": [3], "annotations": [], "categories": []}', "expected a list 'images'"),
            ('{"images": [], "annotations": [], "categories": []}', "lists no image"),
            ("[" * 100_000, "is nested too deep"),
            ("1" * 5000, "is truncated or no JSON in UTF-8: Exceeds the limit"),
            *(
                (
                    json.dumps(change(images=lambda found, id=id: [{**found[0], "id": id}])),
                    "ids of images must be whole numbers, got",
                )
                for id in ("1", [1], 1.5, None, True, 2**70)
            ),
        ],
    )
    def test_an_annotation_file_that_is_none(self, write, text, message):
        root = write()
        (root / "truth.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            read(root)

    @pytest.mark.parametrize("part", ["images", "annotations", "categories"])
    def test_an_id_that_occurs_twice(self, write, part):
        root = write(change(**{part: lambda found: [*found, found[0]]}))
        with pytest.raises(ValueError, match=rf"ids of {part} must be unique, got again: \d"):
            read(root)

    def test_annotations_of_an_image_that_is_not_listed(self, write):
        root = write(with_annotation(image=77))
        with pytest.raises(
            ValueError, match=r"1 annotations have an image_id .* not list \(annotation id 8\)"
        ):
            read(root)

    def test_no_image_that_can_be_trained_on(self, write):
        root = write(change(annotations=lambda found: []))
        with pytest.raises(ValueError, match="leaves no image: none of its 3 passes filter_cfg"):
            read(root, filter_cfg={"filter_empty_gt": True})


class TestCategories:
    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            (
                ("car", "person", "dog"),
                r"3 categories of the model: 1 are missing \(dog\); give your",
            ),
            (("car", "tree"), r"1 are missing \(tree\); 1 are not the model's \(person\)"),
        ],
    )
    def test_other_than_the_classes(self, write, classes, message):
        with pytest.raises(ValueError, match=message):
            read(write(), classes=classes, num_classes=len(classes))

    def test_other_categories_are_left_out_as_in_mmdet(self, write, caplog):
        from mmdet.datasets import CocoDataset

        root = write()
        place = {
            "data_root": str(root), "ann_file": "truth.json", "data_prefix": {"img": "images"},
            "filter_cfg": {"filter_empty_gt": True, "min_size": 32},
        }  # fmt: skip
        ours = CheckedCocoDataset(classes=("person",), num_classes=1, **place)
        theirs = CocoDataset(metainfo={"classes": ("person",)}, **place)
        assert len(ours) == len(theirs) == 1
        assert ours.get_data_info(0) == theirs.get_data_info(0)
        assert [one["bbox_label"] for one in ours.get_data_info(0)["instances"]] == [0]

    def test_cocos_eighty_are_the_default(self, write):
        with pytest.raises(
            ValueError, match=r"must have the 80 categories of the model: 78 are miss"
        ):
            read(write(), classes=None, num_classes=80)

    def test_a_model_with_another_number(self, write):
        with pytest.raises(ValueError, match="the model has 80 classes, the data set 2; give your"):
            read(write(), num_classes=80)

    def test_a_name_that_occurs_twice(self):
        twice = [{"id": 1, "name": "car"}, {"id": 2, "name": "car"}]
        with pytest.raises(ValueError, match="a name occurs twice"):
            match_categories(twice, ["car"], source="x.json")


def test_a_broken_annotation_is_not_called_small():
    assert not is_too_small({"bbox": [0, 0, -4, 3], "area": 12})
    assert not is_too_small({"bbox": [0, 0, 4], "area": 12})
    assert is_too_small({"bbox": [0, 0, 0, 3], "area": 0})


def test_it_is_found_by_its_name():
    from mmengine.registry import DATASETS

    assert DATASETS.get("stl_backbones.CheckedCocoDataset") is CheckedCocoDataset


@pytest.mark.parametrize("seed", range(8))
def test_run_lengths_are_decoded_as_pycocotools_encodes_them(seed):
    from pycocotools import mask as coco_mask

    rng = np.random.default_rng(seed)
    mask = (rng.random((37, 61)) < rng.random()).astype(np.uint8)
    mask[:seed] = 1
    columns = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(columns, prepend=np.uint8(0)))
    expected = np.diff(edges, prepend=0, append=len(columns)).tolist()
    encoded = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    assert _decode_runs(encoded) == expected


def test_a_file_that_opencv_cannot_decode_is_named_when_it_is_read(write):
    root = write()
    data = read(root, pipeline=[{"type": "LoadImageFromFile"}])
    (root / "images/a.jpg").write_bytes(b"gone bad meanwhile")
    with pytest.raises(ValueError, match=r"images/a\.jpg' is damaged: it cannot be decoded"):
        data[0]
