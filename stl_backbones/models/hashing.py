"""Names for weights: the sha256 of a file, or of what a network holds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn


def file_sha256(path: str | Path) -> str:
    """sha256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def weights_sha256(network: nn.Module) -> str:
    """sha256 of a network's weights and buffers, hexadecimal, by name, type, shape and value.

    Buffers that no checkpoint keeps are among them. Numbers that a layer keeps as plain Python
    attributes are not seen.
    """
    digest = hashlib.sha256()
    held = {**dict(network.named_buffers()), **network.state_dict()}
    for name, value in sorted(held.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


__all__ = ["file_sha256", "weights_sha256"]
