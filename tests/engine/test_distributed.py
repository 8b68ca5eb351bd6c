"""How a process joins its job: backend, device and first host, without a GPU and without a job."""

import os
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
import torch.distributed as dist

from stl_backbones.engine import distributed
from stl_backbones.engine.distributed import (
    check_own_gpu,
    first_of_node_list,
    start_distributed,
)
from stl_backbones.errors import InputError

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "a",
    "MASTER_PORT": "1",
}
# What srun gives a task, recorded; the job has 32 tasks, this step 16.
SLURM = {
    "SLURM_JOB_ID": "4567891", "SLURM_NTASKS": "32", "SLURM_STEP_NUM_TASKS": "16",
    "SLURM_PROCID": "9", "SLURM_LOCALID": "1", "SLURM_STEP_NODELIST": "gpu[03-04]",
    "SLURM_JOB_NODELIST": "gpu[01-04]", "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1",
}  # fmt: skip
MPI = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
UUIDS = ("GPU-0", "GPU-1", "GPU-2", "GPU-3")


@pytest.fixture
def start():
    """Start with an environment and these GPUs; `others` took that GPU, or each its own."""

    def run(launcher, environment, gpus=(), others=None):
        store = dist.HashStore()

        def meet(url, timeout):
            assert (url, timeout) == ("env://", distributed._PATIENCE)
            rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
            for other in range(size):
                if other != rank:
                    store.set(f"gpu of {other}", f"its {other}" if others is None else others)
            yield store, rank, size

        with (
            mock.patch.dict(os.environ, environment, clear=True),
            mock.patch.object(torch.cuda, "is_available", return_value=bool(gpus)),
            mock.patch.object(torch.cuda, "device_count", return_value=len(gpus)),
            mock.patch.object(torch.cuda, "set_device") as chosen,
            mock.patch.object(
                torch.cuda, "current_device", side_effect=lambda: chosen.call_args.args[0]
            ),
            mock.patch.object(
                torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=gpus[index])
            ),
            mock.patch.object(distributed, "rendezvous", meet),
            mock.patch.object(distributed.dist, "init_process_group") as begun,
        ):
            start_distributed(launcher)
            (backend,), found = begun.call_args
            assert found["timeout"] == distributed._PATIENCE
            return backend, chosen.call_args and chosen.call_args.args[0], dict(os.environ)

    return run


@pytest.mark.parametrize(
    ("launcher", "environment", "gpus", "expected"),
    [
        ("pytorch", TORCHRUN, UUIDS, ("nccl", 1)),
        ("slurm", SLURM, UUIDS, ("nccl", 1)),
        ("slurm", SLURM, UUIDS[:1], ("nccl", 0)),  # each task sees its own GPU alone
        ("mpi", {**MPI, "MASTER_ADDR": "a"}, UUIDS[:2], ("nccl", 1)),
    ],
)
def test_the_group_begins_on_every_device(start, launcher, environment, gpus, expected):
    assert start(launcher, environment, gpus)[:2] == expected


def test_without_gpus_the_group_is_gloos(start):
    assert start("pytorch", TORCHRUN, others="")[:2] == ("gloo", None)


@pytest.mark.parametrize("gpus", [UUIDS[:1], UUIDS[:2]])
def test_processes_that_share_a_gpu_meet_over_gloo(start, gpus):
    """NCCL refuses two on one; the second of two GPUs is also that of processes 3, 5 and 7."""
    backend, index, _ = start("pytorch", TORCHRUN, gpus, others=gpus[-1])
    assert (backend, index) == ("gloo", len(gpus) - 1)


@pytest.mark.parametrize(("gpus", "others"), [(UUIDS, ""), ((), UUIDS[0])])
def test_some_with_and_some_without_gpus_are_refused(start, gpus, others):
    with pytest.raises(InputError, match=r"process \d of the job's 8 sees no GPU") as caught:
        start("pytorch", TORCHRUN, gpus, others)
    assert caught.value.reported_by_main  # this one is process 5


def test_training_refuses_processes_that_share_a_gpu(monkeypatch):
    backends = iter(["nccl", "gloo"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_backend", lambda: next(backends))
    monkeypatch.setattr(dist, "get_world_size", lambda: 8)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    check_own_gpu()
    with pytest.raises(InputError, match="needs a GPU for each process, and the 8 of this job"):
        check_own_gpu()


def test_rank_and_first_host_of_a_slurm_step(start):
    _, _, found = start("slurm", SLURM, UUIDS)
    assert (found["RANK"], found["WORLD_SIZE"], found["LOCAL_RANK"]) == ("9", "16", "1")
    assert found["MASTER_ADDR"] == "gpu03"  # not the login node's address, nor the job's first
    _, _, found = start("slurm", {**SLURM, "MASTER_ADDR": "mine", "MASTER_PORT": "7"}, UUIDS)
    assert (found["MASTER_ADDR"], found["MASTER_PORT"]) == ("mine", "7")


def test_two_slurm_jobs_on_a_host_have_two_ports(start):
    jobs = [{**SLURM, "SLURM_JOB_ID": str(4567891 + number)} for number in range(2)]
    ports = [int(start("slurm", job, UUIDS)[2]["MASTER_PORT"]) for job in jobs]
    assert ports == [17891, 17892]


def test_a_heterogeneous_step_counts_all_its_groups(start):
    """srun --het-group=0,1: the first group has 2 tasks, the whole step 6."""
    groups = {"SLURM_HET_SIZE": "2", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "6",
              "SLURM_PROCID": "5", "SLURM_STEP_NODELIST": "big1,gpu[03-04]"}  # fmt: skip
    _, _, found = start("slurm", {**SLURM, **groups}, UUIDS)
    assert (found["WORLD_SIZE"], found["MASTER_ADDR"]) == ("6", "big1")


def without(environment, name):
    return {key: value for key, value in environment.items() if key != name}


@pytest.mark.parametrize(
    ("launcher", "environment", "says"),
    [
        # the batch script itself, which is one process of no step
        ("slurm", without(SLURM, "SLURM_STEP_NUM_TASKS"),
         "needs SLURM_STEP_NUM_TASKS in the environment; start the tool with srun$"),
        ("slurm", {**SLURM, "SLURM_PROCID": "16"}, "SLURM_PROCID 16 is no process of 16"),
        ("pytorch", {**TORCHRUN, "LOCAL_RANK": "x"}, "LOCAL_RANK must be a number, got 'x'"),
        ("pytorch", {}, "start the tool with torchrun$"),
        ("pytorch", without(TORCHRUN, "MASTER_ADDR"), "needs MASTER_ADDR"),
        ("mpi", {}, "OMPI_COMM_WORLD_LOCAL_RANK in the environment; start the tool with mpirun$"),
        # MPICH's and Intel's
        ("mpi", {"PMI_RANK": "0", "PMI_SIZE": "2"}, r"of Open MPI \(got PMI_RANK, another MPI's\)"),
    ],
)  # fmt: skip
def test_what_is_no_job_is_refused(start, launcher, environment, says):
    with pytest.raises(InputError, match=says):
        start(launcher, environment)


def test_mpi_on_one_host_needs_no_address_and_on_several_asks_for_it(start):
    one_host = {**MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}
    assert start("mpi", one_host, others="")[2]["MASTER_ADDR"] == "127.0.0.1"
    with pytest.raises(InputError, match="needs MASTER_ADDR"):
        start("mpi", {**MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "1"})


@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        ("node7", "node7"), ("node7,node9", "node7"), ("gpu[03-04,07],big1", "gpu03"),
        ("gpu[12,14-16]", "gpu12"), (" n[0-12:4] ", "n0"), ("10.1.0.7", "10.1.0.7"),
        ("r[1-2]n[3-4]", "r1n3"), ("a-b[001-100]-x,c", "a-b001-x"),
    ],
)  # fmt: skip
def test_the_first_host_of_a_node_list(hosts, first):
    assert first_of_node_list(hosts) == first
