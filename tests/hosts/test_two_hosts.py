"""Every job of several processes on two hosts, which are two network namespaces here.

Undisturbed, and with a host that is late, killed or cut off: no host hangs, each that is left says
one line and ends with an error, and the finished job has the same bytes as one process.
"""

import json
import os
import subprocess
import sys
import time

import pytest

from faults.interruptions import Work, hash_checkpoints, list_works
from faults.material import prepare_material
from stl_backbones.engine.network import SILENCE
from tests.hosts.namespaces import can_make_hosts, two_hosts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_make_hosts(), reason="needs root and the ip command"),
]
TOO_LONG = 300  # seconds
SWEEPS = ["sweep, segmentation", "sweep, detection", "sweep, classification"]
TRAININGS = ["training, segmentation", "pretraining, labeler"]
COPY = "corrupted copy, Cityscapes layout"
WITHOUT_DRAWS = """
_base_ = ["{}"]
pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="stl_backbones.CheckSegMap"),
    dict(type="Resize", scale=(64, 64), keep_ratio=False),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(num_workers=0, dataset=dict(pipeline=pipeline))
val_dataloader = dict(num_workers=0)
model = dict(data_preprocessor=dict(size=(64, 64)))
"""


@pytest.fixture(scope="module")
def works(tmp_path_factory, repo_root):
    folder = tmp_path_factory.mktemp("material")
    material = prepare_material(folder)
    found = {work.name: work for work in list_works(material, folder)}
    config = folder / "without_draws.py"  # of crops and flips, which a resumed run draws anew
    config.write_text(WITHOUT_DRAWS.format(repo_root / "configs/seg/stl_fan_t_mini.py"))
    found["training, segmentation"] = Work(
        "training, segmentation",
        [repo_root / "tools/train.py", config, "--work-dir",
         "out", "--cfg-options", f"data_root={material.data / 'cityscapes'}", "batch_size=2",
         "max_iters=6", "val_interval=6", "warmup_iters=1",
         "default_hooks.checkpoint.interval=2"],
        again=["--resume"],
        digests=hash_checkpoints,
    )  # fmt: skip
    pretraining = found["pretraining, labeler"]
    found["pretraining, labeler"] = Work(  # a step of two processes needs twice the images
        pretraining.name, [*pretraining.words, "batch_size=2"], again=["--resume"],
        digests=hash_checkpoints,
    )  # fmt: skip
    return found


@pytest.fixture(scope="module")
def undisturbed(works, tmp_path_factory):
    """What a job of one process, or a training of two on one host, ends with."""
    known = {}

    def results(name):
        if name not in known:
            place = tmp_path_factory.mktemp("undisturbed")
            words = [sys.executable, *map(str, works[name].words)]
            if name in TRAININGS:
                words[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
            subprocess.run(words, cwd=place, check=True, capture_output=True, timeout=TOO_LONG)
            known[name] = works[name].results(place)
        return known[name]

    return results


@pytest.fixture
def hosts():
    with two_hosts() as both:
        yield both


class Job:
    """A work on two hosts, started as a user would: by torchrun, a copy by srun."""

    def __init__(self, hosts, work, place, *, late=0.0, again=()):
        self.hosts, self.place = hosts, place
        self.processes = []
        for rank, host in enumerate(hosts):
            words, slurm = [sys.executable], {}
            if work.name == COPY:
                slurm = {"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0", "SLURM_PROCID": str(rank),
                         "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2"}  # fmt: skip
            else:
                words += ["-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1",
                          f"--node_rank={rank}", f"--master_addr={hosts[0].address}",
                          "--master_port=29500"]  # fmt: skip
            self.processes.append(
                host.start(
                    [*words, *work.words, *again], cwd=place, output=place / f"{rank}.txt",
                    environment={**os.environ, **slurm},
                )
            )  # fmt: skip
            time.sleep(late)

    def got(self, rank):
        return (self.place / f"{rank}.txt").read_text()

    def wait_for(self, pattern):
        deadline = time.monotonic() + TOO_LONG
        while not list((self.place / "out").glob(pattern)):
            assert time.monotonic() < deadline, self.got(0) + self.got(1)
            assert self.processes[0].poll() is None, self.got(0)
            time.sleep(0.02)

    def wait(self, rank=0):
        return self.processes[rank].wait(TOO_LONG)

    def assert_well(self):
        assert [self.wait(rank) for rank in (0, 1)] == [0, 0], self.got(0) + self.got(1)


def error_lines(text):
    return [line for line in text.splitlines() if ".py: error:" in line]


@pytest.mark.parametrize("name", [*SWEEPS, COPY])
def test_two_hosts_end_with_the_bytes_of_one_process(name, works, undisturbed, hosts, tmp_path):
    Job(hosts, works[name], tmp_path).assert_well()
    assert works[name].results(tmp_path) == undisturbed(name) != {}


def test_a_host_may_be_late(works, undisturbed, hosts, tmp_path):
    name = "sweep, classification"
    Job(hosts, works[name], tmp_path, late=30.0).assert_well()
    assert works[name].results(tmp_path) == undisturbed(name)


@pytest.mark.parametrize(
    ("name", "lost"), [(SWEEPS[0], 0), (SWEEPS[0], 1), (SWEEPS[1], 1), (SWEEPS[2], 1)]
)
def test_a_sweep_of_a_killed_host_goes_on(name, lost, works, undisturbed, hosts, tmp_path):
    work = works[name]
    job = Job(hosts, work, tmp_path)
    job.wait_for("blocks/*.npz")
    hosts[lost].kill()
    assert job.wait(1 - lost) == 1  # torchrun's
    (line,) = error_lines(job.got(1 - lost))
    assert "another process of this job has ended" in line
    assert "what is finished is kept; go on with: torchrun" in line
    kept = list((tmp_path / "out/blocks").glob("*.npz")) or list((tmp_path / "out/cells").iterdir())
    assert kept
    Job(hosts, work, tmp_path).assert_well()
    assert work.results(tmp_path) == undisturbed(name)


@pytest.mark.parametrize("lost", [0, 1])
def test_both_sides_of_a_cut_cable_end(lost, works, undisturbed, hosts, tmp_path):
    work = works[SWEEPS[0]]
    job = Job(hosts, work, tmp_path)
    job.wait_for("blocks/*.npz")
    hosts[lost].cut_off()
    start = time.monotonic()
    assert [job.wait(rank) for rank in (0, 1)] == [1, 1]
    assert time.monotonic() - start < 2 * SILENCE
    for rank in (0, 1):
        (line,) = error_lines(job.got(rank))
        assert "another process of this job does not answer" in line
    words = [sys.executable, *map(str, work.words)]  # the rest by one process, on one host
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, timeout=TOO_LONG)
    assert work.results(tmp_path) == undisturbed(SWEEPS[0])


@pytest.mark.parametrize(
    ("name", "pattern"), [(TRAININGS[0], "iter_*.pth"), (TRAININGS[1], "epoch_*.pth")]
)
def test_a_training_resumes_as_if_no_host_had_been_lost(
    name, pattern, works, undisturbed, hosts, tmp_path
):
    work = works[name]
    job = Job(hosts, work, tmp_path)
    job.wait_for(pattern)
    hosts[1].kill()
    assert job.wait(0) == 1
    (line,) = error_lines(job.got(0))
    assert "the last checkpoint is kept; go on with: torchrun" in line
    assert line.endswith("--resume")
    Job(hosts, work, tmp_path, again=work.again).assert_well()
    assert works[name].results(tmp_path) == undisturbed(name) != {}


def test_a_copy_whose_host_is_killed_is_finished_by_the_same_command(
    works, undisturbed, hosts, tmp_path
):
    work = works[COPY]
    job = Job(hosts, work, tmp_path)
    job.wait_for(".generation/journal-2*.jsonl")
    hosts[1].kill()
    assert job.wait(0) == 0  # its own share is whole
    assert "not complete, so without a manifest" in job.got(0)
    assert not (tmp_path / "out/manifest.json").exists()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}
    assert before
    Job(hosts, work, tmp_path).assert_well()
    assert work.results(tmp_path) == undisturbed(COPY)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_wrong_protocol_is_said_once_in_the_whole_job(works, hosts, tmp_path):
    work = works[SWEEPS[2]]
    wrong = Work(work.name, [*work.words, "--protocol", "coco-d"])
    job = Job(hosts, wrong, tmp_path)
    assert [job.wait(rank) for rank in (0, 1)] == [1, 1]
    (line,) = error_lines(job.got(0)) + error_lines(job.got(1))
    assert "coco-d" in line


def test_nothing_is_left_of_the_hosts():
    with two_hosts() as (first, second):
        sleeper = subprocess.Popen(["ip", "netns", "exec", first.name, "sleep", "600"])
        names = {first.name, second.name}
        while sleeper.pid not in first.pids():
            time.sleep(0.01)
    assert sleeper.wait(10) != 0
    listed = json.loads(subprocess.check_output(["ip", "-j", "netns", "list"]) or "[]")
    assert not names & {one["name"] for one in listed}
