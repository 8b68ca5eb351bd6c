"""Checkpoints of whole models, read without unpickling and fitted key for key."""

from __future__ import annotations

import functools
import math
import os
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mmengine.runner.checkpoint as mmengine_loading
import numpy as np
import torch
import yaml
from mmengine.fileio import register_handler
from mmengine.fileio.handlers import PickleHandler, YamlHandler
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from stl_backbones.errors import InputError
from stl_backbones.models import read_checkpoint, select_state_dict
from stl_backbones.models.checkpoint import (
    SAFE_TYPES,
    TRUST_OPTION,
    PickledDtype,
    are_checkpoints_trusted,
)
from stl_backbones.models.weight_values import check_values

_SHOWN = 3
_STATISTICS = frozenset({"current", "data", "exponential_moving_average", "max", "mean", "min"})


_REMOVED_LATER = "best_ckpt"  # what mmengine's CheckpointHook calls files that it deletes
_BEST_FILE = re.compile(r"best_[\w.-]+\.pth")


class PickledArray:
    """Stands in for a pickled ``np.ndarray`` of plain numbers.

    Attributes:
        array: The array, once its bytes are checked.
    """

    array: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, kind, is_fortran, data = state
        plain = version == 1 and isinstance(kind, PickledDtype) and isinstance(data, bytes)
        if not plain or len(data) != math.prod(shape) * kind.dtype.itemsize:
            raise pickle.UnpicklingError("GLOBAL numpy.ndarray of no plain numbers")
        order: Any = "F" if is_fortran else "C"
        self.array = np.frombuffer(data, kind.dtype).reshape(shape, order=order).copy()


def _empty_array(kind: type, shape: tuple[int, ...], code: bytes) -> PickledArray:
    if not issubclass(kind, PickledArray) or shape != (0,) or code != b"b":
        raise pickle.UnpicklingError("GLOBAL numpy array of no plain numbers")
    return kind()


def _history_statistic(owner: type, name: str) -> Callable[..., Any]:
    """Stands in for the ``getattr`` by which a pickled HistoryBuffer names its own methods."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise pickle.UnpicklingError(f"GLOBAL builtins.getattr of {owner!r}, {name!r}")
    return getattr(owner, name)


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


def trust_plain_types() -> None:
    """Let what mmengine writes into checkpoints pass `stl_backbones.models.read_checkpoint`.

    Also has mmengine read by it, fetched files included: its own loaders unpickle everything under
    torch 2.5, and later what ``weights_only`` refuses. Its readers of YAML and pickles are held to
    plain data as well.
    """
    SAFE_TYPES.update(
        {
            "mmengine.logging.history_buffer.HistoryBuffer": HistoryBuffer,
            "builtins.getattr": _history_statistic,
            "numpy.ndarray": PickledArray,
            "numpy.core.multiarray._reconstruct": _empty_array,
            "numpy._core.multiarray._reconstruct": _empty_array,
        }
    )
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
    """Read a checkpoint for mmengine, with the real types of a history; see `trust_plain_types`.

    What mmengine would act on goes: a config's text in ``meta``, which it would execute, and paths
    of files to be deleted, unless they are best checkpoints beside this one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read safely.
    """
    path = Path(filename).expanduser()
    checkpoint = read_checkpoint(path, map_location=map_location)
    if not isinstance(checkpoint, dict):
        return checkpoint
    if isinstance(checkpoint.get("meta"), dict):
        checkpoint["meta"].pop("config", None)
    hub = checkpoint.get("message_hub")
    if isinstance(hub, dict) and isinstance(hub.get("runtime_info"), dict):
        _keep_beside(hub["runtime_info"], path.parent)
    try:
        return _with_arrays(checkpoint)
    except RecursionError as error:
        raise InputError(f"checkpoint '{path}' holds itself or is nested too deep") from error


def _keep_beside(info: dict[str, Any], folder: Path) -> None:
    """Leave of the files that may be deleted only best checkpoints in the folder."""
    for name in [name for name in info if str(name).startswith(_REMOVED_LATER)]:
        file = Path(str(info.pop(name))).name
        if _BEST_FILE.fullmatch(file) and (folder / file).is_file():
            info[name] = str(folder / file)
    if "keep_ckpt_ids" in info:
        info["keep_ckpt_ids"] = [step for step in info["keep_ckpt_ids"] if isinstance(step, int)]


def _with_arrays(value: Any) -> Any:
    """Put arrays where their stand-ins are, in dicts, lists, tuples and histories."""
    if isinstance(value, PickledArray):
        return value.array
    if isinstance(value, HistoryBuffer):
        value.__dict__.update(_with_arrays(vars(value)))
    elif isinstance(value, dict):
        for name, inner in value.items():
            value[name] = _with_arrays(inner)
    elif type(value) in (list, tuple):
        return type(value)(_with_arrays(inner) for inner in value)
    return value


def load_from_url(
    url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True
) -> Any:
    """Fetch a checkpoint for mmengine, as `torch.hub` does, and read it by `load_from_local`.

    Raises:
        ValueError: If it cannot be read safely.
        OSError: If it cannot be fetched.
    """
    folder = Path(model_dir or Path(torch.hub.get_dir(), "checkpoints"))
    path = folder / Path(urlsplit(url).path).name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=progress)
    return load_from_local(path, map_location)


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


def load_model_weights(model: nn.Module, path: str | Path) -> None:
    """Load a training checkpoint into a whole model; every key must fit.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read safely, or a key is missing, unexpected or of another
            shape: a checkpoint of another architecture.
    """
    trust_plain_types()
    weights = with_todays_names(model, select_state_dict(read_checkpoint(path), ema=False))
    check_values(model, weights, path)
    try:
        check_fit(model, weights, path)
    except ValueError:
        if not _load_older_names(model, weights):
            raise
        check_values(model, model.state_dict(), path)
        return
    model.load_state_dict(weights)


def _load_older_names(model: nn.Module, weights: Mapping[str, Tensor]) -> bool:
    """Load keys that modules of mmseg and mmdet rename while they load, or change nothing."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        missing, unexpected = model.load_state_dict(dict(weights), strict=False)
    except RuntimeError:  # another shape
        missing, unexpected = ["?"], []
    if missing or unexpected:
        model.load_state_dict(before)
        return False
    return True


def with_todays_names(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights as the model's backbone takes them: released files use older names."""
    renamed = {name.removeprefix("module."): value for name, value in weights.items()}
    for name, part in model.named_modules():
        rename = getattr(part, "rename_released", None)
        if name and rename is not None:
            rename(renamed, prefix=f"{name}.")
    return renamed


def check_fit(model: nn.Module, weights: Mapping[str, Any], path: str | Path) -> None:
    """Refuse weights of another architecture.

    Raises:
        ValueError: If a key is missing, unexpected or of another shape, or a value is none.
    """
    own = model.state_dict()
    problems = {
        "missing": [name for name in own if name not in weights],
        "unexpected": [name for name in weights if name not in own],
        "of another shape": [
            f"{name} {tuple(weights[name].shape)} instead of {tuple(value.shape)}"
            for name, value in own.items()
            if name in weights and weights[name].shape != value.shape
        ],
    }
    told = [
        f"{len(names)} keys {kind} ({', '.join(names[:_SHOWN])}"
        f"{', ...' if len(names) > _SHOWN else ''})"
        for kind, names in problems.items()
        if names
    ]
    if told:
        raise InputError(
            f"checkpoint '{path}' does not fit the config's model: {'; '.join(told)}. "
            "Is it of another architecture, or was another config meant?"
        )
    check_values(model, weights, path)
