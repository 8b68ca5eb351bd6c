"""The processes that load data for a training, however they are started."""

import json
import os
import sys

import pytest
import torch
from mmengine.config import Config

from stl_backbones.training.runs import prepare_run
from stl_backbones.training.train import train

# A step that notes what its process knows; the other module is named in the config alone.
STEP = """
import json
import os

import cv2
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import DefaultScope
from mmseg.registry import TRANSFORMS

@TRANSFORMS.register_module(force=True)
class NotingStep(BaseTransform):
    def transform(self, results):
        scope = DefaultScope.get_current_instance()
        found = dict(
            process=os.getpid(), knows=TRANSFORMS.get("OwnOther") is not None,
            opencv=cv2.getNumThreads(), torch=torch.get_num_threads(),
            scope=scope and scope.scope_name,
        )
        with open("{notes}", "a") as file:
            file.write(json.dumps(found) + chr(10))
        return results
"""
OTHER = """
from mmseg.registry import TRANSFORMS

@TRANSFORMS.register_module(force=True)
class OwnOther:
    pass
"""
CONFIG = """
_base_ = ["{repo}/configs/seg/stl_fan_t_mini.py"]
custom_imports = dict(imports=["own_step", "own_other", "stl_backbones.transfer",
    "stl_backbones.datasets.cityscapes", "stl_backbones.datasets.transforms",
    "stl_backbones.evaluation", "stl_backbones.engine"])
train_dataloader = dict(num_workers=1, multiprocessing_context="spawn", dataset=dict(
    pipeline=[*_base_.train_pipeline[:-1], dict(type="NotingStep"), _base_.train_pipeline[-1]]))
val_dataloader = None
val_cfg = None
val_evaluator = None
"""


def test_a_spawned_worker_knows_the_users_modules_and_keeps_to_one_thread(
    repo_root, mini_data, tmp_path, monkeypatch
):
    notes = tmp_path / "notes"
    (tmp_path / "own_step.py").write_text(STEP.replace("{notes}", str(notes)))
    (tmp_path / "own_other.py").write_text(OTHER)
    (tmp_path / "own.py").write_text(CONFIG.format(repo=repo_root))
    monkeypatch.syspath_prepend(tmp_path)
    options = {"data_root": str(mini_data / "cityscapes"), "img_scale": (128, 64), "batch_size": 2,
               "crop_size": (64, 64), "max_iters": 2, "warmup_iters": 1}  # fmt: skip
    try:
        train(tmp_path / "own.py", work_dir=tmp_path / "run", options=options)
    finally:
        for name in ("own_step", "own_other"):
            sys.modules.pop(name, None)
    noted = [json.loads(line) for line in notes.read_text().splitlines()]
    of_worker = [note for note in noted if note["process"] != os.getpid()]
    assert of_worker
    for note in of_worker:
        assert (note["knows"], note["torch"], note["scope"]) == (True, 1, "mmseg")
        assert note["opencv"] in (0, 1)


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """The train loader's settings as a run gets them, with or without a GPU and with 8 cores."""

    def prepare(loader, *, gpu):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {*range(8)})
        config = Config({"model": {}, "train_dataloader": {"dataset": {}, **loader}})
        prepare_run(config, "x.py", work_dir=tmp_path, launcher="none", uses=("train",))
        return {k: v for k, v in config.train_dataloader.items() if k != "dataset"}

    return prepare


def test_loaders_are_sized_by_cores_and_pinned_for_a_gpu(prepared):
    assert prepared({}, gpu=True) == {"num_workers": 7, "pin_memory": True}
    assert prepared({}, gpu=False) == {"num_workers": 7, "pin_memory": False}


def test_what_a_config_says_of_its_loader_stays(prepared):
    own = {"num_workers": 0, "pin_memory": False}
    assert prepared(own, gpu=True) == own
