"""Configs of mmseg and mmdet made fit for scoring: nothing to fetch, stand-ins, augmentation."""

from __future__ import annotations

import copy
import socket
from importlib.util import find_spec

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from stl_backbones.config.openmmlab import (
    contiguous_maps,
    innermost_dataset,
    needed_libraries,
    scoring_model_config,
    strip_pretrained,
    use_stand_ins,
    with_tta,
)
from stl_backbones.config.reading import load_config

FASTER_RCNN = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"
RETINANET = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"
PSPNET = "mmseg::pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-512x1024.py"
PACK = {"type": "PackDetInputs", "meta_keys": ("img_id",)}


class TestStripPretrained:
    def test_at_every_depth(self):
        source = {"type": "Pretrained", "checkpoint": "https://x/y.pth"}
        model = ConfigDict(
            type="Detector",
            init_cfg=source,
            pretrained="open-mmlab://resnet50",
            teacher_ckpt="https://x/z.pth",
            backbone={"type": "ResNet", "depth": 50, "num_cp": 6, "init_cfg": [source]},
            heads=[{"type": "A", "loss": {"init_cfg": source, "weight": 1}}, (1, 2)],
        )
        before = copy.deepcopy(model)
        assert strip_pretrained(model) == {
            "type": "Detector",
            "backbone": {"type": "ResNet", "depth": 50},
            "heads": [{"type": "A", "loss": {"weight": 1}}, (1, 2)],
        }
        assert model == before

    @pytest.mark.parametrize("kind", ["TIMMBackbone", "mmpretrain.TIMMBackbone"])
    @pytest.mark.parametrize("given", [{"pretrained": True}, {}])
    def test_a_switch_is_off(self, kind, given):
        assert strip_pretrained({"type": kind, **given}) == {"type": kind, "pretrained": False}

    @pytest.mark.parametrize(
        "name",
        [
            "mmdet::ld/ld_r18-gflv1-r101_fpn_1x_coco.py",  # a teacher, fetched when it is built
            "mmdet::timm_example/retinanet_timm-tv-resnet50_fpn_1x_coco.py",
            # norms over processes
            "mmdet::simple_copy_paste/mask-rcnn_r50_fpn_rpn-2conv_4conv1fc_syncbn-all_32xb2-ssj-270k_coco.py",
            "mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py",
        ],
    )
    @pytest.mark.filterwarnings("ignore::UserWarning")  # the libraries', on their own configs
    def test_building_fetches_nothing(self, name, monkeypatch):
        def refuse(*_arguments, **_options):
            raise AssertionError("fetched")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        config = load_config(name)
        init_default_scope(config.default_scope)
        model = MODELS.build(scoring_model_config(config))
        assert sum(parameter.numel() for parameter in model.parameters()) > 1e6


class TestModelConfig:
    def test_the_top_levels_preprocessor_is_the_models(self):
        config = Config({"model": {"type": "A"}, "data_preprocessor": {"type": "P", "mean": [0]}})
        assert scoring_model_config(config).data_preprocessor == {"type": "P", "mean": [0]}
        assert "data_preprocessor" not in config.model

    def test_the_models_own_comes_first(self):
        own = {"type": "A", "data_preprocessor": {"type": "Q"}}
        config = Config({"model": own, "data_preprocessor": {"type": "P"}})
        assert scoring_model_config(config).data_preprocessor.type == "Q"

    def test_no_model(self):
        with pytest.raises(ValueError, match="the config has no model"):
            scoring_model_config(Config({"x": 1}))


class TestStandIns:
    def settings(self, *kinds):
        return Config(
            {
                "custom_imports": {"imports": ["mmpretrain.models", "own"]},
                "model": {"type": "EncoderDecoder", "parts": [{"type": kind} for kind in kinds]},
            }
        )

    @pytest.mark.skipif(find_spec("mmpretrain") is not None, reason="mmpretrain is installed")
    def test_where_mmpretrain_is_absent(self):
        config = self.settings("mmpretrain.ConvNeXt", "mmpretrain.TIMMBackbone", "FPN")
        use_stand_ins(config)
        kinds = [part.type for part in config.model.parts]
        assert kinds == ["stl_backbones.ConvNeXt", "mmseg.TIMMBackbone", "FPN"]
        assert config.custom_imports.imports == ["own"]
        assert needed_libraries(config) == ()

    @pytest.mark.skipif(find_spec("mmpretrain") is not None, reason="mmpretrain is installed")
    def test_what_is_not_here_is_still_imported(self):
        config = self.settings("mmpretrain.ConvNeXt", "mmpretrain.PoolFormer")
        use_stand_ins(config)
        assert needed_libraries(config) == ("mmpretrain",)
        assert config.custom_imports.imports == ["mmpretrain.models", "own"]

    def test_where_mmpretrain_is_there(self, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: object())
        config = self.settings("mmpretrain.ConvNeXt")
        before = copy.deepcopy(config.to_dict())
        use_stand_ins(config)
        assert config.to_dict() == before


class TestAugmentation:
    def test_mmsegs_configs_state_it(self):
        config = load_config(PSPNET)
        before = copy.deepcopy(config.to_dict())
        augmented = with_tta(config)
        assert config.to_dict() == before
        assert augmented.model == {"type": "SegTTAModel", "module": config.model}
        assert augmented.test_dataloader.dataset.pipeline == config.tta_pipeline

    def test_detectors_get_the_image_and_its_mirror_image(self):
        """As mmdet's tools/test.py does."""
        config = load_config(FASTER_RCNN)
        augmented = with_tta(config)
        nms = {"nms": {"type": "nms", "iou_threshold": 0.5}, "max_per_img": 100}
        assert augmented.model == {"type": "DetTTAModel", "tta_cfg": nms, "module": config.model}
        pipeline = config.test_dataloader.dataset.pipeline
        flips = [{"type": "RandomFlip", "prob": 1.0}, {"type": "RandomFlip", "prob": 0.0}]
        last = {"type": "TestTimeAug", "transforms": [flips, [{"type": "PackDetInputs"}]]}
        assert augmented.test_dataloader.dataset.pipeline == [*pipeline[:-1], last]

    def test_a_detectors_own_comes_first(self):
        config = load_config(RETINANET)
        config.tta_model = {"type": "DetTTAModel", "tta_cfg": {"max_per_img": 7}}
        config.tta_pipeline = [{"type": "LoadImageFromFile"}, PACK]
        augmented = with_tta(config)
        assert augmented.model.tta_cfg == {"max_per_img": 7}
        assert augmented.test_dataloader.dataset.pipeline == config.tta_pipeline

    def test_masks_are_refused(self):
        with pytest.raises(ValueError, match="mmdet merges boxes only, no masks"):
            with_tta(load_config("mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"))

    def test_a_config_without_it(self):
        config = load_config(PSPNET)
        config.pop("tta_pipeline")
        with pytest.raises(ValueError, match=r"augmentation: the config has no tta_pipeline$"):
            with_tta(config)

    def test_wrapped_data_sets(self):
        inner = {"type": "CocoDataset", "pipeline": [{"type": "LoadImageFromFile"}, PACK]}
        config = load_config(FASTER_RCNN)
        config.test_dataloader.dataset = {"type": "RepeatDataset", "times": 1, "dataset": inner}
        augmented = with_tta(config)
        assert innermost_dataset(augmented).pipeline[-1].type == "TestTimeAug"
        assert innermost_dataset(config).pipeline == inner["pipeline"]

    @pytest.mark.parametrize(
        ("dataset", "message"),
        [
            (
                {"type": "ConcatDataset", "datasets": [{}, {}]},
                "a union of 2 data sets; expected one",
            ),
            ({"type": "CocoDataset"}, "the test data set CocoDataset has no pipeline"),
        ],
    )
    def test_data_without_one_pipeline(self, dataset, message):
        config = Config({"test_dataloader": {"dataset": {"type": "R", "dataset": dataset}}})
        with pytest.raises(ValueError, match=message):
            innermost_dataset(config)

    def test_without_test_data(self):
        with pytest.raises(ValueError, match="no test_dataloader"):
            with_tta(Config({"model": {"type": "A"}}))

    def test_the_weights_are_the_inner_models(self):
        config = with_tta(load_config(RETINANET))
        init_default_scope("mmdet")
        with torch.device("meta"):
            model = MODELS.build(scoring_model_config(config))
        assert isinstance(model, nn.Module)
        assert all(name.startswith("module.") for name in model.state_dict())


def test_roi_extractors_see_contiguous_maps():
    """Else mmcv's RoIAlign mixes up the pixels of channels-last maps, and says nothing."""
    from mmdet.models import SingleRoIExtractor

    torch.manual_seed(0)
    maps = [torch.randn(1, 8, 16, 16)]
    rois = torch.tensor([[0.0, 3.0, 5.0, 40.0, 50.0]])
    last = [part.contiguous(memory_format=torch.channels_last) for part in maps]
    extractor = SingleRoIExtractor(
        roi_layer={"type": "RoIAlign", "output_size": 7, "sampling_ratio": 0},
        out_channels=8,
        featmap_strides=[4],
    )
    expected = extractor(maps, rois)
    assert not torch.equal(extractor(last, rois), expected)  # or the hook were needless
    contiguous_maps(torch.nn.Sequential(extractor))
    assert torch.equal(extractor(last, rois), expected)
    assert torch.equal(extractor(feats=last, rois=rois), expected)
