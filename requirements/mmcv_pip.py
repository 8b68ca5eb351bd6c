"""Run pip, or a test of mmcv, as mmcv is to be compiled on this machine.

    python requirements/mmcv_pip.py install ...    pip install ..., where mmcv may be compiled
    python requirements/mmcv_pip.py anew ...       the same, past the wheel of pip's common cache
    python requirements/mmcv_pip.py check          whether the mmcv that is installed fits
    python requirements/mmcv_pip.py show           what would be set

With a CUDA toolkit and a GPU mmcv is compiled for GPUs, which takes far longer. Where no GPU is
visible, as on a login node, MMCV_CUDA=1 asks for it; MMCV_CUDA=0 leaves it out anywhere. pip's
cache knows neither for which torch a wheel was compiled, nor whether for GPUs. So wheels for GPUs,
and those that are compiled anew, are kept in a cache whose name says so.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# T4, A100, RTX 30 and 40, H100; newer ones compile the last when they load it.
ARCHITECTURES = "7.5;8.0;8.6;9.0+PTX"
PIP = (sys.executable, "-m", "pip")


def main(words: Sequence[str]) -> int:
    """Do what the first word says."""
    command, *rest = words
    if command == "check":
        return check()
    chosen = settings(anew=command == "anew")
    if command == "show":
        print(*(f"{name}={value}" for name, value in chosen.items()))
        return 0
    return subprocess.call([*PIP, "install", *rest], env={**os.environ, **chosen})


def settings(*, anew: bool = False) -> dict[str, str]:
    """What the environment of the compilation is to hold.

    Args:
        anew: Keep away from pip's common cache, also for the CPU.
    """
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cuda, chosen = usable_toolkit(), {"MAX_JOBS": str(cores)}
    if cuda is not None:
        chosen["FORCE_CUDA"] = "1"
        chosen["TORCH_CUDA_ARCH_LIST"] = os.environ.get("TORCH_CUDA_ARCH_LIST", ARCHITECTURES)
    if cuda is not None or anew:
        cache = subprocess.check_output([*PIP, "cache", "dir"], text=True).strip()
        built = f"cuda{cuda}-{chosen['TORCH_CUDA_ARCH_LIST']}" if cuda else "cpu"
        key = re.sub(r"[^\w.+]+", "-", f"torch{torch.__version__}-{built}")
        chosen["PIP_CACHE_DIR"] = str(Path(cache) / "mmcv" / key)
    return chosen


def usable_toolkit() -> str | None:
    """The version of the CUDA toolkit, if one that fits torch's CUDA is to be used."""
    import torch

    if (os.environ.get("MMCV_CUDA") or str(int(torch.cuda.is_available()))) != "1":
        return None
    from torch.utils.cpp_extension import CUDA_HOME

    nvcc = Path(CUDA_HOME or "") / "bin" / "nvcc"
    if torch.version.cuda is None or not nvcc.is_file():
        return None
    found = re.search(r"release (\d+)(\.\d+)", subprocess.check_output([nvcc, "-V"], text=True))
    if found is None or found[1] != torch.version.cuda.partition(".")[0]:
        there = found[0] if found else "unknown"
        print(
            f"'{nvcc}' is {there} and torch {torch.__version__} needs CUDA {torch.version.cuda}: "
            "mmcv is compiled for the CPU alone",
            file=sys.stderr,
        )
        return None
    return found[1] + found[2]


def check() -> int:
    """Try an operator; where there is a toolkit, mmcv must have been compiled for GPUs."""
    from mmcv.ops import get_compiling_cuda_version

    from stl_backbones.config.operators import check_operators

    check_operators()
    if usable_toolkit() is not None and get_compiling_cuda_version() == "not available":
        print("mmcv has no operators for GPUs, and there is a CUDA toolkit", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
