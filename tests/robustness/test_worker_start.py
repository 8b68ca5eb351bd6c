"""Workers know what the user registered, and leave the cores alone, however they are started."""

import sys
from unittest import mock

import cv2
import pytest
import torch

from stl_backbones.corruptions import import_modules, registration
from stl_backbones.datasets import loading
from stl_backbones.records import CLEAN
from stl_backbones.results import CellStore
from stl_backbones.robustness import versions
from stl_backbones.robustness.options import SweepOptions, free_workers
from stl_backbones.robustness.sources.config import ConfigSource
from stl_backbones.robustness.sweep import sweep
from stl_backbones.robustness.versions import Versions, load_versions

OWN = """
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from stl_backbones.corruptions import Protocol, register_corruption, register_protocol

@TRANSFORMS.register_module(force=True)
class HalfAsBright(BaseTransform):
    def transform(self, results):
        results["img"] = results["img"] // 2
        return results

@register_corruption("dusk", group="light", version="1")
def dusk(image, severity, rng):
    return image // (1 + severity)

register_protocol(Protocol("evening", {"light": ["dusk"]}, source="a test"))
"""


class Threads(Versions):
    """Versions that are the threads of the process that makes them."""

    def load(self, index):
        return index

    def make(self, index, cell):
        return cv2.getNumThreads(), torch.get_num_threads()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_have_no_threads_of_their_own(monkeypatch, method):
    monkeypatch.setattr(loading, "START_METHOD", method)
    assert list(load_versions(Threads(), [(0,)], [CLEAN], workers=1)) == [[(1, 1)]]


@pytest.fixture(autouse=True)
def _nothing_imported_before(monkeypatch):
    """Modules that other tests of this process imported from folders that are gone."""
    monkeypatch.setattr(registration, "_IMPORTED", {})


@pytest.fixture
def own_sweep(own_catalog, repo_root, mini_checkpoint, mini_options, tmp_path, monkeypatch):
    """A sweep whose pipeline's step and corruption are of a file that is on no path."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "elsewhere" / f"{name}.py"
    file.write_text(OWN)
    config = tmp_path / "own.py"
    config.write_text(
        f"_base_ = ['{repo_root}/configs/seg/stl_fan_t_mini.py']\n"
        "test_pipeline = [dict(type='LoadImageFromFile'),\n"
        "    dict(type='Resize', scale=(128, 64), keep_ratio=False), dict(type='HalfAsBright'),\n"
        "    dict(type='LoadAnnotations'), dict(type='PackSegInputs')]\n"
        "test_dataloader = dict(dataset=dict(pipeline=test_pipeline))\n"
    )
    import_modules([str(file)])

    def run(folder, **chosen):
        given = {"protocol": "evening", "severities": [2], "limit": 2, **chosen}
        source = ConfigSource(config, mini_checkpoint, options=mini_options)
        return CellStore(sweep(source, work_dir=tmp_path / folder, options=SweepOptions(**given)))

    yield run
    sys.modules.pop(name, None)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_that_start_anew_know_the_users_modules(own_sweep, monkeypatch, method):
    here = own_sweep("here", workers=0)
    monkeypatch.setattr(loading, "START_METHOD", method)
    there = own_sweep("there", workers=1)
    assert {cell.name for cell in here.cells()} == {"clean", "dusk-2"}
    for cell in here.cells():
        assert there.path(cell).read_bytes() == here.path(cell).read_bytes()


def test_the_method_is_stated_whatever_pythons_default_is():
    """A library may have changed that for the whole process."""
    with mock.patch.object(versions, "DataLoader", wraps=versions.DataLoader) as made:
        list(load_versions(Threads(), [(0,)], [CLEAN], workers=1))
    context = made.call_args.kwargs["multiprocessing_context"]
    assert context.get_start_method() == loading.START_METHOD == "fork"


@pytest.mark.parametrize(("environment", "workers"), [
    ({}, 15), ({"LOCAL_WORLD_SIZE": "4"}, 3), ({"LOCAL_WORLD_SIZE": "16"}, 1),
    ({"SLURM_CPUS_PER_TASK": "6"}, 5), ({"SLURM_CPUS_PER_TASK": "8", "LOCAL_WORLD_SIZE": "2"}, 3),
    ({"OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, 7),
])  # fmt: skip
def test_with_a_gpu_the_free_cores_work(monkeypatch, environment, workers):
    names = ("LOCAL_WORLD_SIZE", "SLURM_CPUS_PER_TASK", "OMPI_COMM_WORLD_LOCAL_SIZE")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert free_workers() == workers
    asked = SweepOptions(), SweepOptions(workers=0)
    resolved = [one.resolved(protocol="imagenet-c", batch_size=1).workers for one in asked]
    assert resolved == [workers, 0]


def test_without_a_gpu_one_does(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert free_workers() == 1


def test_a_module_of_another_test_is_not_asked_for():
    assert registration.imported_modules() == ()
