"""Variables of configs of mmseg and mmdet: what was spelled from them follows, or the option is
refused."""

import pytest

from stl_backbones.config.reading import load_config
from stl_backbones.config.walk import walk

PSPNET = "mmseg::pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-512x1024.py"
RETINANET = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"
RTMDET = "mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py"
MASKS_OF_CITYSCAPES = "mmdet::cityscapes/mask-rcnn_r50_fpn_1x_cityscapes.py"
PARTS = ("model", "dataloader", "evaluator", "cfg", "param_scheduler")


def texts(config, *words):
    """Dotted name -> text, of the texts in the parts that hold one of the words."""
    return {
        ".".join(path): value
        for path, value in walk(config.to_dict())
        if isinstance(value, str)
        and path[0].endswith(PARTS)
        and any(word in value for word in words)
    }


class TestDataRoot:
    def test_of_mmseg(self):
        moved = texts(load_config(PSPNET, options={"data_root": "/x/city"}), "/x/", "data/")
        names = {f"{split}_dataloader.dataset.data_root" for split in ("train", "val", "test")}
        assert moved == dict.fromkeys(names, "/x/city/")

    @pytest.mark.parametrize("way", [{"options": {"data_root": "/x"}}, {"data_root": "/x"}])
    def test_of_mmdet_with_its_evaluators(self, way):
        moved = texts(load_config(RETINANET, **way), "/x", "data/coco")
        roots = {f"{split}_dataloader.dataset.data_root" for split in ("train", "val", "test")}
        files = {"val_evaluator.ann_file", "test_evaluator.ann_file"}
        assert moved.keys() == roots | files
        assert {moved[name] for name in roots} == {"/x/"}
        assert {moved[name] for name in files} == {"/x/annotations/instances_val2017.json"}

    def test_within_wrappers_and_lists(self):
        moved = texts(load_config(MASKS_OF_CITYSCAPES, data_root="/x"), "/x", "data/city")
        assert moved["train_dataloader.dataset.dataset.data_root"] == "/x/"
        assert moved["test_evaluator.1.seg_prefix"] == "/x/gtFine/val"
        assert not [value for value in moved.values() if not value.startswith("/x/")]

    def test_of_ours(self, repo_root):
        config = load_config(repo_root / "configs/det/stl_fan_t_cascade_mask_rcnn_mini.py",
                             data_root="/x")  # fmt: skip
        assert len(texts(config, "/x")) == 5
        assert not texts(config, "data/mini")

    def test_where_the_data_set_alone_states_it(self, write):
        path = write("test_dataloader = dict(dataset=dict(type='A', data_root='d', ann_file='a'))\n"
                     "test_evaluator = dict(type='M', ann_file='d/a')")  # fmt: skip
        assert texts(load_config(path, data_root="/x"), "x") == {
            "test_dataloader.dataset.data_root": "/x",
            "test_evaluator.ann_file": "/x/a",
        }
        with pytest.raises(KeyError, match=r"no 'data_root'; it has test_dataloader.dataset.data_"):
            load_config(path, options={"data_root": "/x"})

    def test_where_nothing_states_it(self, write):
        path = write("test_dataloader = dict(dataset=dict(type='A', ann_file='a.json'))")
        config = load_config(path, data_root="/x")
        assert config.test_dataloader.dataset.data_root == "/x"

    def test_several_folders_are_refused(self, write):
        path = write("test_dataloader = dict(dataset=dict(type='ConcatDataset', datasets=["
                     "dict(type='A', data_root='a'), dict(type='A', data_root='b')]))")  # fmt: skip
        with pytest.raises(ValueError, match=r"lie in several folders, a, b; move them with"):
            load_config(path, data_root="/x")

    def test_without_data_in_use(self, write):
        path = write("train_dataloader = dict(dataset=dict(type='A', data_root='a'))")
        with pytest.raises(ValueError, match="no data to test with"):
            load_config(path, data_root="/x", uses=("test",))


class TestOthers:
    def test_crop_size(self):
        config = load_config(PSPNET, options={"crop_size": (256, 512)})
        assert config.model.data_preprocessor.size == (256, 512)
        assert config.train_dataloader.dataset.pipeline[3].crop_size == (256, 512)
        assert config.train_dataloader.dataset.pipeline[2].scale == (2048, 1024)

    def test_a_part_of_a_dict(self):
        config = load_config(PSPNET, options={"norm_cfg.type": "BN"})
        for part in ("backbone", "decode_head", "auxiliary_head"):
            assert config.model[part].norm_cfg == {"type": "BN", "requires_grad": True}

    def test_two_at_once(self):
        options = {"crop_size": (64, 64), "data_root": "/x", "model.decode_head.num_classes": 3}
        config = load_config(PSPNET, options=options)
        assert config.model.data_preprocessor.size == (64, 64)
        assert config.test_dataloader.dataset.data_root == "/x/"
        assert config.model.decode_head.num_classes == 3

    def test_what_is_computed_from_it(self):
        """The scheduler begins at half of the epochs."""
        config = load_config(RTMDET, options={"max_epochs": 20})
        assert config.train_cfg.max_epochs == 20
        assert (config.param_scheduler[1].begin, config.param_scheduler[1].end) == (10, 20)

    def test_a_preprocessor_that_the_model_states_is_a_variable(self):
        config = load_config(PSPNET, options={"data_preprocessor.size": (64, 64)})
        assert config.model.data_preprocessor.size == (64, 64)

    def test_the_same_value_is_no_error(self):
        load_config(PSPNET, options={"crop_size": (512, 1024)})

    def test_of_a_config_that_imports(self, write):
        write("from mmseg.datasets import CityscapesDataset\nsize = (4, 4)\nroot = 'data/c'\n"
              "test_dataloader = dict(dataset=dict(type=CityscapesDataset, ann_file=root + '/a',"
              "pipeline=[dict(type='Resize', scale=size)]))", "base.py")  # fmt: skip
        path = write("from mmengine.config import read_base\nwith read_base():\n"
                     "    from .base import *\n")  # fmt: skip
        dataset = load_config(path, options={"size": (8, 8), "root": "/x"}).test_dataloader.dataset
        assert (dataset.pipeline[0].scale, dataset.ann_file) == ((8, 8), "/x/a")

    @pytest.mark.parametrize("name", ["max_epochs", "train_pipeline"])
    def test_what_only_training_uses_changes_nothing_of_a_test(self, name):
        with pytest.raises(KeyError, match=rf"{name}: changes nothing that is used here"):
            load_config(RTMDET, options={name: 3}, uses=("test",))

    def test_the_places_to_set_are_named(self, write):
        path = write("kinds = ('a', 'b')\ntest_dataloader = dict(dataset=dict(type='A',"
                     " metainfo=dict(kinds=('a', 'b'))))")  # fmt: skip
        with pytest.raises(KeyError, match=r"; set test_dataloader.dataset.metainfo.kinds$"):
            load_config(path, options={"kinds": ("c", "d")})
        with pytest.raises(KeyError, match=r"in_channels'; it has model.decode_head.in_channels, "):
            load_config(PSPNET, options={"in_channels": 3})

    def test_classes_move_the_data_sets_though_nothing_is_spelled_from_them(self, write):
        path = write("classes = ('a', 'b')\ntest_dataloader = dict(dataset=dict(type='A',"
                     " metainfo=dict(classes=('a', 'b'))))")  # fmt: skip
        config = load_config(path, options={"classes": ("c", "d")})
        assert config.test_dataloader.dataset.metainfo["classes"] == ("c", "d")


class TestUnused:
    def test_parts_of_other_splits_are_not_checked(self, write):
        path = write("train_dataloader = dict(batch_size=0)\noptim_wrapper = dict(optimizer=3)\n"
                     "val_dataloader = None\ntest_dataloader = dict(batch_size=1)")  # fmt: skip
        assert load_config(path, uses=("test",)).test_dataloader.batch_size == 1
        with pytest.raises(ValueError, match=r"train_dataloader\.batch_size must be"):
            load_config(path, uses=("train", "val"))


@pytest.fixture
def write(tmp_path):
    def write(text, name="own.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write
