"""What mmengine reads, held to plain data: checkpoints, YAML and pickles."""

from __future__ import annotations

import functools
import os
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mmengine.runner.checkpoint as mmengine_loading
import torch
import yaml
from mmengine.fileio import register_handler
from mmengine.fileio.handlers import PickleHandler, YamlHandler
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from stl_backbones.errors import InputError
from stl_backbones.models import read_checkpoint, select_state_dict
from stl_backbones.models.checkpoint_files import TRUST_OPTION, are_checkpoints_trusted
from stl_backbones.models.fetching import local_file
from stl_backbones.models.safe_types import PickledArray, PickledHistory

_REMOVED_LATER = "best_ckpt"  # what mmengine's CheckpointHook calls files that it deletes
_BEST_FILE = re.compile(r"best_[\w.-]+\.pth")


class SafeYamlHandler(YamlHandler):
    """Reads YAML as data; mmengine's own takes tags that call functions."""

    def load_from_fileobj(self, file: Any, **kwargs: Any) -> Any:
        """Read plain data."""
        try:
            return super().load_from_fileobj(file, **{**kwargs, "Loader": yaml.SafeLoader})
        except yaml.YAMLError as error:
            raise InputError(f"YAML of more than plain data, or damaged: {error}") from error


class TrustedPickleHandler(PickleHandler):
    """Reads pickled data, such as proposals that a config names, only if the user trusts it."""

    def load_from_fileobj(self, file: Any, **kwargs: Any) -> Any:
        """Read it.

        Raises:
            ValueError: If the user did not say so.
        """
        if not are_checkpoints_trusted():
            raise InputError(
                "a .pkl file is code; refused, since loading it would run it; expected JSON, or, "
                f"if you trust its maker, give {TRUST_OPTION}"
            )
        return super().load_from_fileobj(file, **kwargs)


def install_safe_loaders() -> None:
    """Have mmengine read checkpoints by `stl_backbones.models.read_checkpoint`, fetched ones too.

    Its own loaders unpickle everything under torch 2.5, and later what ``weights_only`` refuses.
    Its readers of YAML and pickles are held to plain data as well.
    """
    CheckpointLoader.register_scheme("", load_from_local, force=True)
    mmengine_loading.load_url = load_from_url
    for prefix, loader in tuple(CheckpointLoader._schemes.items()):
        if prefix and not hasattr(loader, "__wrapped__"):
            CheckpointLoader.register_scheme(prefix, _refusing(loader), force=True)
    register_handler(["yaml", "yml"])(SafeYamlHandler)
    register_handler(["pickle", "pkl"])(TrustedPickleHandler)
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    if not are_checkpoints_trusted():
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # whatever else opens a file


def load_from_local(filename: str | Path, map_location: Any = None) -> Any:
    """Read a checkpoint for mmengine, with the real types of a history; see `install_safe_loaders`.

    What mmengine would act on goes: a config's text in ``meta``, which it would execute, and paths
    of files to be deleted, unless they are best checkpoints beside this one. Weights under another
    key than mmengine's ``state_dict`` are put there as well.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read safely.
    """
    path = Path(filename).expanduser()
    checkpoint = read_checkpoint(path, map_location=map_location)
    if not isinstance(checkpoint, dict):
        return checkpoint
    if not _is_known_to_mmengine(checkpoint):
        checkpoint["state_dict"] = select_state_dict(checkpoint, source=path)
    if isinstance(checkpoint.get("meta"), dict):
        checkpoint["meta"].pop("config", None)
    hub = checkpoint.get("message_hub")
    if isinstance(hub, dict) and isinstance(hub.get("runtime_info"), dict):
        _keep_beside(hub["runtime_info"], path.parent)
    try:
        return _without_stand_ins(checkpoint)
    except RecursionError as error:
        raise InputError(f"checkpoint '{path}' holds itself or is nested too deep") from error


def _is_known_to_mmengine(checkpoint: Mapping[str, Any]) -> bool:
    """Whether mmengine finds the weights; under another key it would load none, and warn of it."""
    bare = (isinstance(value, torch.Tensor) for value in checkpoint.values())
    return "state_dict" in checkpoint or any(bare)


def _keep_beside(info: dict[str, Any], folder: Path) -> None:
    """Leave of the files that may be deleted only best checkpoints in the folder."""
    for name in [name for name in info if str(name).startswith(_REMOVED_LATER)]:
        file = Path(str(info.pop(name))).name
        if _BEST_FILE.fullmatch(file) and (folder / file).is_file():
            info[name] = str(folder / file)
    if "keep_ckpt_ids" in info:
        steps = info["keep_ckpt_ids"] if isinstance(info["keep_ckpt_ids"], list) else []
        info["keep_ckpt_ids"] = [step for step in steps if isinstance(step, int)]


def _without_stand_ins(value: Any) -> Any:
    """Put arrays and histories where their stand-ins are, in dicts, lists and tuples."""
    if isinstance(value, PickledArray):
        return value.array
    if isinstance(value, PickledHistory):
        history = HistoryBuffer()
        history.__dict__.update(_without_stand_ins(value.state))
        return history
    if isinstance(value, dict):
        for name, inner in value.items():
            value[name] = _without_stand_ins(inner)
    elif type(value) in (list, tuple):
        return type(value)(_without_stand_ins(inner) for inner in value)
    return value


def load_from_url(
    url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True
) -> Any:
    """Fetch a checkpoint for mmengine, and read it by `load_from_local`.

    Raises:
        ValueError: If it cannot be fetched, or not be read safely.
    """
    return load_from_local(local_file(url, folder=model_dir, progress=progress), map_location)


def _refusing(load: Callable[..., Any]) -> Callable[..., Any]:
    """One of mmengine's loaders whose refusal is an error of the user's input."""

    @functools.wraps(load)
    def loader(filename: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return load(filename, *args, **kwargs)
        except pickle.UnpicklingError as error:
            raise InputError(
                f"checkpoint '{filename}' holds pickled code; refused, since loading it would run "
                f"it; if you trust its maker, give {TRUST_OPTION}"
            ) from error

    return loader


__all__ = ["install_safe_loaders", "load_from_local", "load_from_url"]
