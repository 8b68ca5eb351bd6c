"""Weights of a file that would load silently and make every result wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from stl_backbones.errors import InputError


def check_storage(weights: Mapping[str, Tensor], source: str | Path) -> None:
    """Refuse tensors that are not plain arrays of real numbers.

    Args:
        weights: Parameter name -> tensor.
        source: The file, for errors.

    Raises:
        ValueError: If one is sparse, nested, quantised, complex, or without values.
    """
    for name, value in weights.items():
        if value.layout != torch.strided or value.is_nested:
            kind = f"is sparse or nested ({value.layout})"
        elif value.is_quantized:
            kind = f"is quantised ({value.dtype})"
        elif value.is_meta:
            kind = "has no values (device meta)"
        elif value.is_complex():
            kind = f"is complex ({value.dtype})"
        else:
            continue
        raise InputError(f"checkpoint '{source}': {name} {kind}; expected plain real numbers")


def check_values(model: nn.Module, weights: Mapping[str, Tensor], source: str | Path) -> None:
    """Refuse weights that are not finite, or whole numbers where the model has fractions.

    Any floating point type will do. Buffers may be infinite: masks of attention are.

    Args:
        model: The network that they are for.
        weights: Parameter name -> tensor, by the model's names; others are not looked at.
        source: The file, for errors.

    Raises:
        ValueError: If there are such, or any that `check_storage` refuses.
    """
    check_storage(weights, source)
    parameters = {name for name, _ in model.named_parameters()}
    for name, own in model.state_dict().items():
        value = weights.get(name)
        if value is None or not own.is_floating_point():
            continue
        if not value.is_floating_point():
            raise InputError(
                f"checkpoint '{source}': {name} holds {value.dtype}; expected floating point "
                "numbers, as training writes them"
            )
        numbers = value.float() if value.element_size() == 1 else value  # float8 knows no isnan
        bad = numbers.isnan() if name not in parameters else ~numbers.isfinite()
        if bad.any():
            raise InputError(
                f"checkpoint '{source}': {name} is not finite in {int(bad.sum())} of "
                f"{bad.numel()} values (NaN or infinity): a training that diverged?"
            )


__all__ = ["check_storage", "check_values"]
