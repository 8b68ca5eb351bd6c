"""Checkpoints of whole models, read without unpickling and fitted key for key."""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from stl_backbones.models import read_checkpoint, select_state_dict
from stl_backbones.models.checkpoint import SAFE_TYPES, PickledDtype, trusting_only

_SHOWN = 3
_NUMBERS = ("bool", "float16", "float32", "float64", "int32", "int64", "uint8", "uint32")
_NUMBER_TYPES = [type(np.dtype(name)) for name in _NUMBERS]
# numpy's own functions in a pickle; their module's name differs between NumPy 1 and 2.
_RECONSTRUCT = np.zeros(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
_STATISTICS = frozenset({"current", "data", "exponential_moving_average", "max", "mean", "min"})


class PickledArray:
    """Stands in for a pickled ``np.ndarray`` of plain numbers; checked, never used."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, kind, _, data = state
        plain = version == 1 and isinstance(kind, PickledDtype) and isinstance(data, bytes)
        if not plain or len(data) != math.prod(shape) * kind.dtype.itemsize:
            raise pickle.UnpicklingError("GLOBAL numpy.ndarray of no plain numbers")


def _empty_array(kind: type, shape: tuple[int, ...], code: bytes) -> PickledArray:
    if not issubclass(kind, PickledArray) or shape != (0,) or code != b"b":
        raise pickle.UnpicklingError("GLOBAL numpy array of no plain numbers")
    return kind()


def _history_statistic(owner: type, name: str) -> Callable[..., Any]:
    """Stands in for the ``getattr`` by which a pickled HistoryBuffer names its own methods."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise pickle.UnpicklingError(f"GLOBAL builtins.getattr of {owner!r}, {name!r}")
    return getattr(owner, name)


_READ_BY_MMENGINE: dict[str, Any] = {
    "mmengine.logging.history_buffer.HistoryBuffer": HistoryBuffer,
    "builtins.getattr": _history_statistic,
    "builtins.slice": slice,
    "numpy.dtype": np.dtype,
    "numpy.ndarray": np.ndarray,
    **{f"numpy.{core}.multiarray._reconstruct": _RECONSTRUCT for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _SCALAR for core in ("core", "_core")},
    **{f"{kind.__module__}.{kind.__qualname__}": kind for kind in _NUMBER_TYPES},
}


def trust_plain_types() -> None:
    """Let what mmengine writes into checkpoints pass `stl_backbones.models.read_checkpoint`.

    Also has mmengine read local files by `load_from_local`: its own loader unpickles everything
    under torch 2.5, and later what ``weights_only`` refuses.
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
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # whatever else opens a file


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Read a checkpoint for mmengine, with the real types of a history; see `trust_plain_types`.

    Raises:
        FileNotFoundError: If there is no such file.
        UnpicklingError: If it holds anything but tensors and plain data.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint '{path}' does not exist")
    with trusting_only({**SAFE_TYPES, **_READ_BY_MMENGINE}):
        return torch.load(path, map_location=map_location, weights_only=True)


def load_model_weights(model: nn.Module, path: str | Path) -> None:
    """Load a training checkpoint into a whole model; every key must fit.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read safely, or a key is missing, unexpected or of another
            shape: a checkpoint of another architecture.
    """
    trust_plain_types()
    weights = with_todays_names(model, select_state_dict(read_checkpoint(path), ema=False))
    try:
        check_fit(model, weights, path)
    except ValueError:
        if not _load_older_names(model, weights):
            raise
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
        ValueError: If a key is missing, unexpected or of another shape.
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
        raise ValueError(
            f"checkpoint '{path}' does not fit the config's model: {'; '.join(told)}. "
            "Is it of another architecture, or was another config meant?"
        )
