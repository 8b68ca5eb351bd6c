"""Checkpoints that are named by their address: fetched once, checked, and kept."""

from __future__ import annotations

import hashlib
import re
import socket
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

import torch

from stl_backbones.errors import InputError
from stl_backbones.paths import check_file

_ADDRESS = re.compile(r"(https?):/+(.+)")  # one slash is left where the text went through a Path
# What ends a file's name where it is the hash's beginning; digits alone are a date.
_HASH = re.compile(r"-((?=[0-9]*[a-f])[0-9a-f]{8,64})\.")


def address_of(path: str | Path) -> str | None:
    """The web address that was given instead of a file; ``None`` if it is a file's path."""
    found = _ADDRESS.fullmatch(str(path))
    return f"{found[1]}://{found[2]}" if found else None


def local_file(
    path: str | Path, *, folder: str | Path | None = None, progress: bool = True
) -> Path:
    """The file of a path or of a web address, which is fetched as `torch.hub` does it.

    Args:
        path: A file, or an address, ``'https://...'``. Where its file's name ends in the beginning
            of its sha256, as PyTorch's and OpenMMLab's do, what is fetched must have it.
        folder: Where fetched files are kept; default: ``checkpoints`` of `torch.hub`'s folder. A
            name without a hash may be anyone's, so its file lies in a folder of its address.
        progress: Show the download's progress.

    Raises:
        MissingFileError: If there is no such file.
        InputError: If it is a folder, cannot be fetched, or is not what its name says.
    """
    address = address_of(path)
    if address is None:
        return check_file(path, "checkpoint")
    place = Path(folder or Path(torch.hub.get_dir(), "checkpoints"))
    name = Path(unquote(urlsplit(address).path)).name
    found = _HASH.search(name)
    if found is None:
        place /= hashlib.sha256(address.encode()).hexdigest()[:12]
    target = place / (name or "checkpoint")
    if not target.is_file():
        place.mkdir(parents=True, exist_ok=True)
        _fetch(address, target, found[1] if found else None, progress=progress)
    return target


def check_reachable(address: str) -> None:
    """Fail at once without a network: the hub's client tries for most of a minute.

    Raises:
        OSError: If the address's host has no name.
    """
    if not urllib.request.getproxies():
        socket.getaddrinfo(urlsplit(address).hostname, None)


def _fetch(address: str, target: Path, hash_prefix: str | None, *, progress: bool) -> None:
    try:
        torch.hub.download_url_to_file(address, str(target), hash_prefix, progress=progress)
    except (OSError, ValueError) as error:  # urllib's, all of them
        raise InputError(
            f"'{address}' cannot be fetched ({error}); where it can, "
            f"`curl -LO {address}`, and give the file"
        ) from error
    except RuntimeError as error:  # torch's, of a hash
        raise InputError(f"'{address}' is not what its name says: {error}") from error


__all__ = ["address_of", "check_reachable", "local_file"]
