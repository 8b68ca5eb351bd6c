"""The detectors of Table 5 beside FAN's: sizes, recipes, a step of training, a scored image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData
from PIL import Image
from torch import nn

from stl_backbones.cli import robustness
from stl_backbones.cli.robustness_options import make_robustness_parser
from stl_backbones.config.packaged import config_file
from stl_backbones.config.reading import load_config
from stl_backbones.models.counting import count_parameters
from stl_backbones.models.mm_presets import MM_PRESETS, OWN
from stl_backbones.onnx_export.export import TOLERANCE, export_onnx
from stl_backbones.results import CellStore

DET = Path(__file__).parents[2] / "configs/det"
# Millions: Swin's Table 2 (arXiv:2103.14030); facebookresearch/ConvNeXt, object_detection.
PUBLISHED = {
    "resnet50": 82, "resnext101_32": 101, "resnext101_64": 140, "swin_t": 86, "swin_s": 107,
    "swin_b": 145, "convnext_t": 86, "convnext_s": 108, "convnext_b": 146,
}  # fmt: skip
SCRATCH = {"model.backbone.init_cfg": None}
each = pytest.mark.parametrize("name", PUBLISHED)


def path_of(name):
    return DET / f"{name}_cascade_mask_rcnn_coco.py"


def build(name, **options):
    config = load_config(path_of(name), options={**SCRATCH, **options})
    init_default_scope("mmdet")
    torch.manual_seed(0)
    return config, revert_sync_batchnorm(MODELS.build(config.model))


def test_each_row_is_trained_by_one_of_our_configs():
    rows = [preset for preset in MM_PRESETS.values() if preset.table == 5]
    own = {config_file(preset.training or preset.config) for preset in rows}
    assert own == {path_of(name) for name in PUBLISHED}
    assert all((preset.training or preset.config).startswith(OWN) for preset in rows)


@each
def test_parameters_are_the_published_ones(name):
    _, model = build(name)
    assert count_parameters(model) == pytest.approx(PUBLISHED[name] * 1e6, rel=0.01)


@each
def test_heads_data_and_schedule_are_fans(name):
    """Table 5 compares backbones: what is around them is the same."""
    ours, fan = (
        load_config(path) for path in (path_of(name), DET / "stl_fan_b_cascade_mask_rcnn_coco.py")
    )
    for part in ("rpn_head", "roi_head", "train_cfg", "test_cfg", "data_preprocessor", "type"):
        assert ours.model[part] == fan.model[part]
    for part in ("train_dataloader", "val_dataloader", "param_scheduler", "train_cfg"):
        assert ours[part] == fan[part]


@pytest.mark.parametrize(
    ("name", "drop_path", "rate", "decay"),
    [
        # Swin's configs; ConvNeXt's, where the rate falls from layer to layer.
        ("swin_t", 0.2, 1e-4, None),
        ("swin_s", 0.2, 1e-4, None),
        ("swin_b", 0.3, 1e-4, None),
        ("convnext_t", 0.4, 2e-4, (0.7, 6)),
        ("convnext_s", 0.6, 2e-4, (0.7, 12)),
        ("convnext_b", 0.7, 2e-4, (0.8, 12)),
    ],
)
def test_the_recipe_is_the_backbones(name, drop_path, rate, decay):
    config = load_config(path_of(name))
    assert config.model.backbone.drop_path_rate == drop_path
    optimizer, by_name = config.optim_wrapper.optimizer, config.optim_wrapper.paramwise_cfg
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", rate, 0.05)
    if decay is not None:
        assert (by_name.decay_rate, by_name.num_layers, by_name.decay_type) == (
            *decay,
            "layer_wise",
        )
        assert config.optim_wrapper.constructor == "LearningRateDecayOptimizerConstructor"


def test_no_norm_and_no_position_table_of_swin_decays():
    config, model = build("swin_t", **{"model.backbone.depths": [1, 1, 1, 1]})
    norms = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.LayerNorm | nn.modules.batchnorm._BatchNorm)
        for parameter in module.parameters(recurse=False)
    }
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = build_optim_wrapper(model, config.optim_wrapper).optimizer.param_groups
    free = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    tables = {key for key, name in names.items() if name.endswith("relative_position_bias_table")}
    assert len(tables) == 4
    assert free == norms | tables


def test_the_rate_of_convnext_falls_towards_the_image():
    config, model = build("convnext_b")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = build_optim_wrapper(model, config.optim_wrapper).optimizer.param_groups
    rates = {names[id(p)]: group["lr"] for group in groups for p in group["params"]}
    assert rates["roi_head.mask_head.0.conv_logits.weight"] == pytest.approx(2e-4)
    assert rates["backbone.stages.3.2.pointwise_conv1.weight"] == pytest.approx(2e-4 * 0.8)
    # 27 blocks of the third stage: three share a layer, the last ones the twelfth.
    assert rates["backbone.stages.2.26.pointwise_conv1.weight"] == pytest.approx(2e-4 * 0.8**2)
    assert rates["backbone.downsample_layers.0.0.weight"] == pytest.approx(2e-4 * 0.8**13)


def sample(side):
    """One object in an image of noise."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    mask = np.zeros((1, side, side), np.uint8)
    mask[0, 20:90, 30:100] = 1
    size = (side, side)
    found = DetDataSample(
        metainfo={"img_shape": size, "ori_shape": size, "scale_factor": (1.0, 1.0)}
    )
    found.gt_instances = InstanceData(
        bboxes=torch.tensor([[30.0, 20.0, 100.0, 90.0]]),
        labels=torch.tensor([3]),
        masks=BitmapMasks(mask, side, side),
    )
    image = torch.randint(0, 256, (3, side, side), dtype=torch.uint8)
    return {"inputs": [image], "data_samples": [found]}


@pytest.mark.slow
@each
def test_a_step_of_training_moves_the_backbone_and_the_heads(name):
    options = {} if name.startswith("res") else {"drop_path_rate": 0.0}
    few = {f"model.train_cfg.rcnn.{stage}.sampler.num": 16 for stage in range(3)}
    config, model = build(name, **options, **few)
    optim = build_optim_wrapper(model, config.optim_wrapper)
    free = {key: value for key, value in model.named_parameters() if value.requires_grad}
    before = {key: value.detach().clone() for key, value in free.items()}
    losses = model.train().train_step(sample(128), optim)
    assert all(torch.as_tensor(value).isfinite().all() for value in losses.values())
    still = {key for key, value in free.items() if torch.equal(value, before[key])}
    # Norms and biases have no decay, so a gradient moved them.
    plain = {key for key, value in free.items() if value.ndim == 1 and key.startswith("backbone.")}
    assert len(plain) > 50
    assert not still & plain
    heads = [
        f"roi_head.bbox_head.{stage}.fc_{part}.bias"
        for stage in range(3)
        for part in ("cls", "reg")
    ]
    assert not still & {*heads, "rpn_head.rpn_cls.bias", "roi_head.mask_head.0.conv_logits.bias"}


def authors_swin(model):
    """A detector's weights as Swin's authors wrote them, with timm's backbone."""
    stages = {}
    for key, value in timm.create_model("swin_tiny_patch4_window7_224").state_dict().items():
        parts = key.split(".")
        if parts[0] == "layers" and parts[2] == "downsample":
            parts[1] = str(int(parts[1]) - 1)
        if parts[0] in ("layers", "patch_embed"):
            stages[f"backbone.{'.'.join(parts)}"] = value
    own = model.state_dict()
    for key in own:
        if key.endswith("relative_position_index"):
            theirs = key.replace("stages", "layers").replace("w_msa.", "")
            stages[theirs] = own[key]
    rest = {k: v for k, v in own.items() if not k.startswith(("backbone.stages", "backbone.patch"))}
    return stages | rest


def authors_convnext(model):
    """A detector's weights as ConvNeXt's authors wrote them."""
    return {
        key.replace(".depthwise_conv.", ".dwconv.").replace(".pointwise_conv", ".pwconv"): value
        for key, value in model.state_dict().items()
    }


@pytest.fixture
def coco(tmp_path):
    """One image of COCO val2017, with one person."""
    from mmdet.datasets import CocoDataset

    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    (root / "val2017").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "val2017/000000000139.jpg")
    box = [10.0, 10.0, 50.0, 60.0]
    corners = [10, 10, 60, 10, 60, 70, 10, 70]
    names = CocoDataset.METAINFO["classes"]
    content = {
        "images": [{"id": 139, "file_name": "000000000139.jpg", "height": 96, "width": 128}],
        "annotations": [
            {
                "id": 1, "image_id": 139, "category_id": 1, "bbox": box, "area": 3000.0,
                "iscrowd": 0, "segmentation": [corners],
            }
        ],
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(names)],
    }  # fmt: skip
    (root / "annotations/instances_val2017.json").write_text(json.dumps(content))
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "name", "rewritten"),
    [
        ("cascade-swin-t", "swin_t", authors_swin),
        ("cascade-convnext-b", "convnext_b", authors_convnext),
    ],
)
def test_a_preset_scores_an_image_with_the_authors_file(preset, name, rewritten, coco, tmp_path):
    _, model = build(name)
    weights = tmp_path / "weights.pth"
    torch.save({"state_dict": rewritten(model)}, weights)
    words = [
        "--preset", preset, "--checkpoint", weights, "--data-root", coco, "--work-dir",
        tmp_path / "sweep", "--corruptions", "fog", "--severities", 1, "--workers", 0,
        "--cfg-options", "img_scale=(128,96)",
    ]  # fmt: skip
    parser = make_robustness_parser("x")
    robustness.run(parser.parse_intermixed_args([str(word) for word in words]))
    weights.unlink()  # hundreds of megabytes
    store = CellStore(tmp_path / "sweep")
    assert store.provenance().model == MM_PRESETS[preset].title
    assert len(store.cells()) == 2  # clean and fog


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin_t", "convnext_t", "resnet50"])
def test_a_backbones_maps_are_exported(name, tmp_path):
    _, model = build(name)
    weights = tmp_path / "weights.pth"
    torch.save({"state_dict": model.state_dict()}, weights)
    report = export_onnx(
        path_of(name), weights, tmp_path / "maps.onnx", size=(128, 160), backbone=True
    )
    weights.unlink()
    assert [shape[-2:] for shape in report.outputs.values()] == [
        (128 // stride, 160 // stride) for stride in (4, 8, 16, 32)
    ]
    assert report.difference < TOLERANCE
