"""The weights in what a checkpoint holds, by the names that the network itself gives them.

Whatever trained or packed a network leaves its mark on the names: ``torch.compile``, data parallel,
Lightning, averaging, wrappers of timm. One rule for all tools takes the marks off.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from stl_backbones.errors import InputError, some_of

# Where training scripts put averaged weights, and the raw ones.
_AVERAGED = (
    "state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "ema",
    "params_ema",
)  # fmt: skip
_RAW = (
    "state_dict", "model_state_dict", "model", "model_state", "network", "net", "weights", "params",
    "module",
)  # fmt: skip
# Torch's own marks, which may stand anywhere in a name and are no network's.
_MARKS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
# What holds the whole network in a wrapper, and the counters of averages beside it.
_HOLDERS = ("module.", "model.", "timm_model.", "network.", "net.", "backbone.")
_COUNTERS = ("n_averaged", "steps")
_SAYS_EMA = re.compile(r"(^|[._])ema[._]")
_SHOWN = 8


def select_state_dict(
    checkpoint: Any, *, ema: bool = True, source: str | Path | None = None
) -> dict[str, Tensor]:
    """Pick the weights out of a checkpoint.

    Args:
        checkpoint: A state dict, or a dict that holds one, or a module, under one of the usual
            keys: ``state_dict``, ``model``, ``model_state_dict``, ``state_dict_ema``, ...
        ema: Prefer the averaged weights, which the paper reports.
        source: The file, for errors.

    Returns:
        Parameter name -> tensor, by the names of the file: see `unwrapped`.

    Raises:
        ValueError: If it holds no weights, or no raw ones where they are asked for; what it holds
            is named.
    """
    title = "the checkpoint" if source is None else f"checkpoint '{source}'"
    try:
        found = _find(checkpoint, ema=ema)
    except RecursionError as error:
        raise InputError(f"{title} holds itself or is nested too deep") from error
    if found:
        return found
    if not ema and _find(checkpoint, ema=True):
        raise InputError(f"{title} holds averaged weights only; leave --no-ema out")
    raise InputError(
        f"{title} holds no weights: expected a state dict of tensors, alone or as one of "
        f"{', '.join(_RAW[:3])}, {_AVERAGED[0]}, ...; it holds {_contents(checkpoint)}"
    )


def unwrapped(
    weights: Mapping[str, Tensor], names: Collection[str], *, ema: bool = True
) -> dict[str, Tensor]:
    """Take off what wrapped a network when its weights were written.

    A prefix goes because the rest then fits the network, or because all keys have it and it is one
    of those that wrappers add. What lies beside the network, such as a loss with weights, goes too.

    Args:
        weights: Parameter name -> tensor, in any wrapping.
        names: Names of the network's own, all of them or some by which it is known.
        ema: Where the network lies there twice, take the place whose name says ``ema``.

    Returns:
        Parameter name -> tensor.

    Raises:
        ValueError: If the network lies there several times, and nothing says which is meant.
    """
    bare = {_without_marks(name): value for name, value in weights.items()}
    prefix = _fitting_prefix(bare, names, ema=ema)
    if prefix is not None:
        return {k.removeprefix(prefix): v for k, v in bare.items() if k.startswith(prefix)}
    bare = {k: v for k, v in bare.items() if not (v.ndim == 0 and k.endswith(_COUNTERS))}
    while holder := next((h for h in _HOLDERS if bare and all(k.startswith(h) for k in bare)), ""):
        bare = {k.removeprefix(holder): v for k, v in bare.items()}
    return bare


def _find(value: Any, *, ema: bool) -> dict[str, Tensor]:
    """The weights in a value, however deep they lie under the usual keys; or none."""
    if isinstance(value, nn.Module):
        value = value.state_dict()
    if not isinstance(value, Mapping):
        return {}
    for name in _keys(value, ema=ema):
        if isinstance(value.get(name), Mapping | nn.Module):
            found = _find(value[name], ema=ema)
            if found:
                return found
    weights = {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, Tensor)}
    return {} if any(map(_holds_tensors, value.values())) else weights


def _keys(checkpoint: Mapping[str, Any], *, ema: bool) -> tuple[str, ...]:
    """Where weights may lie, the likeliest place first."""
    if "ema_state_dict" in checkpoint and "message_hub" in checkpoint:
        # mmengine's: the average is what it means to be used, the raw weights go on training
        return ("state_dict",) if ema else ("ema_state_dict",)
    return (*_AVERAGED, *_RAW) if ema else _RAW


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(v, Tensor) for v in value.values())


def _contents(checkpoint: Any) -> str:
    if not isinstance(checkpoint, Mapping):
        return f"a {type(checkpoint).__name__}"
    keys = (f"{key} ({type(value).__name__})" for key, value in checkpoint.items())
    return some_of(keys, shown=_SHOWN) or "nothing"


def _without_marks(name: str) -> str:
    for mark in _MARKS:
        name = name.replace(mark, "")
    return name


def _fitting_prefix(weights: Collection[str], names: Collection[str], *, ema: bool) -> str | None:
    """The prefix without which most keys are the network's; ``None`` if that is less than half."""
    counts: Counter[str] = Counter()
    for key in weights:
        rest = key
        while rest:
            if rest in names:
                counts[key.removesuffix(rest)] += 1
            rest = rest.partition(".")[2]
    if not counts:
        return None
    most = max(counts.values())
    if 2 * most < len(names):
        return None
    places = [prefix for prefix in counts if counts[prefix] == most]
    named = [place for place in places if bool(_SAYS_EMA.search(place)) == ema] or places
    outermost = min(named, key=len)  # parts of a network may have names of the whole one's
    if not all(place.startswith(outermost) for place in named):
        raise InputError(
            f"the checkpoint holds the network's weights {len(named)} times, under "
            f"{some_of(named)}; expected a file with those that are meant alone"
        )
    return outermost


__all__ = ["select_state_dict", "unwrapped"]
