"""Training checkpoints into whole models: only plain data, every key or none."""

from __future__ import annotations

import argparse
import os

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import load_checkpoint
from torch import nn

from stl_backbones.engine.loading import load_model_weights
from stl_backbones.engine.safe_loaders import install_safe_loaders


class Bomb:
    """Creates a file when unpickled by a pickle that runs code."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, "w")


@pytest.fixture(autouse=True)
def _own_trust(monkeypatch):
    """What a test lets pass does not pass in the next one."""
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    before = torch.serialization.get_safe_globals()
    yield
    os.environ.pop("TORCH_FORCE_WEIGHTS_ONLY_LOAD", None)
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)


@pytest.fixture
def make_model():
    def make(width=4, **more):
        torch.manual_seed(width)
        return nn.ModuleDict({"body": nn.Linear(3, width), "head": nn.Linear(4, 2), **more})

    return make


@pytest.fixture
def make_checkpoint(make_model):
    """What mmengine's Runner writes."""

    def make(**more):
        hub = MessageHub("test_loading")
        for loss in (3.0, 2.0):
            hub.update_scalar("train/loss", np.float32(loss))
        hub.update_info("iter", 2)
        return {
            "meta": {"iter": 2, "experiment_name": "run", "seed": 0},
            "message_hub": hub.state_dict(),
            "state_dict": make_model().state_dict(),
            "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
            **more,
        }

    return make


@pytest.fixture
def file(tmp_path, make_checkpoint):
    path = tmp_path / "iter_2.pth"
    torch.save(make_checkpoint(), path)
    return path


def assert_same_weights(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def fresh(make_model):
    model = make_model()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 7.0)
    return model


def test_a_checkpoint_with_a_history_loads(file, make_model, fresh):
    load_model_weights(fresh, file)
    assert_same_weights(fresh, make_model())


def test_a_checkpoint_with_a_history_loads_through_mmengine(file, make_model, fresh):
    install_safe_loaders()
    checkpoint = load_checkpoint(fresh, str(file))
    assert_same_weights(fresh, make_model())
    history = checkpoint["message_hub"]["log_scalars"]["train/loss"]
    assert history.data[0].tolist() == [3.0, 2.0]
    assert history.mean() == 2.5


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_a_history_written_by_numpy_1_or_2(tmp_path, make_checkpoint, fresh, module):
    path = tmp_path / "other.pth"
    torch.save(make_checkpoint(), path, _use_new_zipfile_serialization=False)
    here = np.zeros(0).__reduce__()[0].__module__
    written = path.read_bytes()
    assert f"c{here}\n_reconstruct".encode() in written
    path.write_bytes(written.replace(f"c{here}\n".encode(), f"c{module}\n".encode()))
    load_model_weights(fresh, path)
    install_safe_loaders()
    history = load_checkpoint(fresh, str(path))["message_hub"]["log_scalars"]["train/loss"]
    assert history.mean() == 2.5


def test_a_released_files_options_load_through_mmengine(tmp_path, make_checkpoint, fresh):
    torch.save(make_checkpoint(args=argparse.Namespace(lr=0.5)), tmp_path / "released.pth")
    install_safe_loaders()
    assert load_checkpoint(fresh, str(tmp_path / "released.pth"))["args"].lr == 0.5


@pytest.mark.parametrize("key", ["model", "model_state_dict", "model_ema"])
def test_mmengine_finds_weights_under_other_keys(tmp_path, make_model, fresh, key):
    """As backbones of OpenMMLab load their ``init_cfg``; it would take none of them, and go on."""
    torch.save({key: make_model().state_dict(), "epoch": 3}, tmp_path / "other.pth")
    install_safe_loaders()
    load_checkpoint(fresh, str(tmp_path / "other.pth"))
    assert_same_weights(fresh, make_model())


def test_trust_lasts_over_both_ways_of_loading(file, make_model, fresh):
    install_safe_loaders()
    for load in (load_model_weights, load_checkpoint) * 2:
        for parameter in fresh.parameters():
            nn.init.constant_(parameter, 7.0)
        load(fresh, str(file))
        assert_same_weights(fresh, make_model())


@pytest.mark.parametrize("prefix", ["module.", "module._orig_mod.", "model.", "student.net."])
def test_a_wrapped_models_checkpoint_loads(tmp_path, make_checkpoint, make_model, fresh, prefix):
    wrapped = {f"{prefix}{k}": v for k, v in make_model().state_dict().items()}
    torch.save(make_checkpoint(state_dict=wrapped), tmp_path / "wrapped.pth")
    load_model_weights(fresh, tmp_path / "wrapped.pth")
    assert_same_weights(fresh, make_model())


def test_a_compiled_parts_checkpoint_loads(tmp_path, make_model, fresh):
    weights = make_model().state_dict()
    marked = {k.replace("body.", "body._orig_mod."): v for k, v in weights.items()}
    torch.save({"state_dict": marked}, tmp_path / "marked.pth")
    load_model_weights(fresh, tmp_path / "marked.pth")
    assert_same_weights(fresh, make_model())


@pytest.mark.parametrize(("ema", "width"), [(True, 1), (False, 0)])
def test_averaged_or_raw_weights(tmp_path, make_model, fresh, ema, width):
    weights = make_model().state_dict()
    averaged = {name: value + 1 for name, value in weights.items()}
    torch.save({"state_dict": weights, "state_dict_ema": averaged}, tmp_path / "both.pth")
    load_model_weights(fresh, tmp_path / "both.pth", ema=ema)
    assert torch.equal(fresh["body"].bias, weights["body.bias"] + width)


def test_missing_unexpected_and_reshaped_keys_are_named(tmp_path, make_model):
    theirs = make_model(5, neck=nn.Linear(1, 1))
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "other.pth")
    ours = make_model(4, tail=nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"other\.pth' does not fit") as got:
        load_model_weights(ours, tmp_path / "other.pth")
    for part in (
        "2 keys missing (tail.weight, tail.bias)",
        "2 keys unexpected (neck.weight, neck.bias)",
        "2 keys of another shape (body.weight (5, 3) instead of (4, 3), "
        "body.bias (5,) instead of (4,))",
    ):
        assert part in str(got.value)


def test_a_refused_checkpoint_changes_no_weight(tmp_path, make_model):
    torch.save({"state_dict": make_model(5).state_dict()}, tmp_path / "other.pth")
    model = make_model(4)
    with pytest.raises(ValueError, match="does not fit"):
        load_model_weights(model, tmp_path / "other.pth")
    assert_same_weights(model, make_model(4))


def test_long_lists_of_keys_are_cut(tmp_path, make_model):
    torch.save({"state_dict": {"other": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(
        ValueError, match=r"4 keys missing \(body\.weight, [^)]*, \.\.\. \(1 more\)\)"
    ):
        load_model_weights(make_model(), tmp_path / "other.pth")


@pytest.fixture
def bomb_file(tmp_path, make_checkpoint):
    marker = tmp_path / "ran"
    path = tmp_path / "bomb.pth"
    torch.save(make_checkpoint(hook=Bomb(marker)), path)
    return path, marker


def test_the_pickled_code_of_these_tests_would_run(bomb_file):
    path, marker = bomb_file
    torch.load(path, weights_only=False)["hook"].close()
    assert marker.exists()


def test_pickled_code_is_refused_and_not_run(bomb_file, fresh):
    path, marker = bomb_file
    with pytest.raises(ValueError, match=r"bomb\.pth' holds pickled code"):
        load_model_weights(fresh, path)
    assert not marker.exists()


def test_pickled_code_is_not_run_by_mmengine_either(bomb_file, fresh):
    path, marker = bomb_file
    install_safe_loaders()
    with pytest.raises(ValueError, match=r"pickled code \(io\.open\).*--trust-checkpoint"):
        load_checkpoint(fresh, str(path))
    assert not marker.exists()


class Borrow:
    """Asks for an attribute by `getattr`, the first step of many an attack."""

    def __init__(self, owner, name):
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


@pytest.mark.parametrize("name", ["__init__", "__setstate__", "register_statistics"])
def test_getattr_reaches_nothing_but_the_statistics(tmp_path, make_checkpoint, fresh, name):
    torch.save(make_checkpoint(hook=Borrow(HistoryBuffer, name)), tmp_path / "borrow.pth")
    with pytest.raises(ValueError, match=r"holds pickled code \(builtins\.getattr\)"):
        load_model_weights(fresh, tmp_path / "borrow.pth")


def test_a_missing_file(tmp_path, fresh):
    with pytest.raises(FileNotFoundError, match=r"absent\.pth' does not exist"):
        load_model_weights(fresh, tmp_path / "absent.pth")


def test_a_truncated_file(file, fresh):
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ValueError, match="is truncated or no checkpoint"):
        load_model_weights(fresh, file)


@pytest.mark.parametrize("kind", ["float64", "float32", "int64", "uint32", "bool"])
def test_numpy_scalars_load_beside_the_weights(tmp_path, make_checkpoint, fresh, kind):
    value = np.dtype(kind).type(1)
    torch.save(make_checkpoint(best=value), tmp_path / "best.pth")
    install_safe_loaders()
    best = load_checkpoint(fresh, str(tmp_path / "best.pth"))["best"]
    assert (best, best.dtype) == (1, np.dtype(kind))


def test_a_crafted_array_type_is_refused_before_numpy_sees_it(tmp_path):
    """A pickled dtype with another state can crash numpy itself."""
    import pickle

    from stl_backbones.models.safe_types import PickledArray, PickledDtype

    with pytest.raises(pickle.UnpicklingError, match=r"numpy\.dtype"):
        PickledDtype("f8").__setstate__((3, "<", 7, None, None, -1, -1, 0))
    with pytest.raises(pickle.UnpicklingError, match=r"numpy\.ndarray"):
        PickledArray().__setstate__((1, (3,), PickledDtype("f8"), False, b"123"))


class Renaming(torch.nn.Linear):
    """Like some heads of mmdet, it takes an older name for its weight."""

    def _load_from_state_dict(self, state_dict, prefix, *args):
        if f"{prefix}old" in state_dict:
            state_dict[f"{prefix}weight"] = state_dict.pop(f"{prefix}old")
        super()._load_from_state_dict(state_dict, prefix, *args)


def test_names_that_modules_change_while_they_load(tmp_path):
    model = torch.nn.Sequential(Renaming(2, 3))
    torch.save({"0.old": torch.ones(3, 2), "0.bias": torch.zeros(3)}, tmp_path / "old.pth")
    load_model_weights(model, tmp_path / "old.pth")
    assert (model[0].weight == 1).all()
    torch.save({"0.old": torch.zeros(3, 2), "1.bias": torch.ones(3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="2 keys missing"):
        load_model_weights(model, tmp_path / "other.pth")
    assert (model[0].weight == 1).all()
