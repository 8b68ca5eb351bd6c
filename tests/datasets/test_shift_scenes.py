"""Street scenes and boxes in the exact layouts of their archives, small."""

import json

import numpy as np
import pytest
from PIL import Image

from stl_backbones.datasets.shift_boxes import BDD_CLASSES, find_boxes
from stl_backbones.datasets.shift_scenes import find_scenes
from stl_backbones.errors import InputError
from stl_backbones.shift_sets import SHIFT_SETS


def write(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 16), np.uint8)).save(path)


def scenes(name, root):
    return find_scenes(SHIFT_SETS[name], root, allow_missing=True)


def pairs(found):
    return [tuple(path.relative_to(found.root).as_posix() for path in pair) for pair in found.pairs]


@pytest.fixture
def acdc(tmp_path):
    """Fog and night of val, a reference with labels, and what is no input."""
    for condition in ("fog", "night"):
        frame = f"{condition}/val/GP01/GP01_frame_000001"
        write(tmp_path, f"rgb_anon/{frame}_rgb_anon.png", f"gt/{frame}_gt_labelTrainIds.png",
              f"gt/{frame}_gt_invIds.png")  # fmt: skip
        write(tmp_path, f"rgb_anon/{condition}/train/GP01/GP01_frame_000009_rgb_anon.png")
    write(tmp_path, "rgb_anon/fog/val/GP01/GP01_frame_000001_rgb_ref_anon.png")  # no input
    reference = "fog/val_ref/GP01/GP01_frame_000001"
    write(tmp_path, f"rgb_anon/{reference}_rgb_ref_anon.png",
          f"gt/{reference}_gt_ref_labelTrainIds.png")  # fmt: skip
    return tmp_path


def test_acdc(acdc):
    """References are no inputs; those with labels are the clean partner."""
    found, clean = scenes("acdc", acdc)
    assert pairs(found)[0] == (
        "rgb_anon/fog/val/GP01/GP01_frame_000001_rgb_anon.png",
        "gt/fog/val/GP01/GP01_frame_000001_gt_labelTrainIds.png",
    )
    assert list(found.conditions["condition"].values()) == ["fog", "night"]
    assert [one[0] for one in pairs(clean)] == [
        "rgb_anon/fog/val_ref/GP01/GP01_frame_000001_rgb_ref_anon.png"
    ]
    assert (found.total, clean.name) == (406, "acdc-clean")


def test_half_a_set_and_another_tree(acdc, tmp_path):
    with pytest.raises(ValueError, match="not all of ACDC val: 2 images of 406; --allow-missing"):
        find_scenes(SHIFT_SETS["acdc"], acdc)
    (tmp_path / "split").mkdir()  # flattened by others
    with pytest.raises(FileNotFoundError, match="not laid out as ACDC val's archives: expected"):
        scenes("acdc", tmp_path / "split")
    (acdc / "gt/fog/val/GP01/GP01_frame_000001_gt_labelTrainIds.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 1 images have no label map"):
        scenes("acdc", acdc)


def test_dark_zurich_and_nighttime_driving(tmp_path):
    frame = "val/night/GP02/GP02_frame_000001"
    write(tmp_path, f"rgb_anon/{frame}_rgb_anon.png", f"gt/{frame}_gt_labelTrainIds.png",
          "rgb_anon/val_ref/day/GP02_ref/GP02_frame_1_ref_rgb_anon.png")  # fmt: skip
    assert len(pairs(scenes("dark-zurich", tmp_path)[0])) == 1
    labels = "gtCoarse_daytime_trainvaltest/test/night/0_gtCoarse_labelTrainIds.png"
    write(tmp_path / "NighttimeDrivingTest", "leftImg8bit/test/night/0_leftImg8bit.png", labels)
    assert len(scenes("nighttime-driving", tmp_path)[0].pairs) == 1


def test_foggy_zurich_is_read_by_its_list(tmp_path):
    for name in ("A/1", "A/2"):
        write(tmp_path, f"RGB/{name}.png", f"gt_labelTrainIds/{name}.png")
    with pytest.raises(FileNotFoundError, match=r"testv2's list .*RGB_testv2_filenames.txt"):
        scenes("foggy-zurich-testv2", tmp_path)
    (tmp_path / "lists_file_names").mkdir()
    (tmp_path / "lists_file_names/RGB_testv2_filenames.txt").write_text("RGB/A/2.png\n")
    (found,) = scenes("foggy-zurich-testv2", tmp_path)
    assert pairs(found) == [("RGB/A/2.png", "gt_labelTrainIds/A/2.png")]


@pytest.mark.parametrize(
    ("name", "folder", "mark"),
    [("foggy-cityscapes", "leftImg8bit_foggy", "foggy"),
     ("foggy-cityscapes-dbf", "leftImg8bit_foggyDBF", "foggy"),
     ("foggy-cityscapes-dbf", "leftImg8bit_foggyDBF", "foggyDBF")],
)  # fmt: skip
def test_foggy_cityscapes_three_strengths(name, folder, mark, tmp_path):
    stem = "bonn/bonn_000001_000019"
    for beta in ("0.005", "0.01", "0.02"):
        write(tmp_path, f"{folder}/val/{stem}_leftImg8bit_{mark}_beta_{beta}.png")
    write(tmp_path, f"gtFine/val/{stem}_gtFine_labelIds.png")
    (found,) = scenes(name, tmp_path)
    assert list(found.conditions["beta"].values()) == ["0.005", "0.01", "0.02"]
    assert {label.name for _, label in found.pairs} == {"bonn_000001_000019_gtFine_labelIds.png"}
    assert found.label_ids == "cityscapes"


def test_rain_cityscapes_has_its_own_clean_images(tmp_path):
    stem = "bonn/bonn_000001_000019"
    for pattern in (1, 2):
        write(tmp_path, f"leftImg8bit_rain/val/{stem}_leftImg8bit_rain_alpha_0.02_beta_0.01_"
              f"dropsize_0.005_pattern_{pattern}.png")  # fmt: skip
    write(tmp_path, f"gtFine/val/{stem}_gtFine_labelTrainIds.png",
          f"leftImg8bit/val/{stem}_leftImg8bit.png",
          "leftImg8bit/val/ulm/ulm_1_leftImg8bit.png")  # fmt: skip
    found, clean = scenes("rain-cityscapes", tmp_path)
    assert len(found.pairs) == 2
    assert [one[0] for one in pairs(clean)] == [f"leftImg8bit/val/{stem}_leftImg8bit.png"]


def test_bdd100k_takes_attributes_by_name_and_keeps_those_without(tmp_path):
    write(tmp_path, "images/10k/val/a.jpg", "labels/sem_seg/masks/val/a.png",
          "images/10k/val/b.jpg", "labels/sem_seg/masks/val/b.png")  # fmt: skip
    (tmp_path / "labels/det_20").mkdir()
    frames = [{"name": "a.jpg", "attributes": {"weather": "foggy", "timeofday": "night"}}]
    (tmp_path / "labels/det_20/det_train.json").write_text(json.dumps(frames))
    (found,) = scenes("bdd100k-seg", tmp_path)
    assert list(found.conditions["weather"].values()) == ["foggy", "no attribute"]
    write(tmp_path / "old", "seg/images/val/a.jpg", "seg/labels/val/a_train_id.png")
    assert scenes("bdd100k-seg", tmp_path / "old")[0].conditions == {}


def test_bdd100k_boxes(tmp_path):
    write(tmp_path, "images/100k/val/a.jpg", "images/100k/val/b.jpg")
    box = {"x1": 1, "y1": 2, "x2": 4, "y2": 7}
    labels = [
        {"category": "person", "box2d": box, "attributes": {"crowd": False}},
        {"category": "other vehicle", "box2d": box},
        {"category": "drivable area"},
    ]
    frames = [{"name": "a.jpg", "attributes": {"weather": "rainy", "timeofday": "night"},
               "labels": labels}, {"name": "b.jpg"}]  # fmt: skip
    (tmp_path / "labels/det_20").mkdir(parents=True)
    (tmp_path / "labels/det_20/det_val.json").write_text(json.dumps(frames))
    found = find_boxes(SHIFT_SETS["bdd100k-det"], tmp_path, allow_missing=True)
    first, ignored = found.content["annotations"]
    assert (first["bbox"], first["iscrowd"]) == ([1, 2, 4, 6], 0)  # both ends are in the box
    assert BDD_CLASSES[first["category_id"] - 1] == "pedestrian"
    assert (BDD_CLASSES[ignored["category_id"] - 1], ignored["iscrowd"]) == ("car", 1)
    assert found.conditions["weather"] == {"a.jpg": "rainy", "b.jpg": "no attribute"}
    with pytest.raises(ValueError, match="not all of BDD100K detection val: 2 images of 10000"):
        find_boxes(SHIFT_SETS["bdd100k-det"], tmp_path)


BOX = {"x1": 1, "y1": 2, "x2": 4, "y2": 7}


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("[" * 100_000, "is nested too deep"),
        ({"name": 3}, "is no list of frames"),
        ({"name": "../a.jpg"}, "is no list of frames"),
        ({"name": "a.jpg", "attributes": [1]}, "is no list of frames"),
        ({"name": "a.jpg", "labels": {"category": "car"}}, "is no list of frames"),
        ({"name": "a.jpg", "labels": [3]}, "is no list of frames"),
        ({"name": "a.jpg", "labels": [{"category": "car", "attributes": 3}]}, "no list of frames"),
        ({"name": "a.jpg", "labels": [{"box2d": BOX}]}, "has category 'None'"),
        ({"name": "a.jpg", "labels": [{"category": ["car"], "box2d": BOX}]}, "has category"),
        ({"name": "a.jpg", "labels": [{"category": "car", "box2d": {"x1": 1}}]}, "has box2d"),
        ({"name": "a.jpg", "labels": [{"category": "car", "box2d": [1, 2, 4, 7]}]}, "has box2d"),
        ({"name": "a.jpg", "labels": [{"category": "car", "box2d": {**BOX, "x2": "4"}}]}, "box2d"),
        ({"name": "a.jpg", "labels": [{"category": "car", "box2d": {**BOX, "x2": 1e400}}]},
         "has box2d"),
    ],
)  # fmt: skip
def test_bdd100k_label_files_that_are_none(tmp_path, frame, message):
    write(tmp_path, "images/100k/val/a.jpg")
    (tmp_path / "labels/det_20").mkdir(parents=True)
    text = frame if isinstance(frame, str) else json.dumps([frame])
    (tmp_path / "labels/det_20/det_val.json").write_text(text)
    with pytest.raises(InputError, match=message):
        find_boxes(SHIFT_SETS["bdd100k-det"], tmp_path, allow_missing=True)


def test_an_image_of_bdd100k_that_is_none(tmp_path):
    (tmp_path / "images/100k/val").mkdir(parents=True)
    (tmp_path / "images/100k/val/a.jpg").write_bytes(b"nothing")
    (tmp_path / "labels/det_20").mkdir(parents=True)
    (tmp_path / "labels/det_20/det_val.json").write_text('[{"name": "a.jpg"}]')
    with pytest.raises(InputError, match=r"a\.jpg' is no image"):
        find_boxes(SHIFT_SETS["bdd100k-det"], tmp_path, allow_missing=True)


def test_coco_o_says_what_it_expects(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="COCO-O's archive: expected 'tattoo/val2017' in it"
    ):
        find_boxes(SHIFT_SETS["coco-o-tattoo"], tmp_path)
