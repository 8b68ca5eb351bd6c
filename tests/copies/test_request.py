"""From options to a plan and a share; and the copy is what a sweep on the fly would see."""

import cv2
import numpy as np
import pytest

from stl_backbones.copies import Shard
from stl_backbones.copies.request import (
    GenerateOptions,
    choose_workers,
    estimate_copy,
    find_shard,
    make_copy,
    plan_copy,
)
from stl_backbones.datasets.transforms import corrupt_bgr
from stl_backbones.records import Cell, CorruptionEngine, CorruptionSpec
from stl_backbones.robustness.corrupted_copy import find_copy


@pytest.mark.parametrize("channel_order", ["rgb", "bgr"])
def test_a_sweep_over_the_copy_sees_what_it_sees_on_the_fly(mini_data, tmp_path, channel_order):
    cells = [Cell(name, 2.5) for name in ("frost", "gaussian_noise")]
    options = GenerateOptions(
        "cityscapes", corruptions=[cell.corruption for cell in cells], severities=[2.5], limit=2,
        engine=CorruptionEngine("exact", channel_order=channel_order),
    )  # fmt: skip
    plan = plan_copy(mini_data / "cityscapes", tmp_path / "out", options)
    make_copy(plan, tmp_path / "out")
    keys = [source.id for source in plan.sources]
    root = mini_data / "cityscapes/leftImg8bit/val"
    folders = find_copy(tmp_path / "out", cells, keys, image_root=root).folders
    for cell in cells:
        spec = CorruptionSpec(cell.corruption, 2.5, options.engine)
        for key in keys:
            live = corrupt_bgr(cv2.imread(str(root / key)), spec, key=key)
            np.testing.assert_array_equal(cv2.imread(str(folders[cell] / key)), live)


@pytest.mark.parametrize(
    ("layout", "protocol", "cells"),
    [
        ("cityscapes", "stl-cityscapes-c", 72),
        ("coco", "coco-c", 75),
        ("imagenet", "imagenet-c", 75),
    ],
)
def test_a_layout_has_its_own_protocol_and_split(mini_data, tmp_path, layout, protocol, cells):
    plan = plan_copy(mini_data / layout, tmp_path / "out", GenerateOptions(layout))
    assert (plan.protocol, plan.split, len(plan.cells)) == (protocol, "val", cells)
    assert plan.header().mode == "exact"


def test_another_split(mini_data, tmp_path):
    options = GenerateOptions("cityscapes", split="train")
    plan = plan_copy(mini_data / "cityscapes", tmp_path / "out", options)
    assert len(plan.sources) == 6
    assert {source.target.split("/")[0] for source in plan.sources} == {"train"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"protocol": "x"}, KeyError, "unknown protocol 'x'; expected one of"),
        ({"corruptions": ["fgo"]}, KeyError, "did you mean fog"),
        ({"severities": [6]}, ValueError, "severity must be a number in 1..5, got 6"),
        ({"severities": [3.5]}, ValueError, "spatter is water up to severity 3 and mud from 4 on"),
        ({"engine": CorruptionEngine("torch")}, ValueError, "mode 'torch' depends on the device"),
        ({"limit": 0}, ValueError, "limit must be at least 1, got 0"),
        ({"split": "night"}, FileNotFoundError, "expects images in .*leftImg8bit/night"),
        ({"format": "jpeg"}, ValueError, "layout 'cityscapes' is written as png, got 'jpeg'"),
        ({"custom_imports": ["no_such_module"]}, ValueError, "no_such_module"),
    ],
)
def test_bad_options(mini_data, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        plan_copy(
            mini_data / "cityscapes", tmp_path / "out", GenerateOptions("cityscapes", **options)
        )


def test_an_estimate_writes_nothing_and_refuses_a_stranger_s_folder(mini_data, tmp_path):
    options = GenerateOptions("cityscapes", corruptions=["contrast"], severities=[1])
    plan = plan_copy(mini_data / "cityscapes", tmp_path / "out", options)
    assert estimate_copy(plan, tmp_path / "out").files == 4
    assert not (tmp_path / "out").exists()
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="not made by this tool"):
        estimate_copy(plan, tmp_path)


SRUN = {"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0"}


@pytest.mark.parametrize(
    ("text", "environment", "shard"),
    [
        (None, {}, Shard(1, 1)),
        ("3/4", {}, Shard(3, 4)),
        ("3/4", {"RANK": "0", "WORLD_SIZE": "1"}, Shard(3, 4)),
        (None, {"RANK": "2", "WORLD_SIZE": "4"}, Shard(3, 4)),
        (None, {"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, Shard(2, 2)),
        (None, {**SRUN, "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, Shard(2, 2)),
        # srun -n 3 within an allocation of 8
        (
            None,
            {**SRUN, "SLURM_PROCID": "1", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "3"},
            Shard(2, 3),
        ),
        # a batch script, run once, outside srun
        (None, {"SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, Shard(1, 1)),
        # torchrun started by srun: torchrun's rank counts
        (
            None,
            {**SRUN, "SLURM_PROCID": "1", "SLURM_NTASKS": "2", "RANK": "5", "WORLD_SIZE": "8"},
            Shard(6, 8),
        ),
    ],
)
def test_the_share_of_a_process(text, environment, shard):
    assert find_shard(text, environment) == shard


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("1", {}, "must be i/n, such as 1/4"),
        ("0/4", {}, "shard must be 1/n to n/n"),
        ("5/4", {}, "shard must be 1/n to n/n"),
        ("1/2", {"RANK": "0", "WORLD_SIZE": "2"}, "leave --shard out"),
        (None, {"RANK": "a", "WORLD_SIZE": "2"}, "must be numbers"),
    ],
)
def test_no_share(text, environment, message):
    with pytest.raises(ValueError, match=message):
        find_shard(text, environment)


def test_workers(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    assert choose_workers(None, {}) == 8
    assert choose_workers(None, {"LOCAL_WORLD_SIZE": "4"}) == 2
    assert choose_workers(None, {"SLURM_CPUS_PER_TASK": "6"}) == 6
    assert choose_workers(3, {"SLURM_CPUS_PER_TASK": "6"}) == 3
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        choose_workers(0, {})
