"""Every leaf config reads and builds, and states the paper's recipe."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS, TRANSFORMS, init_default_scope

from stl_backbones.config.reading import load_config
from stl_backbones.models import VARIANTS

CONFIGS = Path(__file__).parents[2] / "configs"
LEAVES = sorted(
    path for path in CONFIGS.rglob("*.py") if "_base_" not in path.relative_to(CONFIGS).parts
)
SIZES = {"t": ("tiny", 192), "s": ("small", 384), "b": ("base", 448), "l": ("large", 480)}


def test_there_are_leaves():
    assert len(LEAVES) >= 5


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: path.stem)
def test_builds(path, monkeypatch):
    for draw in ("normal_", "uniform_"):  # most of the time of building, and nothing asks for it
        monkeypatch.setattr(torch.Tensor, draw, lambda weights, *_, **__: weights)
    config = load_config(path)
    init_default_scope(config.default_scope)
    MODELS.build(config.model)
    for split in ("train", "val", "test"):
        for step in config[f"{split}_dataloader"].dataset.pipeline:
            TRANSFORMS.build(step)


@pytest.mark.parametrize("size", SIZES)
def test_segmentation_recipe(size):
    config = load_config(CONFIGS / f"seg/stl_fan_{size}_cityscapes.py")
    name, dim = SIZES[size]
    assert config.model.backbone.arch == f"{name}_hybrid"
    assert VARIANTS[f"{name}_hybrid"].dim == dim
    assert config.model.decode_head.in_channels == [128, 256, dim, dim]
    assert config.model.decode_head.channels == 768
    assert config.model.decode_head.num_classes == 19
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", 6e-5, 0.01)
    warm_up, poly = config.param_scheduler
    assert (warm_up.type, warm_up.start_factor, warm_up.end) == ("LinearLR", 1e-6, 1500)
    assert (poly.type, poly.power, poly.begin, poly.end) == ("PolyLR", 1.0, 1500, 160000)
    assert config.train_cfg.max_iters == 160000
    assert config.train_dataloader.batch_size == 8
    assert config.model.test_cfg == {
        "mode": "slide",
        "crop_size": (1024, 1024),
        "stride": (768, 768),
    }


@pytest.mark.parametrize("head", ["LinearSegformerHead", "SegformerHead"])
def test_no_norm_decays_and_the_head_learns_ten_times_faster(head):
    """Both heads, parameter by parameter."""
    from mmengine.optim import build_optim_wrapper
    from torch import nn

    config = load_config(
        CONFIGS / "seg/stl_fan_t_cityscapes.py", options={"model.decode_head.type": head}
    )
    init_default_scope("mmseg")
    model = MODELS.build(config.model)
    norms = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.LayerNorm | nn.modules.batchnorm._BatchNorm)
        for parameter in module.parameters()
    }
    in_head = {id(parameter) for parameter in model.decode_head.parameters()}
    groups = build_optim_wrapper(model, config.optim_wrapper).optimizer.param_groups
    assert len(norms) > 50
    for group in groups:
        for parameter in group["params"]:
            if not parameter.requires_grad:
                continue
            assert group["weight_decay"] == (0.0 if id(parameter) in norms else 0.01)
            assert group["lr"] == pytest.approx(6e-4 if id(parameter) in in_head else 6e-5)
