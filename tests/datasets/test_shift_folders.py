"""Sets of other images in the exact layouts of their archives, small."""

import json
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from stl_backbones.datasets.imagenet_classes import imagenet_wnids
from stl_backbones.datasets.shift_folders import find_sets, missing_of, open_set
from stl_backbones.shift_sets import CATEGORIES, SHIFT_SETS, check_may_show, cues_of

WNIDS = imagenet_wnids()
V2 = "imagenet-v2-matched-frequency"


def write(path, side=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side, 3), 90, np.uint8)).save(path)


def opened(name, root):
    return open_set(SHIFT_SETS[name], root, option="--sets")


def classes_of(found):
    """Class folder of each image -> its class."""
    folder = found.folder
    return {folder.key(n).split("/")[0]: folder.class_name(n) for n in range(len(folder))}


@pytest.mark.parametrize(
    "folders",
    [("0", "1", "2", "10", "100"), ("0000", "0001", "0002", "0010", "0100"),
     tuple(WNIDS[n] for n in (0, 1, 2, 10, 100))],
)  # fmt: skip
def test_v2_folders_are_label_numbers_and_not_sorted_as_text(tmp_path, folders):
    for name in folders:
        write(tmp_path / name / "1234abcd.jpeg")
    found = opened(V2, tmp_path)
    expected = (0, 1, 2, 10, 100)
    assert classes_of(found) == {n: WNIDS[k] for n, k in zip(folders, expected, strict=True)}
    assert missing_of(SHIFT_SETS[V2], found) == "5 classes have not 10 images (n01440764 has 1)"


def test_v2_forms_are_not_mixed(tmp_path):
    for name in ("0", "100", WNIDS[2]):
        write(tmp_path / name / "1.jpeg")
    with pytest.raises(ValueError, match=r"mixes folders that are label numbers \(0, 100\)"):
        opened(V2, tmp_path)


def test_a_set_given_as_another(tmp_path):
    root = tmp_path / "imagenetv2-top-images-format-val"
    write(root / "0/1.jpeg")
    with pytest.raises(ValueError, match="called as the folder of ImageNet-V2 top-images, not"):
        opened(V2, root)
    for wnid in WNIDS[:2]:
        write(tmp_path / "s" / wnid / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(ValueError, match="2 of 2 images that are not named as ImageNet-Sketch's"):
        opened("imagenet-sketch", tmp_path / "s")


@pytest.mark.parametrize(("images", "is_whole"), [(50_000, True), (50_889, True), (50_888, False)])
def test_each_published_count_of_sketch_is_complete(images, is_whole):
    """50 of a class, 51 of the first few."""
    more = images - 50_000
    folder = mock.MagicMock(class_name=lambda n: n // 51 if n < 51 * more else (n - more) // 50)
    folder.__len__.return_value = images
    found = missing_of(SHIFT_SETS["imagenet-sketch"], mock.Mock(folder=folder))
    assert found == ("" if is_whole else "50888 images of 50889")


@pytest.fixture
def objectnet(tmp_path):
    """Three of ObjectNet's folders, of which one is no class of ImageNet."""
    root = tmp_path / "objectnet-1.0"
    names = [f"name {index}" for index in range(1000)]
    files = {
        "folder_to_objectnet_label.json": {
            "alarm_clock": "Alarm clock", "backpack": "Backpack", "air_freshener": "Air freshener"
        },
        "objectnet_to_imagenet_1k.json": {
            "Alarm clock": "name 409; name 530", "Backpack": "name 414"
        },
        "pytorch_to_imagenet_2012_id.json": {str(n): 999 - n for n in range(1000)},
    }  # fmt: skip
    for name in ("alarm_clock", "backpack", "air_freshener"):
        write(root / "images" / name / "0123456789abcde.png")
    (root / "mappings").mkdir()
    for name, content in files.items():
        (root / "mappings" / name).write_text(json.dumps(content))
    lines = "\n".join(names[::-1])  # line of a name: 999 - its index
    (root / "mappings/imagenet_to_label_2012_v2").write_text(f"{lines}\n")
    return root


def test_objectnets_mappings(objectnet):
    found = opened("objectnet-113-argmax", objectnet)
    assert found.classes == ("alarm_clock", "backpack")
    assert found.groups == ((409, 530), (414,))
    assert classes_of(found) == {"alarm_clock": "alarm_clock", "backpack": "backpack"}
    assert missing_of(SHIFT_SETS["objectnet-113-cut"], found) == "2 images of 18574"
    assert SHIFT_SETS["objectnet-113-cut"].border == 2
    (objectnet / "mappings/pytorch_to_imagenet_2012_id.json").unlink()
    with pytest.raises(FileNotFoundError, match="expected the archive's folder, with images/"):
        opened("objectnet-113-cut", objectnet)


def test_stylized_is_below_val(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected 'val' in it"):
        opened("stylized-imagenet", tmp_path)
    for wnid in WNIDS[3:5]:
        write(tmp_path / "val" / wnid / "ILSVRC2012_val_00000001.png")
    assert set(classes_of(opened("stylized-imagenet", tmp_path))) == set(WNIDS[3:5])


def test_cue_conflict():
    assert sum(map(len, CATEGORIES.values())) == 207  # of the authors' mapping
    assert cues_of("cat/cat7-elephant2.png") == ("cat", "elephant")
    with pytest.raises(ValueError, match="no cue-conflict image: expected a name such as"):
        cues_of("cat/cat7.png")


def test_folders_are_recognised_by_their_names(objectnet, tmp_path):
    for name in ("imagenet-a", "imagenetv2-threshold0.7-format-val", "sketch", "other"):
        (tmp_path / name).mkdir()
    names = ["imagenet-a", "imagenet-v2-threshold0.7", "imagenet-sketch", "objectnet-113-argmax",
             "objectnet-113-cut"]  # fmt: skip
    assert list(find_sets([tmp_path], "classification")) == names
    assert find_sets([f"imagenet-r={tmp_path / 'other'}"], "classification") == {
        "imagenet-r": tmp_path / "other"
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{}/none", "--sets '.*none' does not exist"),
        ("{}/other", "no folder is called as a set's archive unpacks.*NAME=DIR"),
        ("imagenet-b={}/other", "unknown set of other images 'imagenet-b'; did you mean"),
    ],
)
def test_what_is_no_set(given, message, tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises((ValueError, KeyError, FileNotFoundError), match=message):
        find_sets([given.format(tmp_path)], "classification")


def test_three_variants_have_a_folder_each(tmp_path):
    """One folder is not scored as all three."""
    names = [f"imagenetv2-{v}-format-val" for v in ("matched-frequency", "threshold0.7")]
    for name in names:
        (tmp_path / name).mkdir()
    for root in (tmp_path, tmp_path / names[0]):
        with pytest.raises(FileNotFoundError, match=r"lacks folders of .*imagenet-v2-top-images"):
            find_sets([f"imagenet-v2={root}"], "classification")
    (tmp_path / "imagenetv2-top-images").mkdir()
    found = find_sets([f"imagenet-v2={tmp_path}"], "classification")
    assert found[V2] == tmp_path / names[0]
    assert len(found) == 3


def test_a_link_is_known_by_its_own_name(tmp_path):
    (tmp_path / "shifts").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "shifts/imagenet-a").symlink_to(tmp_path / "disk")
    assert list(find_sets([tmp_path / "shifts"], "classification")) == ["imagenet-a"]


def test_objectnet_is_never_shown():
    check_may_show("mine", ["cup/a.png", "cup/0123456789abcde.jpg"])
    with pytest.raises(ValueError, match=r"images of ObjectNet .* are never shown"):
        check_may_show("mine", ["cup/a.png", "cup/0123456789abcde.png"])


def test_a_set_given_twice(tmp_path):
    (tmp_path / "imagenet-a").mkdir()
    with pytest.raises(ValueError, match="--sets has imagenet-a twice"):
        find_sets([tmp_path, f"imagenet-a={tmp_path}"], "classification")
