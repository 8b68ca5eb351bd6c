"""Several processes, with or without GPUs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from stl_backbones.engine.network import choose_interface, notice_silence
from stl_backbones.errors import InputError

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")
T = TypeVar("T")

# What a launcher calls rank, size and local rank.
_VARIABLES = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}
# The main process may hash a large data set, or write a sweep's cells, while the others wait for
# it over gloo, which notices a process that died at once, by its closed connection.
_WAIT = timedelta(hours=6)


def start_distributed(launcher: str) -> None:
    """Join the launcher's process group: over NCCL with GPUs, over gloo without.

    Each process takes one of the GPUs that it sees, by its number on its host. mmengine's runner,
    built later, finds the group.

    Raises:
        ValueError: If the launcher is unknown, did not start this process, or names no first host.
    """
    if launcher not in LAUNCHERS:
        raise InputError(f"launcher must be one of {', '.join(LAUNCHERS)}, got '{launcher}'")
    if launcher == "none" or dist.is_initialized():
        return
    names = _VARIABLES[launcher]
    absent = [name for name in names if name not in os.environ]
    if absent:
        raise InputError(
            f"--launcher {launcher} needs {', '.join(absent)} in the environment; "
            f"start the tool with {'torchrun' if launcher == 'pytorch' else launcher}"
        )
    for target, name in zip(_VARIABLES["pytorch"], names, strict=True):
        os.environ[target] = os.environ[name]
    if "MASTER_ADDR" not in os.environ:
        os.environ["MASTER_ADDR"] = _first_host(launcher)
    os.environ.setdefault("MASTER_PORT", "29500")
    choose_interface(os.environ["MASTER_ADDR"])
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "nccl"
        # A launcher may show each process one GPU alone, whatever its number on the host.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    try:
        dist.init_process_group(backend)
    except RuntimeError as error:  # torch's errors of store and network among them
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise InputError(
            f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} does not reach the others "
            f"by way of {place}: {str(error).splitlines()[0]}; see docs/several_hosts.md"
        ) from error
    notice_silence()


def _first_host(launcher: str) -> str:
    """Where the process of rank 0 listens."""
    hosts = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_JOB_NODELIST")
    if launcher == "slurm" and hosts:
        return first_of_node_list(hosts)
    if launcher == "mpi":
        here, all_of_them = (f"OMPI_COMM_WORLD_{size}" for size in ("LOCAL_SIZE", "SIZE"))
        if os.environ.get(here, "") != os.environ[all_of_them]:
            raise InputError(
                "--launcher mpi on several hosts needs MASTER_ADDR, the name of the first one; "
                "start with mpirun -x MASTER_ADDR=HOST"
            )
    return "127.0.0.1"


def first_of_node_list(hosts: str) -> str:
    """The first host of a Slurm node list, such as ``'gpu[03-04,07],big1'``: ``'gpu03'``."""
    first = re.match(r"(?:\[[^\]]*\]|[^,\[])*", hosts.strip())
    return re.sub(r"\[([^-,\]]*)[^\]]*\]", r"\1", first[0] if first else "")


def leave(code: int) -> None:
    """End a process of a group that succeeded; does nothing without a group.

    torch with gloo sometimes aborts while the interpreter exits, after all work is done; leaving
    without the interpreter's own clean-up keeps the exit code honest.
    """
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Ranks:
    """The processes of one job, also when there is only one."""

    def __init__(self) -> None:
        self.size = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        # Python objects travel over gloo, whatever the tensors use.
        self._group = dist.new_group(backend="gloo", timeout=_WAIT) if self.size > 1 else None
        notice_silence()

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
        dist.broadcast_object_list(box, src=0, group=self._group)
        if box[1] is not None:
            raise self._marked(box[1])
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
            raise self._marked(error if self.is_main and error is not None else errors[0])
        return results[0]

    def _marked(self, error: Exception) -> Exception:
        # The command line prints an error once, not once per process.
        error.reported_by_main = not self.is_main  # type: ignore[attr-defined]
        return error

    def gather(self, mine: T) -> list[T]:
        """All processes' objects, in rank order, on every process."""
        if self.size == 1:
            return [mine]
        everyone: list[Any] = [None] * self.size
        dist.all_gather_object(everyone, mine, group=self._group)
        return everyone
