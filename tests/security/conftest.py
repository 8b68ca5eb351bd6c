"""Files that run code when they are read as their makers meant them."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import warnings

import pytest
import torch

from stl_backbones.models.checkpoint_files import trust_checkpoints

_ENVIRONMENT = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")


class Bomb:
    """Makes a folder when it is unpickled by what runs code."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.fixture
def marker(tmp_path):
    """What appears if code was run."""
    return tmp_path / "ran"


@pytest.fixture
def bomb(marker):
    return Bomb(marker)


@pytest.fixture(autouse=True)
def _own_trust():
    """Neither trust nor the environment of a test outlives it."""
    before = {name: os.environ.pop(name, None) for name in _ENVIRONMENT}
    trust_checkpoints(False)
    yield
    trust_checkpoints(False)
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture
def poison(bomb):
    """Write a checkpoint of weights and a bomb, in one of `KINDS`."""

    def write(path, kind, weights=None):
        content = {"state_dict": weights or {"x": torch.zeros(1)}, "hook": bomb}
        if kind == "averaged":
            content = {**content, "hook": None, "state_dict_ema": {"x": bomb}}
        elif kind == "key":
            content = {"state_dict": {**content["state_dict"], "y": bomb}}
        if kind == "archive":
            path.write_bytes(_archive(bomb))
        elif kind == "script":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch.jit.script is deprecated, its files are not
                torch.jit.save(torch.jit.script(torch.nn.Identity()), path)
        elif kind.startswith("pickle"):
            path.write_bytes(pickle.dumps(content, int(kind[-1])))
        else:
            torch.save(
                content,
                path,
                pickle_protocol=5 if kind == "protocol 5" else 2,
                _use_new_zipfile_serialization=kind != "legacy",
            )
        return path

    return write


def _archive(bomb):
    """Torch's format of 2016, whose parts its loader unpickles."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("storages", "tensors", "pickle"):
            content = pickle.dumps(bomb, 2)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
