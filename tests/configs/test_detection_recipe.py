"""The detection configs state the paper's recipe, and their variables reach every place."""

from pathlib import Path

import pytest
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from stl_backbones.config.reading import load_config
from stl_backbones.models import VARIANTS

DET = Path(__file__).parents[2] / "configs/det"
SIZES = {"t": "tiny", "s": "small", "b": "base", "l": "large"}
SHORT_SIDES = list(range(480, 801, 32))
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def coco(size):
    return DET / f"stl_fan_{size}_cascade_mask_rcnn_coco.py"


@pytest.fixture(scope="module")
def base():
    return load_config(coco("b"))


@pytest.mark.parametrize("size", SIZES)
def test_four_maps_of_the_size(size):
    config = load_config(coco(size))
    arch = f"{SIZES[size]}_hybrid"
    assert (config.default_scope, config.model.type) == ("mmdet", "CascadeRCNN")
    backbone = config.model.backbone
    assert (backbone.type, backbone.arch) == ("stl_backbones.FANDetection", arch)
    assert (backbone.drop_path_rate, backbone.with_cp) == (0.3, True)
    assert config.model.neck.in_channels == [128, 256, VARIANTS[arch].dim, 768]


@pytest.mark.parametrize("size", ["s", "b", "l"])
def test_sizes_differ_in_the_backbone_alone(size, base):
    other = load_config(coco(size))
    for config in (other, base := base.copy()):
        config.model.backbone.arch = config.model.neck.in_channels[2] = None
    assert other.to_dict() == base.to_dict()


def test_three_stages_of_four_convolutions_and_one_linear_layer(base):
    heads = base.model.roi_head.bbox_head
    assert len(heads) == base.model.roi_head.num_stages == 3
    for head in heads:
        assert (head.num_shared_convs, head.num_shared_fcs) == (4, 1)
        assert head.norm_cfg.type == "SyncBN"
        assert head.loss_bbox.type == "GIoULoss"
        assert head.reg_decoded_bbox  # GIoU is one of boxes
        assert not head.reg_class_agnostic
        assert head.num_classes == 80
    ious = [stage.assigner.pos_iou_thr for stage in base.model.train_cfg.rcnn]
    assert ious == [0.5, 0.6, 0.7]
    stds = [head.bbox_coder.target_stds[0] for head in heads]
    assert stds == [0.1, 0.05, 0.033]
    assert base.model.roi_head.mask_head.num_classes == 80


def test_multi_scale_training(base):
    pipeline = base.train_dataloader.dataset.pipeline
    (choice,) = [step for step in pipeline if step.type == "RandomChoice"]
    whole, cropped = choice.transforms
    assert [step.type for step in whole] == ["RandomChoiceResize"]
    assert whole[0].scales == [(side, 1333) for side in SHORT_SIDES]
    first, crop, last = cropped
    assert [short for short, _ in first.scales] == [400, 500, 600]
    assert (crop.type, crop.crop_size) == ("RandomCrop", (384, 600))
    assert last.scales == whole[0].scales
    assert base.test_dataloader.dataset.pipeline[1].scale == (1333, 800)


def test_thirty_six_epochs_with_steps_at_27_and_33(base):
    optimizer = base.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", 1e-4, 0.05)
    assert "clip_grad" not in base.optim_wrapper
    assert base.train_cfg.max_epochs == 36
    _, steps = base.param_scheduler
    assert (steps.type, steps.milestones, steps.gamma, steps.end) == (
        "MultiStepLR", [27, 33], 0.1, 36,
    )  # fmt: skip
    assert base.train_dataloader.batch_size == base.auto_scale_lr.base_batch_size == 16


def test_no_norm_decays():
    config = load_config(coco("t"))
    init_default_scope("mmdet")
    model = MODELS.build(config.model)
    norms = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.LayerNorm | nn.modules.batchnorm._BatchNorm)
        for parameter in module.parameters(recurse=False)
    }
    assert {id(parameter) for parameter in model.backbone.out_norm3.parameters()} <= norms
    groups = build_optim_wrapper(model, config.optim_wrapper).optimizer.param_groups
    decays = {
        (id(parameter) in norms, group["weight_decay"])
        for group in groups
        for parameter in group["params"]
        if parameter.requires_grad
    }
    assert decays == {(True, 0.0), (False, 0.05)}


def test_boxes_and_rois_stay_in_float32(base):
    roi, rpn = base.model.roi_head, base.model.rpn_head
    extractors = [roi.bbox_roi_extractor.type, roi.mask_roi_extractor.type]
    assert extractors == ["stl_backbones.Float32RoIExtractor"] * 2
    heads = [rpn.type, *(head.type for head in roi.bbox_head), roi.mask_head.type]
    assert heads == [
        "stl_backbones.Float32RPNHead",
        *["stl_backbones.Float32BBoxHead"] * 3,
        "stl_backbones.Float32MaskHead",
    ]


def test_training_leaves_empty_images_out_and_testing_does_not(base):
    assert base.train_dataloader.dataset.filter_cfg.filter_empty_gt
    for name in ("val_dataloader", "test_dataloader"):
        assert base[name].dataset.test_mode
        assert "filter_cfg" not in base[name].dataset


@pytest.mark.parametrize(
    "name", ["stl_fan_b_cascade_mask_rcnn_coco.py", "stl_fan_t_cascade_mask_rcnn_mini.py"]
)
def test_a_variable_changes_everything_that_it_stands_for(name):
    options = {
        "data_root": "/d", "num_classes": 3, "classes": ("a", "b", "c"), "val_ann": "v.json",
        "img_scale": (100, 50), "pretrained": "x.pth", "with_cp": True, "lr": 1.0, "max_epochs": 4,
        "milestones": [2, 3],
    }  # fmt: skip
    config = load_config(DET / name, options=options)
    data = [config[loader].dataset for loader in LOADERS]
    assert {part.data_root for part in (*data, config.val_evaluator, config.test_evaluator)} == {
        "/d"
    }
    assert [(d.num_classes, d.classes) for d in data] == [(3, ("a", "b", "c"))] * 3
    files = [part.ann_file for part in (*data[1:], config.val_evaluator, config.test_evaluator)]
    assert files == ["v.json"] * 4
    assert [d.pipeline[1].scale for d in data[1:]] == [(100, 50)] * 2
    heads = [*config.model.roi_head.bbox_head, config.model.roi_head.mask_head]
    assert [head.num_classes for head in heads] == [3] * 4
    backbone = config.model.backbone
    assert (backbone.init_cfg.checkpoint, backbone.with_cp) == ("x.pth", True)
    assert config.optim_wrapper.optimizer.lr == 1.0
    steps = config.param_scheduler[1]
    assert (config.train_cfg.max_epochs, steps.end, steps.milestones) == (4, 4, [2, 3])


def test_the_mini_config_trains_on_one_size_without_padding():
    """From scratch a LayerNorm over equal pixels makes gradients explode."""
    for options in ({}, {"img_scale": (512, 256)}):
        config = load_config(DET / "stl_fan_t_cascade_mask_rcnn_mini.py", options=options)
        _, _, resize, crop, *_ = config.train_dataloader.dataset.pipeline
        assert (resize.type, crop.type) == ("RandomResize", "RandomCrop")
        assert resize.ratio_range[0] == 1.0  # so that a crop always fits
        assert crop.crop_size == resize.scale == options.get("img_scale", (256, 128))
        divisor = config.model.data_preprocessor.pad_size_divisor
        assert [side % divisor for side in crop.crop_size] == [0, 0]


def test_the_mini_config_has_the_generated_categories():
    from stl_backbones.datasets.mini import COCO_CATEGORIES

    config = load_config(DET / "stl_fan_t_cascade_mask_rcnn_mini.py")
    names = tuple(name for name, _ in COCO_CATEGORIES.values())
    assert {config[loader].dataset.classes for loader in LOADERS} == {names}
    assert {config[loader].dataset.num_classes for loader in LOADERS} == {len(names)}
