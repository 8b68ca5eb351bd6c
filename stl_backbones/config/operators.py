"""Whether mmcv's compiled operators work with the installed torch, tried once."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import torch

from stl_backbones.errors import MissingPackageError

_DISTRIBUTIONS = ("onedl-mmcv", "mmcv")  # of either stack
_WITHOUT_CUDA = "not available"  # mmcv's own words


@cache
def check_operators(*, on_gpu: bool = False) -> None:
    """Try an operator of mmcv.

    A wheel that was compiled for another torch installs, since neither pip nor the wheel knows of
    it; it fails when it is imported, or only when an operator runs.

    Args:
        on_gpu: Try it on the GPU too, if torch sees one.

    Raises:
        MissingPackageError: If it fails; the message says what mmcv was compiled with, and how to
            compile it anew.
    """
    devices = ["cpu", *(["cuda"] if on_gpu and torch.cuda.is_available() else [])]
    try:
        if "cuda" in devices and _compiling_cuda() == _WITHOUT_CUDA:
            raise _unusable("it was compiled without operators for GPUs", for_gpus=True)
        nms = import_module("mmcv.ops").nms
        for device in devices:
            boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9]], device=device)
            kept = nms(boxes, torch.tensor([0.9, 0.8], device=device), 0.5)[1].tolist()
            if kept != [0]:
                raise RuntimeError(f"nms on {device} keeps boxes {kept} instead of [0]")
    except ModuleNotFoundError as error:
        if error.name != "mmcv._ext":
            raise
        raise _unusable("mmcv was installed without its compiled operators") from error
    except MissingPackageError:
        raise
    except Exception as error:  # whatever a library of another ABI raises
        raise _unusable(" ".join(str(error).split())) from error


def _unusable(reason: str, *, for_gpus: bool = False) -> MissingPackageError:
    name, release = next(filter(None, map(_installed, _DISTRIBUTIONS)), ("onedl-mmcv", ""))
    pin = f"{name}=={release}" if release else name
    why, needs = "It was compiled for another torch", ""
    if for_gpus:
        why, needs = "A CUDA toolkit (nvcc) is needed to compile them", "FORCE_CUDA=1 "
    return MissingPackageError(
        f"{pin}{_compiled_with()} does not work with torch {torch.__version__}"
        f"{' on a GPU' if for_gpus else ''}: {reason}. {why}; compile it anew, which takes "
        f"minutes: {needs}pip install --no-cache-dir --no-binary {name} --no-build-isolation "
        f"--no-deps --force-reinstall {pin}"
        f"{'; or compute on the CPU, --device cpu' if for_gpus else ''}"
    )


def _installed(name: str) -> tuple[str, str] | None:
    try:
        return name, version(name)
    except PackageNotFoundError:
        return None


def _compiling_cuda() -> str:
    return import_module("mmcv.ops").get_compiling_cuda_version()


def _compiled_with() -> str:
    """Compiler and CUDA, if the operators can be loaded at all."""
    try:
        compiler, cuda = import_module("mmcv._ext").get_compiler_version(), _compiling_cuda()
    except (ImportError, AttributeError):
        return ""
    cuda = "without CUDA" if cuda == _WITHOUT_CUDA else f"for CUDA {cuda}"
    return f", compiled by {compiler} {cuda},"


__all__ = ["check_operators"]
