"""Label maps of other numbers than the classes', and Cityscapes' own as they are downloaded."""

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.datasets import CityscapesDataset
from PIL import Image

from stl_backbones.datasets.cityscapes import CheckedCityscapesDataset
from stl_backbones.datasets.label_ids import CITYSCAPES, label_table
from stl_backbones.errors import InputError, MissingFileError

STEPS = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAnnotations"},
    {"type": "stl_backbones.CheckSegMap"},
    {"type": "PackSegInputs"},
]


@pytest.fixture
def read(tmp_path):
    """Writes a label map and its image, and reads the map by the data set."""
    import stl_backbones.datasets.transforms  # noqa: F401  registers the check

    init_default_scope("mmseg")

    def read(labels, suffix="_gtFine_labelTrainIds.png", image="_leftImg8bit.png", **settings):
        for folder, end in (("images", image), ("labels", suffix)):
            (tmp_path / folder).mkdir(exist_ok=True)
            pixels = np.resize(np.asarray(labels, np.uint8), (8, 8))
            rgb = np.stack([pixels] * 3, axis=-1) if folder == "images" else pixels
            Image.fromarray(rgb).save(tmp_path / folder / f"one{end}")
        data = CheckedCityscapesDataset(
            data_root=str(tmp_path), pipeline=STEPS,
            data_prefix={"img_path": "images", "seg_map_path": "labels"}, **settings,
        )  # fmt: skip
        found = np.asarray(data[0]["data_samples"].gt_sem_seg.data).ravel()[: len(labels)]
        return found.tolist(), data.metainfo["classes"]

    return read


def test_the_ids_of_a_download_become_train_ids(read):
    """By cityscapesScripts' labels.py: 7 is road (0), 26 car (13), 33 bicycle (18), 4 static."""
    found, classes = read([7, 26, 33, 4, 0, 1], "_gtFine_labelIds.png", label_ids="cityscapes")
    assert found == [0, 13, 18, 255, 255, 255]
    assert (classes[0], classes[13], classes[18]) == ("road", "car", "bicycle")


def test_kittis_files_have_other_names(read):
    found, _ = read([7, 24, 3], "_10.png", "_10.png", label_ids="kitti",
                    img_suffix="_10.png", seg_map_suffix="_10.png")  # fmt: skip
    assert found == [0, 11, 255]


def test_every_train_id_has_one_label():
    table = label_table("cityscapes")
    assert [table[label] for label in CITYSCAPES] == list(range(19))
    assert {table[label] for label in set(range(256)) - set(CITYSCAPES)} == {255}
    assert len(CityscapesDataset.METAINFO["classes"]) == len(CITYSCAPES)


def test_labels_of_ones_own(read):
    found, classes = read([3, 100, 20, 1], label_ids=(3, 20, 100), classes=("a", "b", "c"))
    assert (found, classes) == ([0, 2, 1, 255], ("a", "b", "c"))


def test_some_classes_of_a_download(read):
    """``metainfo`` chooses by name, as in mmseg, after the ids have become train ids."""
    found, _ = read([7, 26, 24], "_gtFine_labelIds.png", label_ids="cityscapes",
                    metainfo={"classes": ("car", "road")})  # fmt: skip
    assert found == [1, 0, 255]


def test_a_number_without_names(read):
    found, classes = read([0, 3, 255], num_classes=4)
    assert (found, classes) == ([0, 3, 255], ("0", "1", "2", "3"))


def test_a_download_that_is_read_as_train_ids_is_named(read):
    message = r"labelTrainIds.png' does not exist; .*one_gtFine_labelIds.png' is there; .*label_ids"
    with pytest.raises(MissingFileError, match=message):
        read([7, 26], "_gtFine_labelIds.png")


def test_ids_under_the_name_of_train_ids_are_named(read):
    with pytest.raises(InputError, match=r"got \[26, 33\]; .*with --cfg-options label_ids=city"):
        read([7, 26, 33])
    with pytest.raises(InputError, match=r"got \[26\]; give the files' label of each class"):
        read([0, 26], num_classes=3)


@pytest.mark.parametrize("wrong", ["citiscapes", (7, 7), (7, 300), (1.5,)])
def test_what_is_refused(wrong):
    with pytest.raises(InputError, match="label_ids must be"):
        label_table(wrong)


def test_clutter_is_no_image_and_no_lost_one(read, tmp_path):
    """A notebook's copies are not listed, nor are label maps missed that they have not."""
    read([0, 1])
    for folder, end in (("images", "_leftImg8bit"), ("labels", "_gtFine_labelTrainIds")):
        for clutter in (".ipynb_checkpoints", "__MACOSX"):
            (tmp_path / folder / clutter).mkdir()
            content = (tmp_path / folder / f"one{end}.png").read_bytes()
            (tmp_path / folder / clutter / f"{folder}{end}.png").write_bytes(content)
            (tmp_path / folder / clutter / f"two{end}.png").write_bytes(content)
    data = CheckedCityscapesDataset(
        data_root=str(tmp_path), pipeline=STEPS,
        data_prefix={"img_path": "images", "seg_map_path": "labels"},
    )  # fmt: skip
    assert len(data) == 1
    assert not data.skipped
