"""Several processes, with or without GPUs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed import rendezvous

from stl_backbones.engine.collectives import Collectives
from stl_backbones.engine.network import choose_interface, notice_silence
from stl_backbones.errors import InputError

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")
T = TypeVar("T")

# What a launcher calls rank, size and local rank. Slurm's own numbers are those of the step, which
# a script that srun did not start lacks; so it counts all groups of a heterogeneous step.
_VARIABLES = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}
_STARTERS = {"pytorch": "torchrun", "slurm": "srun", "mpi": "mpirun"}
_OTHER_MPI = "PMI_RANK"  # of MPICH and its kin, Intel's among them
# Of what torch and mmengine do together, in training: the main process may score COCO meanwhile.
_PATIENCE = timedelta(minutes=30)


def start_distributed(launcher: str) -> None:
    """Join the launcher's process group; mmengine's runner, built later, finds it.

    Each process takes one of the GPUs that it sees, by its number on its host. The group is NCCL's
    where every process has a GPU of its own, and else gloo's: on CPUs, and where several processes
    share a GPU, which NCCL refuses.

    Raises:
        ValueError: If the launcher is unknown, did not start this process, or names no first host,
            only some of the processes see a GPU, or one does not reach the others.
    """
    if launcher not in LAUNCHERS:
        raise InputError(f"launcher must be one of {', '.join(LAUNCHERS)}, got '{launcher}'")
    if launcher == "none" or dist.is_initialized():
        return
    _name_place(launcher)
    choose_interface(os.environ["MASTER_ADDR"])
    try:
        store, rank, size = next(rendezvous("env://", timeout=_PATIENCE))
        backend = _choose_backend(store, rank, size)
        # torch 2.5 writes its arguments for a log, and fails at the store of a host without a name.
        group = dist.PrefixStore("group", store)
        dist.init_process_group(backend, store=group, rank=rank, world_size=size, timeout=_PATIENCE)
    except RuntimeError as error:  # torch's errors of store and network among them
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise InputError(
            f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} does not reach the others "
            f"by way of {place}: {str(error).splitlines()[0]}; see docs/how-to/cluster.md"
        ) from error
    notice_silence()


def _name_place(launcher: str) -> None:
    """Have the environment name rank, size and first host as torch expects it."""
    names = _VARIABLES[launcher]
    absent = [name for name in names if name not in os.environ]
    if absent:
        other = f" of Open MPI (got {_OTHER_MPI}, another MPI's)" if launcher == "mpi" else ""
        raise InputError(
            f"--launcher {launcher} needs {', '.join(absent)} in the environment"
            f"{other if _OTHER_MPI in os.environ else ''}; start the tool with "
            f"{'torchrun' if other and _OTHER_MPI in os.environ else _STARTERS[launcher]}"
        )
    for target, name in zip(_VARIABLES["pytorch"], names, strict=True):
        if not os.environ[name].isdecimal():
            raise InputError(f"{name} must be a number, got '{os.environ[name]}'")
        os.environ[target] = os.environ[name]
    if int(os.environ["RANK"]) >= int(os.environ["WORLD_SIZE"]):
        raise InputError(
            f"{names[0]} {os.environ['RANK']} is no process of {os.environ['WORLD_SIZE']} "
            f"({names[1]}); start all of them with one {_STARTERS[launcher]}"
        )
    if "MASTER_ADDR" not in os.environ:
        os.environ["MASTER_ADDR"] = _first_host(launcher)
    # Two jobs may share a host; ports from 32768 on are given out by Linux itself.
    job = os.environ.get("SLURM_JOB_ID", "") if launcher == "slurm" else ""
    os.environ.setdefault(
        "MASTER_PORT", str(10000 + int(job) % 20000) if job.isdecimal() else "29500"
    )


def _choose_backend(store: dist.Store, rank: int, size: int) -> str:
    """Take a GPU, and choose the group that fits the GPUs of all processes."""
    mine = ""
    if torch.cuda.is_available():
        # A launcher may show each process one GPU alone, whatever its number on the host.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        mine = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
    store.set(f"gpu of {rank}", mine)
    everyone = [store.get(f"gpu of {other}").decode() for other in range(size)]
    without = [other for other, gpu in enumerate(everyone) if not gpu]
    if 0 < len(without) < size:
        raise _marked(
            InputError(
                f"process {without[0]} of the job's {size} sees no GPU, and others do; give every "
                "process one, or have all compute with --device cpu"
            ),
            is_main=rank == 0,
        )
    return "gloo" if without or len(set(everyone)) < size else "nccl"


def check_own_gpu() -> None:
    """Refuse processes that share a GPU, for what gains nothing by it.

    Raises:
        ValueError: If they do.
    """
    if dist.is_initialized() and torch.cuda.is_available() and dist.get_backend() == "gloo":
        raise _marked(
            InputError(
                f"training needs a GPU for each process, and the {dist.get_world_size()} of this "
                "job share theirs; start as many processes on a host as it has GPUs"
            ),
            is_main=dist.get_rank() == 0,
        )


def _marked(error: Exception, *, is_main: bool) -> Exception:
    # The command line prints an error once, not once per process.
    error.reported_by_main = not is_main  # type: ignore[attr-defined]
    return error


def _first_host(launcher: str) -> str:
    """Where the process of rank 0 listens."""
    sizes = {"mpi": "OMPI_COMM_WORLD_LOCAL_SIZE", "pytorch": "LOCAL_WORLD_SIZE"}
    hosts = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_JOB_NODELIST")
    if launcher == "slurm" and hosts:
        return first_of_node_list(hosts)
    if os.environ.get(sizes.get(launcher, "")) == os.environ["WORLD_SIZE"]:
        return "127.0.0.1"
    raise InputError(
        f"--launcher {launcher} on several hosts needs MASTER_ADDR, the name of the first one"
        + ("; start with mpirun -x MASTER_ADDR=HOST" if launcher == "mpi" else "")
    )


def first_of_node_list(hosts: str) -> str:
    """The first host of a Slurm node list, such as ``'gpu[03-04,07],big1'``: ``'gpu03'``."""
    first = re.match(r"(?:\[[^\]]*\]|[^,\[])*", hosts.strip())
    return re.sub(r"\[([^-,\]]*)[^\]]*\]", r"\1", first[0] if first else "")


def leave(code: int) -> None:
    """End a process of a group that succeeded, once all have; does nothing without a group.

    torch with gloo sometimes aborts while the interpreter exits, after all work is done; leaving
    without the interpreter's own clean-up keeps the exit code honest.
    """
    if dist.is_initialized():
        if dist.get_world_size() > 1:
            _collectives().end()
        dist.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@cache
def _collectives() -> Collectives:
    made = Collectives()
    notice_silence()  # of its connections
    return made


class Ranks:
    """The processes of one job, also when there is only one."""

    def __init__(self) -> None:
        self.size = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        if self.size > 1:
            _collectives()  # which all make together

    @property
    def is_main(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def on_main(self, make: Callable[[], T]) -> T:
        """Run on the main process and share the result; an error is raised on all."""
        if self.size == 1:
            return make()
        box: list[Any] = [None, None]
        if self.is_main:
            try:
                box[0] = make()
            except Exception as error:
                box[1] = error
        _collectives().share(box)
        if box[1] is not None:
            raise _marked(box[1], is_main=self.is_main)
        return box[0]

    def on_each(self, make: Callable[[], T]) -> T:
        """Run on every process; if one fails, all raise, so that none waits for the others."""
        results: list[T] = []
        error: Exception | None = None
        try:
            results.append(make())
        except Exception as caught:
            error = caught
        errors = [found for found in self.gather(error) if found is not None]
        if errors:
            own = error if self.is_main and error is not None else errors[0]
            raise _marked(own, is_main=self.is_main)
        return results[0]

    def gather_on_main(self, mine: T) -> list[T] | None:
        """All processes' objects, in rank order, on the main process; ``None`` on the others."""
        if self.size == 1:
            return [mine]
        return _collectives().gather_on_main(mine)

    def gather(self, mine: T) -> list[T]:
        """All processes' objects, in rank order, on every process."""
        if self.size == 1:
            return [mine]
        return _collectives().gather(mine)
