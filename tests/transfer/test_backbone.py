"""FAN as the toolboxes build, freeze, load and train it."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from mmseg.registry import MODELS as MMSEG_MODELS
from torch import nn

from stl_backbones.transfer import FANBackbone


@pytest.fixture
def tiny():
    """Build a tiny backbone; the numbers of its weights do not matter."""

    def make(arch="tiny_hybrid", **options):
        with torch.device("meta"):
            return FANBackbone(arch, **options)

    return make


@pytest.fixture
def default_scope(monkeypatch):
    """Set mmengine's default scope for one test."""
    monkeypatch.setattr(DefaultScope, "_instance_dict", DefaultScope._instance_dict.copy())
    return init_default_scope


@pytest.mark.parametrize("registry", [MMSEG_MODELS, MMDET_MODELS], ids=["mmseg", "mmdet"])
def test_toolboxes_build_it_by_its_short_name(registry):
    with torch.device("meta"):
        model = registry.build({"type": "FAN", "arch": "small_hybrid"})
    assert (type(model), model.variant.title) == (FANBackbone, "FAN-S-Hybrid")


@pytest.mark.parametrize("scope", ["mmengine", "mmseg", "mmdet"])
@pytest.mark.parametrize("name", ["stl_backbones.FAN", "FAN"])
def test_mmengine_builds_it_in_any_scope(default_scope, scope, name):
    default_scope(scope)
    with torch.device("meta"):
        model = MODELS.build({"type": name, "arch": "tiny_vit"})
    assert (type(model), model.variant.title) == (FANBackbone, "FAN-T-ViT")


def test_unknown_arch_lists_the_known_ones():
    with pytest.raises(KeyError, match=r"unknown FAN arch 'tiny'; .*xpected one of tiny_hybrid"):
        FANBackbone("tiny")


def test_out_indices_choose_maps_and_channels(draw):
    model = FANBackbone("tiny_hybrid", out_indices=(3, 0)).eval()
    assert model.out_channels == (192, 128)
    x = draw(0, 1, 3, 32, 48)
    with torch.no_grad():
        maps, every = model(x), model.forward_dense(x)
    assert isinstance(maps, tuple)
    assert torch.equal(maps[0], every[3])
    assert torch.equal(maps[1], every[0])


@pytest.mark.parametrize("indices", [(), (4,), (-1, 0)])
def test_out_indices_that_do_not_exist(tiny, indices):
    with pytest.raises(ValueError, match=r"out_indices must be taken from 0\.\.3"):
        tiny(out_indices=indices)


def top(name, model):
    """The stage that trains a parameter: the first frozen_stages value that freezes it."""
    tap = model.feature_blocks
    parts = name.split(".")
    if parts[0] == "blocks":
        first = 3 if model.variant.is_hybrid else 1
        return first + sum(int(parts[1]) > block for block in tap)
    if parts[0] == "cls_attn_blocks":
        return 4
    if not model.variant.is_hybrid:
        return 0
    if name.startswith("patch_embed.backbone.stages."):
        return 1 + int(parts[3])
    return 0 if name.startswith("patch_embed.backbone.stem") else 3


@pytest.mark.parametrize("arch", ["tiny_hybrid", "tiny_vit", "large_hybrid"])
@pytest.mark.parametrize("frozen", [-1, 0, 1, 2, 3, 4])
def test_frozen_stages_take_no_gradient(tiny, arch, frozen):
    model = tiny(arch, frozen_stages=frozen)
    class_path = {id(parameter) for parameter in model.class_path_parameters()}
    wrong = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
        != (top(name, model) > frozen and id(parameter) not in class_path)
    ]
    assert wrong == []


@pytest.mark.parametrize("arch", ["tiny_hybrid", "tiny_vit"])
@pytest.mark.parametrize("frozen", [-1, 0, 1, 2, 3, 4])
def test_frozen_stages_stay_in_eval_mode(tiny, arch, frozen):
    model = tiny(arch, frozen_stages=frozen).train()
    leaves = {n: m for n, m in model.named_modules() if n and not list(m.children())}
    shared = ("head", "norm")  # the class path's own modules are no stage
    wrong = [
        name
        for name, module in leaves.items()
        if not name.startswith(shared) and module.training != (top(name, model) > frozen)
    ]
    assert wrong == []


def test_frozen_statistics_do_not_move(draw):
    model = FANBackbone("tiny_vit", frozen_stages=1).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(draw(0, 2, 3, 32, 32))
    moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    stages = {top(name, model) for name in moved}
    assert stages == {2, 3, 4}


@pytest.mark.parametrize("frozen", [-2, 5])
def test_frozen_stages_that_do_not_exist(tiny, frozen):
    with pytest.raises(ValueError, match=rf"frozen_stages must be in -1\.\.4, got {frozen}"):
        tiny(frozen_stages=frozen)


@pytest.mark.parametrize("norm_eval", [False, True])
def test_norm_eval_holds_for_batch_norms_alone(tiny, norm_eval):
    model = tiny("tiny_vit", norm_eval=norm_eval).train()
    modes = {m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d)}
    assert modes == {not norm_eval}
    assert all(m.training for m in model.modules() if isinstance(m, nn.Linear))


def test_with_cp_gives_the_same_maps_and_gradients(draw):
    x = draw(1, 2, 3, 32, 48)
    torch.manual_seed(0)
    plain, saving = FANBackbone("tiny_hybrid"), FANBackbone("tiny_hybrid", with_cp=True)
    saving.load_state_dict(plain.state_dict())
    runs = []
    saving.blocks[0].register_forward_pre_hook(lambda *args: runs.append(1))
    results = []
    for model in (plain, saving):
        maps = model.train()(x)
        sum(m.square().mean() for m in maps).backward()
        grads = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
        results.append((maps, grads))
    assert len(runs) == 2  # once more in backward
    (maps, grads), (same_maps, same_grads) = results
    torch.testing.assert_close(same_maps, maps, rtol=0, atol=1e-6)
    torch.testing.assert_close(same_grads, grads, rtol=1e-4, atol=1e-7)


def test_no_trainable_parameter_is_left_without_a_gradient(draw):
    """DDP would wait for one for ever."""
    model = FANBackbone("tiny_hybrid").train()
    sum(m.square().mean() for m in model(draw(1, 2, 3, 32, 32))).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@pytest.mark.parametrize("ema", [True, False])
def test_pretrained_file(released_file, tiny_weights, ema):
    config = {"type": "Pretrained", "checkpoint": str(released_file), "ema": ema}
    model = FANBackbone("tiny_hybrid", init_cfg=config)
    model.init_weights()
    offset = 0 if ema else 1
    different = [
        name
        for name, value in model.state_dict().items()
        if not torch.equal(value, tiny_weights[name] + offset)
    ]
    assert different == []


def test_pretrained_averages_are_the_default(released_file, tiny_weights):
    config = {"type": "Pretrained", "checkpoint": str(released_file)}
    model = FANBackbone("tiny_hybrid", init_cfg=config)
    model.init_weights()
    assert torch.equal(model.cls_token, tiny_weights["cls_token"])


def test_pretrained_file_is_loaded_by_a_whole_segmentor(default_scope, released_file, tiny_weights):
    default_scope("mmseg")
    model = MMSEG_MODELS.build(
        {
            "type": "mmseg.EncoderDecoder",
            "backbone": {
                "type": "FAN",
                "arch": "tiny_hybrid",
                "init_cfg": {"type": "Pretrained", "checkpoint": str(released_file)},
            },
            "decode_head": {
                "type": "LinearSegformerHead", "channels": 8, "num_classes": 3,
                "in_channels": [128, 256, 192, 192], "in_index": [0, 1, 2, 3],
                "loss_decode": {"type": "CrossEntropyLoss", "avg_non_ignore": True},
            },
        }
    )  # fmt: skip
    model.init_weights()
    weight = model.backbone.blocks[7].attn.q.weight
    assert torch.equal(weight, tiny_weights["blocks.7.attn.q.weight"])


def test_without_a_checkpoint_the_fresh_weights_stay():
    model = FANBackbone("tiny_vit", init_cfg={"type": "Pretrained", "checkpoint": None})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.init_weights()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "config",
    [
        {"type": "Kaiming"},
        {"checkpoint": "file.pth"},
        {"type": "Pretrained", "checkpoint": "file.pth", "prefix": "backbone."},
    ],
)
def test_other_init_cfg_is_refused(tiny, config):
    model = tiny("tiny_vit", init_cfg=config)
    with pytest.raises(ValueError, match=r"init_cfg must be dict\(type='Pretrained'"):
        model.init_weights()


def test_a_missing_pretrained_file_is_named(tiny, tmp_path):
    config = {"type": "Pretrained", "checkpoint": str(tmp_path / "absent.pth")}
    with pytest.raises(FileNotFoundError, match=r"absent\.pth' does not exist"):
        tiny("tiny_vit", init_cfg=config).init_weights()


def test_another_variants_pretrained_file_is_refused(tiny, released_file):
    config = {"type": "Pretrained", "checkpoint": str(released_file)}
    with pytest.raises(ValueError, match=r"of FAN-T-ViT; .*holds a FAN-T-Hybrid"):
        tiny("tiny_vit", init_cfg=config).init_weights()


def test_in_channels(tiny):
    model = tiny(in_channels=4)
    assert model(torch.zeros(1, 4, 32, 32, device="meta"))[0].shape == (1, 128, 8, 8)


def test_maps_are_contiguous():
    """mmcv's RoIAlign misreads others, and a neck's convolutions hand the format on."""
    image = torch.randn(1, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        maps = FANBackbone("tiny_hybrid").eval()(image)
    assert [part.is_contiguous() for part in maps] == [True] * 4
