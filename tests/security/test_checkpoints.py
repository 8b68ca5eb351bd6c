"""Code in checkpoints: never run unasked, whoever opens the file."""

from __future__ import annotations

import json
import pickle

import mmengine
import numpy as np
import pytest
import torch
from mmengine.runner import CheckpointLoader, load_checkpoint
from torch import nn

from stl_backbones.engine.loading import load_model_weights
from stl_backbones.engine.safe_loaders import install_safe_loaders, load_from_local
from stl_backbones.models import read_checkpoint
from stl_backbones.models.checkpoint_files import trust_checkpoints
from stl_backbones.records import CLEAN, CellResult, Provenance
from stl_backbones.results import CellStore
from stl_backbones.robustness.blocks import BlockStore

PICKLED = ("zip", "legacy", "protocol 5", "averaged", "key", "pickle 2", "pickle 4")
KINDS = (*PICKLED, "pickle 0", "archive", "script")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("forced", ["", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda path: read_checkpoint(path), id="reader"),
        pytest.param(lambda path: load_model_weights(nn.Linear(1, 1), path), id="whole model"),
        pytest.param(lambda path: load_checkpoint(nn.Linear(1, 1), str(path)), id="mmengine"),
        pytest.param(lambda path: torch.load(path), id="whatever else"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # what torch says of such files
def test_no_file_runs_code(tmp_path, monkeypatch, poison, marker, read, forced, kind, request):
    is_old = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6)
    if kind == "script" and is_old and "whatever else" in request.node.name:
        pytest.skip("torch below 2.6 opens TorchScript in any case; the readers here refuse it")
    if forced:
        monkeypatch.setenv(forced, "1")
    install_safe_loaders()
    path = poison(tmp_path / "file.pth", kind)
    with pytest.raises((ValueError, RuntimeError, pickle.UnpicklingError)) as got:
        read(path)
    assert not marker.exists()
    if read.__code__.co_names != ("torch", "load"):
        assert isinstance(got.value, ValueError)
        assert ("--trust-checkpoint" in str(got.value)) == (kind in PICKLED)


def test_the_bombs_would_go_off(tmp_path, poison, marker):
    torch.load(poison(tmp_path / "file.pth", "zip"), weights_only=False)
    assert marker.is_dir()


@pytest.mark.parametrize("kind", ["zip", "pickle 2"])
def test_a_pickle_named_safetensors(tmp_path, poison, marker, kind):
    """What a file holds decides how it is read; its name opens no way round the refusal."""
    with pytest.raises(ValueError, match="holds pickled code"):
        read_checkpoint(poison(tmp_path / "file.safetensors", kind))
    assert not marker.exists()


def test_a_trusted_file_is_run_and_read(tmp_path, poison, marker):
    path = poison(tmp_path / "file.pth", "zip", {"x": torch.ones(2)})
    trust_checkpoints()
    assert read_checkpoint(path)["state_dict"]["x"].tolist() == [1, 1]
    assert marker.is_dir()


def test_a_trusted_file_of_a_whole_model(tmp_path):
    """What ``torch.save(model)`` writes, alone or under the key of YOLO's trainers."""
    network = nn.Linear(2, 3)
    for name, content in (("bare.pth", network), ("held.pth", {"epoch": 3, "model": network})):
        torch.save(content, tmp_path / name)
        with pytest.raises(ValueError, match=r"holds pickled code.*--trust-checkpoint"):
            read_checkpoint(tmp_path / name)
    trust_checkpoints()
    for name in ("bare.pth", "held.pth"):
        fresh = nn.Linear(2, 3)
        load_model_weights(fresh, tmp_path / name)
        assert torch.equal(fresh.weight, network.weight)


@pytest.mark.parametrize("kind", ["pickle 0", "archive", "script"])
def test_trust_makes_no_checkpoint_of_other_files(tmp_path, poison, kind):
    trust_checkpoints()
    with pytest.raises(ValueError, match=r"cannot be unpickled|truncated or no checkpoint"):
        read_checkpoint(poison(tmp_path / "file.pth", kind))


PROVENANCE = Provenance(
    task="classification", model="m", protocol="imagenet-c", dataset="d", dataset_fingerprint="f",
    num_images=1, num_images_total=1, skipped=(), classes=("a", "b"), config_sha256="c",
    checkpoint_sha256="s", inference="i", corruption_source="on-the-fly", corruption_mode="fast",
    corruption_package="p", channel_order="rgb", seed=0, device="cpu", versions={},
)  # fmt: skip


def put_bomb(path, bomb):
    """Make the last array of a file one of objects."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{**arrays, list(arrays)[-1]: np.array([bomb], dtype=object)})


def test_results_hold_no_objects_even_where_checkpoints_are_trusted(tmp_path, bomb, marker):
    trust_checkpoints()
    samples = {"label": np.zeros(1, np.int32)}
    cells = CellStore(tmp_path)
    with cells.writing(PROVENANCE):
        cells.write(CellResult(CLEAN, PROVENANCE, ("image",), samples))
        blocks = BlockStore(tmp_path, PROVENANCE)
        blocks.write(range(1), {CLEAN: samples})
    for path in (*tmp_path.glob("cells/*.npz"), *tmp_path.glob("blocks/*.npz")):
        put_bomb(path, bomb)
    with pytest.raises(ValueError, match=r"clean\.npz"):
        cells.read(CLEAN)
    assert not blocks.has(range(1), [CLEAN])
    assert not marker.exists()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where mmengine and torch keep what they fetched."""
    monkeypatch.setenv("MMENGINE_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    install_safe_loaders()
    return tmp_path


def test_fetched_files_are_no_exception(home, poison, marker):
    poison(home / "hub/checkpoints/net-0123abcd.pth", "zip")
    for address in ("http://nowhere.invalid/", "https://nowhere.invalid/a/"):
        with pytest.raises(ValueError, match=r"net-0123abcd\.pth' holds pickled code \(posix\.mk"):
            CheckpointLoader.load_checkpoint(f"{address}net-0123abcd.pth")
    assert not marker.exists()


def test_names_of_model_zoos_are_no_exception(home, poison, marker):
    poison(home / "net.pth", "zip")
    (home / "open_mmlab.json").write_text(json.dumps({"net": "net.pth"}))
    with pytest.raises(ValueError, match=r"'openmmlab://net' holds pickled code.*--trust-check"):
        CheckpointLoader.load_checkpoint("openmmlab://net")
    assert not marker.exists()


def test_a_fetched_file_loads(home):
    torch.save({"x": torch.ones(1)}, home / "hub/checkpoints/net-0123abcd.pth")
    assert CheckpointLoader.load_checkpoint("http://nowhere.invalid/net-0123abcd.pth")["x"] == 1


def run_record(folder, **info):
    """A checkpoint of mmengine's; what it says of the run is for mmengine to act on."""
    hub = {"log_scalars": {}, "runtime_info": info, "resumed_keys": {}}
    content = {"state_dict": {}, "message_hub": hub, "meta": {"iter": 1, "config": "1 / 0"}}
    torch.save(content, folder / "iter_1.pth")
    return load_from_local(folder / "iter_1.pth")


def test_a_config_in_a_checkpoint_is_not_executed(tmp_path):
    """mmengine's `Runner.resume` executes ``meta['config']``."""
    assert run_record(tmp_path)["meta"] == {"iter": 1}


@pytest.mark.parametrize(
    "stated", ["/etc/passwd", "../other/best_a.pth", "..", "", "thesis.pth", "best_gone.pth"]
)
def test_a_checkpoint_names_no_file_to_be_deleted(tmp_path, stated):
    """mmengine's CheckpointHook removes the last best checkpoint when there is a better one."""
    (tmp_path / "thesis.pth").touch()
    info = run_record(tmp_path, best_ckpt=stated, best_ckpt_loss=stated, best_score=1.0)
    assert info["message_hub"]["runtime_info"] == {"best_score": 1.0}


def test_a_best_checkpoint_is_found_beside_the_file_that_names_it(tmp_path):
    """Also in a copied work folder, whose original must not be touched."""
    (tmp_path / "best_mIoU_iter_1.pth").touch()
    info = run_record(tmp_path, best_ckpt="/original/best_mIoU_iter_1.pth", keep_ckpt_ids=[1, "2"])
    assert info["message_hub"]["runtime_info"] == {
        "best_ckpt": str(tmp_path / "best_mIoU_iter_1.pth"),
        "keep_ckpt_ids": [1],
    }


@pytest.mark.parametrize("stated", [None, 3, "12"])
def test_steps_that_are_no_list_are_none(tmp_path, stated):
    info = run_record(tmp_path, keep_ckpt_ids=stated)
    assert info["message_hub"]["runtime_info"] == {"keep_ckpt_ids": []}


def test_a_checkpoint_that_holds_itself_is_refused(tmp_path):
    content = {"state_dict": {}}
    content["self"] = content
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(ValueError, match="holds itself"):
        load_from_local(tmp_path / "file.pth")


def test_yaml_is_data(tmp_path, marker):
    install_safe_loaders()
    (tmp_path / "file.yml").write_text(f"a: !!python/object/apply:os.mkdir ['{marker}']\n")
    with pytest.raises(ValueError, match="YAML of more than plain data"):
        mmengine.load(tmp_path / "file.yml")
    assert not marker.exists()
    (tmp_path / "file.yml").write_text("a: [1, x]\n")
    assert mmengine.load(tmp_path / "file.yml") == {"a": [1, "x"]}


def test_pickled_annotations_are_refused(tmp_path, bomb, marker):
    install_safe_loaders()
    for name in ("file.pkl", "file.pickle"):
        (tmp_path / name).write_bytes(pickle.dumps(bomb))
        with pytest.raises(ValueError, match=r"a \.pkl file is code; refused"):
            mmengine.load(tmp_path / name)
    assert not marker.exists()


def test_trusted_annotations_are_read(tmp_path):
    install_safe_loaders()
    mmengine.dump({"a": 1}, tmp_path / "file.pkl")
    trust_checkpoints()
    assert mmengine.load(tmp_path / "file.pkl") == {"a": 1}
