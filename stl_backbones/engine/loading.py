"""Checkpoints of whole models, read without unpickling and fitted key for key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from stl_backbones.errors import InputError, some_of
from stl_backbones.models import read_checkpoint, select_state_dict, unwrapped
from stl_backbones.models.weight_values import check_values


def load_model_weights(model: nn.Module, path: str | Path, *, ema: bool = True) -> None:
    """Load a training checkpoint into a whole model; every key must fit.

    Args:
        model: The model.
        path: The file, or its address.
        ema: Prefer the averaged weights.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read safely, or a key is missing, unexpected or of another
            shape: a checkpoint of another architecture.
    """
    weights = whole_model_weights(model, read_checkpoint(path), path, ema=ema)
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


def whole_model_weights(
    model: nn.Module, checkpoint: Any, path: str | Path, *, ema: bool
) -> dict[str, Tensor]:
    """A checkpoint's weights by the names of a whole model, not checked any further.

    Args:
        model: The model; what wrapped it goes, and its backbone's older names become today's.
        checkpoint: What the file holds.
        path: The file, for errors.
        ema: Prefer the averaged weights.

    Raises:
        ValueError: If there are none.
    """
    names = model.state_dict().keys()
    renamed = unwrapped(select_state_dict(checkpoint, ema=ema, source=path), names, ema=ema)
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
    reasons = [
        f"{len(names)} keys {kind} ({some_of(names)})" for kind, names in problems.items() if names
    ]
    if reasons:
        raise InputError(
            f"checkpoint '{path}' does not fit the config's model: {'; '.join(reasons)}. "
            "Is it of another architecture, or was another config meant?"
        )
    check_values(model, weights, path)
