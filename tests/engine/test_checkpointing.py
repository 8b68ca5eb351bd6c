"""Checkpoints that a kill at any moment leaves whole, and the run that goes on from them."""

import itertools
import shutil
from typing import ClassVar

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.runner import Runner
from torch import nn

from stl_backbones.engine import checkpointing
from stl_backbones.engine.checkpointing import find_resume, write_whole_files
from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.models import read_checkpoint

RUNS = itertools.count()  # mmengine keeps what it logs by the experiment's name
DATA = {
    "batch_size": 1,
    "num_workers": 0,
    "dataset": {"type": "Numbers"},
    "sampler": {"type": "stl_backbones.EpochSampler", "shuffle": False},
}


@DATASETS.register_module(force=True)
class Numbers:
    metainfo: ClassVar = {}

    def __getitem__(self, index):
        return torch.tensor([float(index)])

    def __len__(self):
        return 2


@MODELS.register_module(force=True)
class OneWeight(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, inputs, mode="tensor"):
        if mode == "loss":
            return {"loss": ((self.weight - inputs[0]) ** 2).mean()}
        return [self.weight.detach().clone()]


@METRICS.register_module(force=True)
class Weight(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(float(data_samples[0]))

    def compute_metrics(self, results):
        return {"weight": results[0]}


class KilledError(BaseException):
    """Stands in for SIGKILL: nothing of ours catches it."""


@pytest.fixture
def run(tmp_path):
    """Run four epochs; returns the runner."""
    write_whole_files()

    def run(folder, *, resume=None, max_epochs=4, **saving):
        hook = {"type": "stl_backbones.SafeCheckpointHook", "interval": 1, **saving}
        config = Config(
            {
                "work_dir": str(folder),
                "default_scope": "mmengine",
                "experiment_name": f"run-{next(RUNS)}",
                "model": {"type": "OneWeight"},
                "train_dataloader": DATA,
                "val_dataloader": DATA,
                "train_cfg": {"by_epoch": True, "max_epochs": max_epochs, "val_interval": 2},
                "val_cfg": {},
                "val_evaluator": {"type": "Weight"},
                "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.1}},
                "default_hooks": {"checkpoint": hook},
                "custom_hooks": [{"type": "stl_backbones.ReproducibleSteps"}],
                "randomness": {"seed": 0},
                "log_level": "ERROR",
                "load_from": resume and str(resume),
                "resume": resume is not None,
            }
        )
        runner = Runner.from_cfg(config)
        runner.train()
        return runner

    return run


BEST = {"save_best": "weight", "rule": "less", "max_keep_ckpts": 1}


def results(folder):
    return {path.name: weight(path) for path in folder.glob("*.pth")}


def weight(path):
    install_safe_loaders()
    return read_checkpoint(path)["state_dict"]["weight"].item()


def killed_when(monkeypatch, name, function):
    """Replace ``checkpointing.write_atomically`` by one that a kill interrupts."""
    write = checkpointing.write_atomically

    def interrupted(path, content):
        if path.name == name:
            function(path, content, write)
            raise KilledError
        write(path, content)

    monkeypatch.setattr(checkpointing, "write_atomically", interrupted)


@pytest.mark.parametrize("is_written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ["epoch_2.pth", "best_weight_epoch_2.pth", "epoch_3.pth",
                                  "epoch_4.pth", "best_weight_epoch_4.pth"])  # fmt: skip
def test_a_run_killed_while_it_saves_ends_alike(run, tmp_path, monkeypatch, name, is_written):
    run(tmp_path / "whole", **BEST)
    with monkeypatch.context() as patch:
        killed_when(patch, name, lambda *args: args[2](*args[:2]) if is_written else None)
        with pytest.raises(KilledError):
            run(tmp_path / "killed", **BEST)
    resume = find_resume(tmp_path / "killed")
    assert resume is not None
    run(tmp_path / "killed", resume=resume, **BEST)
    expected = results(tmp_path / "whole")
    assert set(expected) == {"epoch_4.pth", "best_weight_epoch_4.pth"}
    assert results(tmp_path / "killed") == expected


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_damaged_best_checkpoint_makes_room_for_the_best_of_what_follows(
    run, tmp_path, capsys, share
):
    run(tmp_path, **BEST, max_epochs=2)
    damaged = tmp_path / "best_weight_epoch_2.pth"
    content = damaged.read_bytes()
    damaged.write_bytes(content[: int(len(content) * share)])
    run(tmp_path, resume=find_resume(tmp_path), **{**BEST, "rule": "greater"})
    # Made up for where the run goes on from: the weight shrinks, so this one stays the best.
    assert set(results(tmp_path)) == {"epoch_4.pth", "best_weight_epoch_2.pth"}
    assert f"the best checkpoint '{damaged}' is damaged, removed" in capsys.readouterr().out


def test_one_checkpoint_is_there_at_any_moment(run, tmp_path, monkeypatch):
    """With mmengine's hook and one to keep, the old is gone before the new is written."""
    seen = []
    write = checkpointing.write_atomically

    def look(path, content):
        seen.append(len(list(path.parent.glob("epoch_*.pth"))))
        write(path, content)

    monkeypatch.setattr(checkpointing, "write_atomically", look)
    run(tmp_path, max_keep_ckpts=1)
    assert seen == [0, 1, 1, 1]


def test_what_a_killed_write_left_is_removed(run, tmp_path):
    run(tmp_path)
    partial = tmp_path / ".epoch_4.pth.1234.partial"
    partial.write_bytes(b"half")
    run(tmp_path, resume=tmp_path / "epoch_3.pth")
    assert not partial.exists()


class TestFindResume:
    @pytest.fixture
    def folder(self, tmp_path):
        for step in (1, 2, 10):
            torch.save({"step": step}, tmp_path / f"epoch_{step}.pth")
        (tmp_path / "last_checkpoint").write_text("/elsewhere/epoch_10.pth")
        return tmp_path

    def test_the_file_that_mmengine_names(self, folder):
        assert find_resume(folder) == folder / "epoch_10.pth"
        (folder / "last_checkpoint").write_text("/elsewhere/epoch_2.pth")
        assert find_resume(folder) == folder / "epoch_2.pth"

    @pytest.mark.parametrize("share", [0, 0.5, 0.99])
    def test_a_damaged_one_is_passed_over(self, folder, share, capsys):
        path = folder / "epoch_10.pth"
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        assert find_resume(folder) == folder / "epoch_2.pth"
        assert "epoch_10.pth' is damaged, passed over" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("gone", "taken"),
        [("epoch_12.pth", "epoch_10.pth"), ("epoch_3.pth", "epoch_2.pth"),
         ("epoch_0.pth", "epoch_10.pth"), ("of_another_name.pth", "epoch_10.pth")],
    )  # fmt: skip
    def test_where_that_is_gone_the_newest_before_it_else_the_newest(
        self, folder, gone, taken, capsys
    ):
        (folder / "last_checkpoint").write_text(f"/elsewhere/{gone}")
        assert find_resume(folder) == folder / taken
        said = capsys.readouterr().out
        assert f"{gone}' of last_checkpoint is gone, passed over" in said
        assert f"going on from '{folder / taken}'" in said

    def test_a_byte_that_a_disk_has_turned(self, folder, capsys):
        """Its directory is whole, the weights are not."""
        path = folder / "epoch_10.pth"
        torch.save({"step": torch.arange(1000.0)}, path)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        assert find_resume(folder) == folder / "epoch_2.pth"
        assert "is damaged" in capsys.readouterr().out

    def test_a_bit_that_asks_for_a_password(self, folder, capsys):
        path = folder / "epoch_10.pth"
        content = bytearray(path.read_bytes())
        entry = content.index(b"PK\x01\x02")
        content[entry + 8] |= 1  # in the directory, and before the member
        content[6] |= 1
        path.write_bytes(content)
        assert find_resume(folder) == folder / "epoch_2.pth"
        assert "is damaged" in capsys.readouterr().out

    @pytest.mark.parametrize("text", [b"", b"\xff\xfe", None])
    def test_without_a_name_the_last_step(self, folder, text):
        (folder / "last_checkpoint").unlink()
        if text is not None:
            (folder / "last_checkpoint").write_bytes(text)
        assert find_resume(folder) == folder / "epoch_10.pth"

    def test_none(self, tmp_path):
        torch.save(nn.Linear(1, 1).state_dict(), tmp_path / "best_epoch_3.pth")
        assert find_resume(tmp_path) is None
        assert find_resume(tmp_path / "missing") is None


def test_a_finished_run_resumed_stays_as_it_is(run, tmp_path):
    run(tmp_path / "one", **BEST)
    copy = shutil.copytree(tmp_path / "one", tmp_path / "two")
    run(copy, resume=find_resume(copy), **BEST)
    assert results(copy) == results(tmp_path / "one")
