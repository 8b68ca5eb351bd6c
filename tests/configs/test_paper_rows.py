"""Our configs of the paper's rows: recipes, weights to start from, and from a step to a score."""

from __future__ import annotations

import re

import pytest
import timm
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from stl_backbones.cli import robustness
from stl_backbones.cli.robustness_options import make_robustness_parser
from stl_backbones.config.packaged import config_file
from stl_backbones.config.reading import load_config
from stl_backbones.metrics import mean_iou
from stl_backbones.models import read_checkpoint
from stl_backbones.models.mm_presets import MM_PRESETS, OWN
from stl_backbones.records import CLEAN, Cell
from stl_backbones.results import CellStore
from stl_backbones.training.train import train

ROWS = {p.name: p for p in MM_PRESETS.values() if p.table == 4 and p.config.startswith(OWN)}
SEGMENTATION = list(ROWS)
TRANSFORMERS = ["segformer-convnext-t", "setr-deit-s", "segformer-swin-t"]
CNNS = [name for name in SEGMENTATION if name not in TRANSFORMERS]
HUB = re.compile(r"https://huggingface\.co/timm/([\w.]+)/resolve/main/model\.safetensors")

# What the libraries warn of when they build and train their own parts.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def parse(*words):
    return make_robustness_parser("x").parse_intermixed_args([str(word) for word in words])


def read(name, **options):
    return load_config(config_file(ROWS[name].config), options=options)


def test_there_are_eight():
    assert len(SEGMENTATION) == 8


@pytest.mark.parametrize("name", SEGMENTATION)
def test_it_starts_from_timms_weights_and_sees_images_as_they_did(name):
    config = read(name)
    address = config.model.backbone.init_cfg.checkpoint
    if name == "resnet38":  # whose weights are in another library's format
        assert address is None
        return
    weights = timm.get_pretrained_cfg(HUB.fullmatch(address)[1])
    assert weights.hf_hub_id == f"timm/{HUB.fullmatch(address)[1]}"
    preprocessor = config.model.data_preprocessor
    assert preprocessor.mean == pytest.approx([255 * value for value in weights.mean])
    assert preprocessor.std == pytest.approx([255 * value for value in weights.std])
    assert preprocessor.bgr_to_rgb


@pytest.mark.parametrize("name", [n for n in SEGMENTATION if n not in ("resnet38", "fcn8s")])
def test_timms_weights_fill_its_encoder(name, monkeypatch):
    """Key for key; FCN-8s has DilatedNet's names and shapes, see tests/transfer."""
    config = read(name).model.backbone
    address = config.init_cfg.checkpoint
    weights = timm.create_model(HUB.fullmatch(address)[1].partition(".")[0]).state_dict()
    monkeypatch.setattr(
        "stl_backbones.transfer.pretrained.read_checkpoint", {address: weights}.__getitem__
    )
    init_default_scope("mmseg")
    backbone = MODELS.build(config)
    backbone.init_weights()
    filled = getattr(backbone, "network", backbone).state_dict()
    if name != "segformer-swin-t":  # whose names differ, see tests/transfer/test_swin.py
        names = filled.keys() - {"pos_embed"}  # of SETR, which is resized
        assert all(torch.equal(filled[other], weights[other]) for other in names)


@pytest.mark.parametrize("name", SEGMENTATION)
def test_its_data_and_classes_are_cityscapes(name):
    config = read(name)
    side = 1024 if name.startswith("segformer") else 768
    assert config.train_dataloader.dataset.type == "stl_backbones.CheckedCityscapesDataset"
    assert config.train_dataloader.dataset.pipeline[4].crop_size == (side, side)
    assert config.model.data_preprocessor["size"] == (side, side)
    assert config.train_dataloader.batch_size == config.auto_scale_lr.base_batch_size == 8
    assert config.model.decode_head.num_classes == 19


@pytest.mark.parametrize("name", CNNS)
def test_cnns_are_trained_as_deeplab(name):
    config = read(name)
    optimizer = config.optim_wrapper.optimizer
    rate = 0.001 if name in ("fcn8s", "dilated-net") else 0.01
    assert (optimizer.type, optimizer.lr, optimizer.momentum) == ("SGD", rate, 0.9)
    assert optimizer.weight_decay == 0.0005
    assert (config.param_scheduler[1].type, config.param_scheduler[1].power) == ("PolyLR", 0.9)
    assert config.train_cfg.max_iters == config.param_scheduler[1].end == 80000
    assert config.model.test_cfg.mode == "whole"


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_are_trained_as_the_papers_own_rows(name):
    """Parameter by parameter: rates of heads; no decay of norms, window biases, positions."""
    config = read(name)
    assert config.param_scheduler[1].end == 160000
    init_default_scope("mmseg")
    model = MODELS.build(config.model)
    undecayed = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.LayerNorm | nn.modules.batchnorm._BatchNorm)
        for parameter in module.parameters()
    } | {
        id(parameter)
        for parameter_name, parameter in model.named_parameters()
        if parameter_name.endswith(("relative_position_bias_table", "pos_embed", "gamma"))
    }
    in_head = {
        id(parameter)
        for parameter_name, parameter in model.named_parameters()
        if not parameter_name.startswith("backbone.")
    }
    assert len(undecayed) > 50
    for group in build_optim_wrapper(model, config.optim_wrapper).optimizer.param_groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.0 if id(parameter) in undecayed else 0.01)
            assert group["lr"] == pytest.approx(6e-4 if id(parameter) in in_head else 6e-5)


def test_setrs_positions_follow_the_crop():
    config = read("setr-deit-s", crop_size=(512, 512), stride=(384, 384))
    assert config.model.backbone.img_size == config.model.test_cfg.crop_size == (512, 512)


def test_a_preset_without_weights_names_the_training():
    message = (
        r"'fcn8s' needs its weights, --checkpoint FILE: train them, .*seg/fcn8s_cityscapes\.py"
    )
    with pytest.raises(ValueError, match=message):
        robustness.run(parse("--preset", "fcn8s", "--data-root", "city"))


@pytest.mark.slow
@pytest.mark.parametrize("name", SEGMENTATION)
def test_from_a_step_to_a_score_and_an_onnx_file(name, mini_data, tmp_path):
    side = 192 if name == "dilated-net" else 64  # which reflects 186 pixels
    options = {
        "img_scale": (2 * side, side),
        "crop_size": (side, side),
        "num_workers": 0,
    }
    if load_config(config_file(ROWS[name].config)).model.test_cfg.mode == "slide":
        options["stride"] = (side, side)
    folder = train(
        config_file(ROWS[name].config),
        work_dir=tmp_path / "run",
        options={
            **options,
            "data_root": str(mini_data / "cityscapes"),
            "pretrained": None,
            "max_iters": 2,
            "warmup_iters": 1,
            "val_interval": 2,
            "val_dataloader.dataset.indices": 1,
            "batch_size": 1 if name == "dilated-net" else 2,
            "default_hooks.checkpoint.save_optimizer": False,
        },
    )
    checkpoint = folder / "iter_2.pth"
    weights = read_checkpoint(checkpoint)["state_dict"]
    assert all(value.isfinite().all() for value in weights.values())
    words = [f"{key}={str(value).replace(' ', '')}" for key, value in options.items()]
    args = parse(
        "--preset", name, "--checkpoint", checkpoint, "--data-root", mini_data / "cityscapes",
        "--work-dir", tmp_path / "sweep", "--corruptions", "fog", "--severities", "3",
        "--workers", "0", "--limit", "1", "--cfg-options", *words,
    )  # fmt: skip
    robustness.run(args)
    store = CellStore(tmp_path / "sweep")
    for cell in (CLEAN, Cell("fog", 3)):
        pixels = store.read(cell).samples["confusion_matrix"].sum(axis=0)
        assert pixels.sum() > 0
        assert 0 <= mean_iou(pixels) <= 1
    pytest.importorskip("onnxscript")
    from stl_backbones.onnx_export.export import export_onnx

    (kept,) = folder.glob("*.py")  # with the options of the training
    report = export_onnx(str(kept), checkpoint, tmp_path / "row.onnx", size=(side, side))
    assert 0 < report.difference <= 1e-4
    for file in (checkpoint, tmp_path / "row.onnx"):  # up to half a gigabyte each
        file.unlink()


def test_a_step_moves_every_layer_of_the_new_decoders():
    """With gradients alone: no part is left out of the loss."""
    init_default_scope("mmseg")
    torch.manual_seed(0)
    for name, maps in (
        ("fcn8s", [(256, 8), (512, 4), (4096, 2)]),
        ("dilated-net", [(4096, 4)]),
    ):
        head = MODELS.build(read(name).model.decode_head)
        head.init_weights()
        inputs = [torch.rand(1, channels, side, side) for channels, side in maps]
        head(inputs).square().sum().backward()
        assert all(parameter.grad is not None for parameter in head.parameters())
