"""How a process joins its job: backend, device and first host, without a GPU and without a job."""

import os
from unittest import mock

import pytest
import torch

from stl_backbones.engine import distributed
from stl_backbones.engine.distributed import first_of_node_list, start_distributed
from stl_backbones.errors import InputError

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "a",
    "MASTER_PORT": "1",
}
SLURM = {"SLURM_PROCID": "9", "SLURM_NTASKS": "16", "SLURM_LOCALID": "1",
         "SLURM_STEP_NODELIST": "gpu[03-04]", "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1"}  # fmt: skip
MPI = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}


@pytest.fixture
def start(monkeypatch):
    """Start with an environment and so many GPUs; returns backend, GPU and environment."""

    def run(launcher, environment, gpus):
        with (
            mock.patch.dict(os.environ, environment, clear=True),
            mock.patch.object(torch.cuda, "is_available", return_value=gpus > 0),
            mock.patch.object(torch.cuda, "device_count", return_value=gpus),
            mock.patch.object(torch.cuda, "set_device") as chosen,
            mock.patch.object(distributed.dist, "init_process_group") as begun,
        ):
            start_distributed(launcher)
            (backend,) = begun.call_args.args
            return backend, chosen.call_args and chosen.call_args.args[0], dict(os.environ)

    return run


@pytest.mark.parametrize(
    ("launcher", "environment", "gpus", "expected"),
    [
        ("pytorch", TORCHRUN, 4, ("nccl", 1)),
        ("pytorch", TORCHRUN, 0, ("gloo", None)),
        ("slurm", SLURM, 8, ("nccl", 1)),
        ("slurm", SLURM, 1, ("nccl", 0)),  # each task sees its own GPU alone
        ("mpi", {**MPI, "MASTER_ADDR": "a"}, 2, ("nccl", 1)),
    ],
)
def test_the_group_begins_on_every_device(start, launcher, environment, gpus, expected):
    assert start(launcher, environment, gpus)[:2] == expected


def test_rank_and_first_host_of_a_slurm_job(start):
    _, _, found = start("slurm", SLURM, 0)
    assert (found["RANK"], found["WORLD_SIZE"], found["LOCAL_RANK"]) == ("9", "16", "1")
    assert found["MASTER_ADDR"] == "gpu03"  # not the login node's address
    _, _, found = start("slurm", {**SLURM, "MASTER_ADDR": "mine"}, 0)
    assert found["MASTER_ADDR"] == "mine"


def test_mpi_on_one_host_needs_no_address_and_on_several_asks_for_it(start):
    one_host = {**MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}
    assert start("mpi", one_host, 0)[2]["MASTER_ADDR"] == "127.0.0.1"
    with pytest.raises(InputError, match="needs MASTER_ADDR"):
        start("mpi", {**MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, 0)


@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        ("node7", "node7"), ("node7,node9", "node7"), ("gpu[03-04,07],big1", "gpu03"),
        ("gpu[12,14-16]", "gpu12"), ("r[1-2]n[3-4]", "r1n3"), ("a-b[001-100]-x,c", "a-b001-x"),
    ],
)  # fmt: skip
def test_the_first_host_of_a_node_list(hosts, first):
    assert first_of_node_list(hosts) == first
