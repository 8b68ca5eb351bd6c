"""Released and own files into a FAN: what loads, what is reported, what is never run."""

from __future__ import annotations

import argparse
import pickle
import re

import numpy as np
import pytest
import timm
import torch
from torch import nn

from stl_backbones.errors import InputError
from stl_backbones.models import (
    FAN,
    VARIANTS,
    clean_state_dict,
    infer_variant,
    load_checkpoint,
    read_checkpoint,
    select_state_dict,
)
from stl_backbones.models.checkpoint_files import trust_checkpoints
from stl_backbones.models.safe_types import SAFE_TYPES


class Bomb:
    """Creates a file when unpickled by a pickle that runs code."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, "w")


def released(weights, averaged, **more):
    """What timm's CheckpointSaver writes."""
    return {
        "epoch": 299,
        "arch": "fan_tiny_8_p4_hybrid_token",
        "state_dict": weights,
        "state_dict_ema": averaged,
        "optimizer": {"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-3, "params": [0]}]},
        "version": 2,
        "args": argparse.Namespace(lr=1e-3, model="fan_tiny_8_p4_hybrid_token", mean=None),
        "amp_scaler": {"scale": 65536.0},
        "metric": 82.5,
        **more,
    }


def shifted(state, by):
    return {k: v + by if v.is_floating_point() else v for k, v in state.items()}


def old_style(state):
    """Older released names: `pos_embeder`, one `qkv` per class attention, `module.`."""
    old = {}
    for key, value in state.items():
        split = key.startswith("cls_attn_blocks.")
        if split and (".attn.k." in key or ".attn.v." in key):
            continue
        if split and ".attn.q." in key:
            rows = [state[key.replace(".q.", f".{part}.")] for part in "qkv"]
            key, value = key.replace(".q.", ".qkv."), torch.cat(rows)
        old["module." + key.replace("pos_embed.", "pos_embeder.")] = value
    return old


def assert_loaded(model, expected):
    own = model.state_dict()
    assert set(own) == set(expected)
    different = [key for key in own if not torch.equal(own[key], expected[key])]
    assert different == []


@pytest.fixture
def source(make_small):
    """The weights that a file should give."""
    return make_small(token_head=True).state_dict()


@pytest.fixture
def target(small_vit):
    """A network whose weights are others."""
    return FAN(small_vit, num_classes=5, token_head=True)


@pytest.fixture
def file(tmp_path, source):
    path = tmp_path / "released.pth.tar"
    torch.save(released(shifted(source, 1.0), source), path)
    return path


def test_averaged_weights_are_the_default(file, source, target):
    load_checkpoint(target, file)
    assert_loaded(target, source)


def test_raw_weights_on_request(file, source, target):
    load_checkpoint(target, file, ema=False)
    assert_loaded(target, shifted(source, 1.0))


def test_a_file_without_averaged_weights_gives_the_raw_ones(tmp_path, source, target):
    torch.save({"state_dict": source, "epoch": 3}, tmp_path / "raw.pth")
    load_checkpoint(target, tmp_path / "raw.pth")
    assert_loaded(target, source)


def test_a_bare_state_dict_loads(tmp_path, source, target):
    torch.save(source, tmp_path / "bare.pth")
    load_checkpoint(target, tmp_path / "bare.pth")
    assert_loaded(target, source)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model.", "model.timm_model.", "a.b."]
)
def test_wrapper_prefixes_go(tmp_path, source, target, prefix):
    wrapped = {prefix + key: value for key, value in source.items()}
    torch.save(released({}, wrapped), tmp_path / "wrapped.pth.tar")
    load_checkpoint(target, tmp_path / "wrapped.pth.tar")
    assert_loaded(target, source)


def test_older_names_load(tmp_path, source, target):
    old = old_style(source)
    assert "module.pos_embeder.token_projection.weight" in old
    assert tuple(old["module.cls_attn_blocks.1.attn.qkv.weight"].shape) == (48, 16)
    torch.save(released({}, old), tmp_path / "old.pth.tar")
    report = load_checkpoint(target, tmp_path / "old.pth.tar")
    assert_loaded(target, source)
    assert (report.missing, report.unexpected) == ((), ())


def test_a_segmentors_backbone_loads_without_its_head(tmp_path, source, small_vit):
    plain = {k: v for k, v in source.items() if "head" not in k}
    whole = {f"backbone.{key}": value for key, value in plain.items()}
    whole["decode_head.conv_seg.weight"] = torch.zeros(19, 8, 1, 1)
    torch.save({"state_dict": whole, "meta": {"iter": 3}}, tmp_path / "segmentor.pth")
    model = FAN(small_vit, num_classes=0)
    report = load_checkpoint(model, tmp_path / "segmentor.pth")
    assert_loaded(model, plain)
    assert report.unexpected == ()


def test_a_released_tiny_file_loads_into_the_timm_model(tmp_path, filled):
    name = "fan_tiny_8_p4_hybrid_token"
    source = filled(name).state_dict()
    path = tmp_path / "fan_tiny.pth.tar"
    torch.save(released({}, old_style(source), metric=np.float64(82.5)), path)
    target = timm.create_model(name)
    report = load_checkpoint(target, path)
    assert_loaded(target, source)
    assert len(report.matched) == len(source)


def test_report_counts(tmp_path, source, small_vit):
    weights = {k: v for k, v in source.items() if not k.startswith("aux_head")}
    weights["head.weight"] = torch.zeros(9, 16)
    weights["extra.weight"] = torch.zeros(1)
    torch.save(weights, tmp_path / "other.pth")
    report = load_checkpoint(FAN(small_vit, num_classes=5, token_head=True), tmp_path / "other.pth")
    assert report.missing == ("aux_head.weight", "aux_head.bias")
    assert report.unexpected == ("extra.weight",)
    assert report.reshaped == ("head.weight: (9, 16) -> (5, 16)",)
    assert len(report.matched) == len(source) - 3
    assert str(report).splitlines() == [
        f"loaded {tmp_path / 'other.pth'}",
        f"  matched    {len(source) - 3:4d}",
        "  missing       2  aux_head.weight, aux_head.bias",
        "  unexpected    1  extra.weight",
        "  reshaped      1  head.weight: (9, 16) -> (5, 16)",
    ]


def test_a_head_of_another_number_of_classes_is_left_alone(file, source, small_vit):
    model = FAN(small_vit, num_classes=7, token_head=True)
    before = model.head.weight.detach().clone()
    report = load_checkpoint(model, file)
    assert torch.equal(model.head.weight, before)
    assert torch.equal(model.cls_token, source["cls_token"])
    assert len(report.reshaped) == 4


def test_a_missing_backbone_key_is_named(tmp_path, source, target):
    del source["blocks.2.attn.kv.weight"]
    torch.save(source, tmp_path / "holed.pth")
    with pytest.raises(ValueError, match=r"not filled: blocks\.2\.attn\.kv\.weight\."):
        load_checkpoint(target, tmp_path / "holed.pth")


def test_a_refused_file_changes_no_weight(tmp_path, source, target):
    before = {key: value.clone() for key, value in target.state_dict().items()}
    del source["blocks.2.attn.kv.weight"]
    torch.save(source, tmp_path / "holed.pth")
    with pytest.raises(ValueError, match="not filled"):
        load_checkpoint(target, tmp_path / "holed.pth")
    assert_loaded(target, before)


def test_another_variants_file_is_named(tmp_path, filled):
    path = tmp_path / "tiny_hybrid.pth.tar"
    torch.save(released({}, filled("fan_tiny_8_p4_hybrid_token").state_dict()), path)
    with torch.device("meta"):
        model = timm.create_model("fan_tiny_12_p16_224")
    with pytest.raises(ValueError, match=r"FAN-T-ViT.*holds a FAN-T-Hybrid \(arch 'tiny_hybrid'"):
        load_checkpoint(model, path)


def test_a_file_of_another_network_is_no_fan(tmp_path, target):
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(ValueError, match=r"The file is no FAN's\."):
        load_checkpoint(target, tmp_path / "linear.pth")


@pytest.mark.parametrize("suffix", ["", "_token"])
def test_infer_variant(suffix):
    for variant in VARIANTS.values():
        with torch.device("meta"):
            weights = timm.create_model(variant.name + suffix).state_dict()
        assert infer_variant(weights) == (variant, suffix == "_token")


def test_infer_variant_of_other_weights():
    with pytest.raises(ValueError, match="not those of a FAN variant"):
        infer_variant({"weight": torch.zeros(1)})


@pytest.mark.parametrize("checkpoint", [{}, {"state_dict": {}}, {"epoch": 3}, [1, 2], None])
def test_a_checkpoint_without_weights(checkpoint):
    with pytest.raises(ValueError, match="holds no weights"):
        select_state_dict(checkpoint)


def test_a_checkpoint_that_holds_itself():
    checkpoint = {}
    checkpoint["state_dict"] = checkpoint
    with pytest.raises(InputError, match="holds itself or is nested too deep"):
        select_state_dict(checkpoint)


def test_averaged_weights_are_selected_by_default():
    one, other = {"w": torch.zeros(1)}, {"w": torch.ones(1)}
    checkpoint = {"state_dict": one, "state_dict_ema": other}
    assert select_state_dict(checkpoint)["w"].item() == 1
    assert select_state_dict(checkpoint, ema=False)["w"].item() == 0


def test_clean_names_again_are_unchanged(source):
    once = clean_state_dict(old_style(source))
    twice = clean_state_dict(once)
    assert list(once) == list(twice)
    assert all(torch.equal(once[key], twice[key]) for key in once)


METRICS = [
    np.float64(82.5), np.float32(82.5), np.float16(82.5), np.int64(82), np.int32(-82),
    np.uint8(82), np.bool_(True),
]  # fmt: skip


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: type(metric).__name__)
def test_a_metric_may_be_a_numpy_scalar(tmp_path, metric):
    torch.save({"metric": metric}, tmp_path / "metric.pth")
    loaded = read_checkpoint(tmp_path / "metric.pth")["metric"]
    assert (loaded, type(loaded)) == (metric, type(metric))


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_a_numpy_scalar_written_by_numpy_1_or_2(tmp_path, module):
    path = tmp_path / "metric.pth"
    torch.save({"metric": np.float64(82.5)}, path, _use_new_zipfile_serialization=False)
    written = path.read_bytes()
    here = np.float64(0).__reduce__()[0].__module__
    assert written.count(f"c{here}\n".encode()) == 1
    path.write_bytes(written.replace(f"c{here}\n".encode(), f"c{module}\n".encode()))
    assert read_checkpoint(path)["metric"] == 82.5


def test_what_cannot_be_unpickled_although_trusted(tmp_path):
    path = tmp_path / "old.pth"
    path.write_bytes(b"\x80\x02cno_such_module\nThing\n.")
    trust_checkpoints(True)
    try:
        with pytest.raises(ValueError, match=r"old\.pth' cannot be unpickled: "):
            read_checkpoint(path)
    finally:
        trust_checkpoints(False)


def test_only_our_own_list_counts_while_a_file_is_read(file, monkeypatch):
    """A process may trust numpy's dtype, which a crafted file could crash."""
    before = torch.serialization.get_safe_globals()
    seen = []
    monkeypatch.setattr(
        torch, "load", lambda *args, **kwargs: seen.extend(torch.serialization.get_safe_globals())
    )
    torch.serialization.add_safe_globals([np.dtype, type(np.dtype("float64"))])
    try:
        read_checkpoint(file)
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)
    assert {f"{kind.__module__}.{kind.__name__}" for kind in seen} == set(SAFE_TYPES)


def test_a_crafted_type_of_a_scalar_does_no_harm(tmp_path):
    """numpy's own dtype, which a pickle gives a number as subarray, ends the process."""
    path = tmp_path / "crafted.pth"
    torch.save({"metric": np.float64(82.5)}, path, _use_new_zipfile_serialization=False)
    written = path.read_bytes()
    byte_order = re.search(rb"X\x01\x00\x00\x00<q.NNN", written)
    assert byte_order is not None
    subarray = byte_order.end() - 3
    path.write_bytes(written[:subarray] + b"M" + written[subarray + 1 :])  # "NN" is its value
    with pytest.raises(ValueError, match=r"numpy\.dtype"):
        read_checkpoint(path)


def test_reading_leaves_the_list_of_safe_types_as_it_was(file):
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals([argparse.Namespace])
    try:
        read_checkpoint(file)
        assert argparse.Namespace in torch.serialization.get_safe_globals()
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)
    read_checkpoint(file)
    assert set(torch.serialization.get_safe_globals()) == set(before)


@pytest.fixture
def bomb_file(tmp_path, source):
    """A released-style file with code in it, and the mark that running it would leave."""
    marker = tmp_path / "ran"
    path = tmp_path / "bomb.pth.tar"
    torch.save(released(source, source, metric=Bomb(marker)), path)
    return path, marker


def test_pickled_code_is_refused_and_not_run(bomb_file, target):
    path, marker = bomb_file
    with pytest.raises(ValueError, match=r"holds pickled code \((_?io|builtins)\.open\)"):
        load_checkpoint(target, path)
    assert not marker.exists()


def test_the_pickled_code_of_these_tests_would_run(bomb_file, monkeypatch):
    path, marker = bomb_file
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    torch.load(path, weights_only=False)["metric"].close()
    assert marker.exists()


def test_a_plain_pickle_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "ran"
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb(marker), protocol=2))
    with pytest.raises(ValueError, match=r"plain\.pth'"):
        read_checkpoint(tmp_path / "plain.pth")
    assert not marker.exists()


@pytest.mark.parametrize("part", [0.0001, 0.01, 0.25, 0.5, 0.9, 0.9999])
def test_a_truncated_file_is_refused(file, part):
    whole = file.read_bytes()
    file.write_bytes(whole[: max(1, int(part * len(whole)))])
    with pytest.raises(ValueError, match=r"released\.pth\.tar' is truncated or no checkpoint"):
        read_checkpoint(file)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"not a checkpoint\n" * 9, b"<!DOCTYPE html><html></html>", b"\x80", b"\x80\x02."],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=re.escape(f"checkpoint '{path}' is truncated or no check")
    ):
        read_checkpoint(path)


def test_a_missing_file_is_named(tmp_path, target):
    path = tmp_path / "absent.pth"
    with pytest.raises(FileNotFoundError, match=re.escape(f"checkpoint '{path}' does not exist")):
        load_checkpoint(target, path)


def test_a_folder_is_called_one(tmp_path, target):
    with pytest.raises(InputError, match=re.escape(f"checkpoint '{tmp_path}' is a folder; expect")):
        load_checkpoint(target, tmp_path)
