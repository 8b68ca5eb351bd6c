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

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# T4, A100, RTX 30 and 40, H100; newer ones compile the last when they load it.
ARCHITECTURES = "7.5;8.0;8.6;9.0+PTX"
PAUSE = 20.0  # seconds between lines on what is compiled
NINJA_FILE = re.compile(r"^build (.+): (?:cuda_)?compile ", re.MULTILINE)
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
    return run_with_progress([*PIP, "install", *rest], {**os.environ, **chosen})


def run_with_progress(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run pip, and say now and then how many files of what it compiles are done.

    Returns:
        Its exit code.
    """
    # pip unpacks and compiles below TMPDIR, ninja's list of files included.
    with tempfile.TemporaryDirectory(prefix="mmcv-") as folder:
        process = subprocess.Popen(command, env={**environment, "TMPDIR": folder})
        start = time.monotonic()
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(PAUSE)
                    break
                done, total = count_compiled(Path(folder))
                if total:
                    minutes = (time.monotonic() - start) / 60
                    left = f", about {minutes * (total - done) / done:.0f} more" if done else ""
                    print(f"  {done} of {total} files, {minutes:.0f} minutes{left}", flush=True)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        return process.returncode


def count_compiled(folder: Path) -> tuple[int, int]:
    """The files that ninja has compiled below a folder, and all that it is to compile."""
    files: list[str] = []
    for place, _, names in os.walk(folder):  # passes over the folders that pip removes meanwhile
        if "build.ninja" in names:
            with contextlib.suppress(FileNotFoundError):
                text = Path(place, "build.ninja").read_text(encoding="utf-8", errors="replace")
                files += NINJA_FILE.findall(text)
    return sum(Path(name.replace("$ ", " ")).is_file() for name in files), len(files)


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
