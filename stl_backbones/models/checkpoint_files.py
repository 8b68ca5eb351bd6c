"""Files of weights, whatever they are called, read without running pickled code unasked."""

from __future__ import annotations

import pickle
import re
import struct
import tarfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from stl_backbones.errors import InputError
from stl_backbones.models.fetching import local_file
from stl_backbones.models.safe_types import trusting_only

# What torch raises on bytes that are no checkpoint, by where it stumbles.
_DAMAGE = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError,
    AssertionError, OverflowError, MemoryError, struct.error,
)  # fmt: skip


TRUST_OPTION = "--trust-checkpoint"
_LATER_PROTOCOL = "of protocol 4 or 5, which only running it can read"
_ZIP_MAGIC = b"PK\x03\x04"
# What is found in the place of a file that was not fetched as a whole.
_NOT_FETCHED = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself; fetch it: git lfs pull",
    b"<!doctype html": "a web page; the address of the file itself was meant",
    b"<html": "a web page; the address of the file itself was meant",
}
_trusted = False  # by `trust_checkpoints` alone: no file and no environment variable may set it


def trust_checkpoints(trusted: bool = True) -> None:
    """Let this process run the pickled code of the checkpoints that it reads, or no longer.

    Only for files whose maker the user trusts: `stl_backbones.cli.tool.add_trust_checkpoint`.
    """
    global _trusted
    _trusted = trusted


def are_checkpoints_trusted() -> bool:
    """Whether `trust_checkpoints` was called."""
    return _trusted


def read_checkpoint(path: str | Path, *, map_location: Any = "cpu") -> Any:
    """Read a file with ``weights_only``; nothing in it is executed, see `trust_checkpoints`.

    What it holds decides how it is read, not its name: torch's formats, or safetensors, which is a
    state dict and nothing else. A whole model, which a trusted file may hold, becomes
    ``{'state_dict': ...}``.

    Args:
        path: The file, or its address, see `stl_backbones.models.fetching.local_file`.
        map_location: Where its tensors go, as for `torch.load`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder, damaged, or holds anything but tensors and plain data.
    """
    path = local_file(path)
    if _is_safetensors(path):
        return _read_safetensors(path)
    content = _read_torch(path, map_location)
    return {"state_dict": content.state_dict()} if isinstance(content, nn.Module) else content


def _read_torch(path: Path, map_location: Any) -> Any:
    try:
        _refuse_others(path)
        with trusting_only():
            return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        if _trusted:
            return _unpickle(path, map_location)
        found = re.search(r"GLOBAL ([\w.]+)|(operand 1[45]\d)", str(error))
        if found is None:
            raise InputError(f"checkpoint '{path}' is truncated or no checkpoint") from error
        raise InputError(
            f"checkpoint '{path}' holds pickled code ({found[1] or _LATER_PROTOCOL}) beside "
            "tensors and plain data; refused, since loading it would run it; if you trust its "
            f"maker, give {TRUST_OPTION}"
        ) from error
    except _DAMAGE as error:
        cause = str(error) or type(error).__name__
        raise InputError(f"checkpoint '{path}' is truncated or no checkpoint: {cause}") from error


def _unpickle(path: Path, map_location: Any) -> Any:
    """Read a file of pickled code: the one place where it is run."""
    try:
        return torch.load(path, map_location=map_location, weights_only=False)
    except (pickle.UnpicklingError, ImportError, *_DAMAGE) as error:
        raise InputError(f"checkpoint '{path}' cannot be unpickled: {error}") from error


def _refuse_others(path: Path) -> None:
    """Refuse what is no checkpoint, and archives of which torch below 2.6 runs code all the same.

    Raises:
        ValueError: If the file is one.
        RuntimeError: If it is a damaged zip file.
    """
    with path.open("rb") as file:
        start = file.read(64)
    is_zip = start.startswith(_ZIP_MAGIC)
    if is_zip and "constants.pkl" in torch._C.PyTorchFileReader(str(path)).get_all_records():
        raise InputError("a TorchScript archive holds a program; expected a state dict")
    if not is_zip and tarfile.is_tarfile(path):
        raise InputError("a tar archive; expected a state dict that torch.save wrote")
    for beginning, kind in _NOT_FETCHED.items():
        if start.lstrip().lower().startswith(beginning):
            raise InputError(f"it is {kind}")


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: the header's length, and the header, which is JSON.

    A file of the name that begins as no checkpoint of torch's does is one that is damaged.
    """
    with path.open("rb") as file:
        start = file.read(9)
    if len(start) == 9 and start[8:] == b"{":
        return int.from_bytes(start[:8], "little") <= path.stat().st_size
    return path.suffix == ".safetensors" and not start.startswith((_ZIP_MAGIC, b"\x80"))


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, *_DAMAGE) as error:
        raise InputError(f"checkpoint '{path}' is truncated or no safetensors: {error}") from error


__all__ = [
    "TRUST_OPTION",
    "are_checkpoints_trusted",
    "read_checkpoint",
    "trust_checkpoints",
]
