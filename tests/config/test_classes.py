"""``classes`` and ``num_classes``: every place of model and data sets moves with them."""

import pytest

from stl_backbones.config.reading import load_config
from stl_backbones.errors import InputError

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def read(repo_root):
    def read(path, **options):
        name = path if "::" in path else repo_root / "configs" / path
        return load_config(name, options=options)

    return read


def data_sets(config):
    return [config[f"{split}_dataloader"].dataset for split in SPLITS]


def test_names_alone_are_enough_in_segmentation(read):
    config = read("seg/stl_fan_t_mini.py", classes=("car", "pond"))
    assert config.model.decode_head.num_classes == 2
    assert [(one.classes, one.num_classes) for one in data_sets(config)] == 3 * [
        (("car", "pond"), 2)
    ]


def test_a_number_alone_too(read):
    config = read("seg/stl_fan_t_mini.py", num_classes=11)
    assert config.model.decode_head.num_classes == 11
    assert [one.num_classes for one in data_sets(config)] == [11] * 3


def test_every_head_of_a_cascade_but_the_one_that_sees_things_only(read):
    config = read("det/stl_fan_t_cascade_mask_rcnn_coco.py", classes=("cat", "dog", "cow"))
    heads = config.model.roi_head
    assert [head.num_classes for head in (*heads.bbox_head, heads.mask_head)] == [3] * 4
    assert "num_classes" not in config.model.rpn_head
    assert [(one.classes, one.num_classes) for one in data_sets(config)] == 3 * [
        (("cat", "dog", "cow"), 3)
    ]


def test_a_classifier_and_what_mixes_its_labels(read):
    config = read("cls/stl_fan_t_mini_student.py", num_classes=4)
    assert (config.model.num_classes, config.model.data_preprocessor.num_classes) == (4, 4)
    assert [one.num_classes for one in data_sets(config)] == [4] * 3


def test_an_auxiliary_head_of_a_config_of_mmseg(read):
    config = read("mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py",
                  classes=("road", "car"))  # fmt: skip
    heads = (config.model.decode_head, config.model.auxiliary_head)
    assert [head.num_classes for head in heads] == [2, 2]
    assert [one.metainfo["classes"] for one in data_sets(config)] == [("road", "car")] * 3


def test_a_config_of_mmdet(read):
    config = read("mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", classes=("cat", "dog"))
    assert config.model.roi_head.bbox_head.num_classes == 2
    assert [one.metainfo["classes"] for one in data_sets(config)] == [("cat", "dog")] * 3


def test_weights_that_a_variable_spells_out_follow(read):
    """Mask2Former's weight of each class and of none."""
    config = read("mmseg::mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py",
                  num_classes=5)  # fmt: skip
    assert config.model.decode_head.num_classes == 5
    assert config.model.decode_head.loss_cls.class_weight == [1.0] * 5 + [0.1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 3, "classes": ("a", "b")}, r"num_classes=3, but classes names 2: a, b"),
        ({"classes": "car"}, r"""expected "\('a','b'\)", got 'car'"""),
        ({"classes": ("a", "b", "a")}, r"'a' stands there twice"),
        ({"num_classes": 0}, r"expected a number above 0, got '0'"),
        ({"num_classes": "many"}, r"expected a number above 0, got 'many'"),
    ],
)
def test_what_is_refused(read, options, message):
    with pytest.raises(InputError, match=message):
        read("seg/stl_fan_t_mini.py", **options)
