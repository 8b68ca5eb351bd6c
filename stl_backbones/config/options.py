"""``--cfg-options``: whether each names something, and what it changes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import TRANSFORMS

from stl_backbones.config.settings import RUN_SETTINGS, SPLITS
from stl_backbones.config.values import check_kind
from stl_backbones.config.walk import walk
from stl_backbones.errors import InputError, UnknownNameError, did_you_mean

_SHOWN = 5

# What is in a config and no setting of it.
_NO_OPTIONS = {"launcher": "give --launcher", "linked_options": "it says what options change"}

# What may stand before the dot of a registered name, and how those behind it look.
_SCOPES = frozenset({"mmengine", "mmcv", "mmseg", "mmdet", "mmpretrain", "stl_backbones"})
_CLASS_NAME = re.compile(r"[A-Z]\w*")

# Of how a loader works that a config need not state.
_LOADING = frozenset(
    {
        "multiprocessing_context",
        "num_workers",
        "persistent_workers",
        "pin_memory",
        "prefetch_factor",
    }
)

# Parts without a type of their own that take more keys than a config states: mmengine passes over
# those that it does not know. ``None``: any key.
_FREE_FORM: dict[str, frozenset[str] | None] = {
    **{f"{split}_dataloader": _LOADING for split in SPLITS},
    "custom_keys": None,
    "default_hooks": None,
    "env_cfg": frozenset({"cudnn_benchmark", "dist_cfg", "mp_cfg", "resource_limit"}),
    "mp_cfg": frozenset({"mp_start_method", "opencv_num_threads"}),
    "paramwise_cfg": frozenset(
        {
            "bias_decay_mult", "bias_lr_mult", "bypass_duplicate", "custom_keys",
            "dcn_offset_lr_mult", "dwconv_decay_mult", "flat_decay_mult", "norm_decay_mult",
        }
    ),
}  # fmt: skip


def find_changes(config: Config, options: Mapping[str, Any]) -> dict[str, Any]:
    """What options change, by dotted name: linked settings first, then what is written out."""
    links = config.get("linked_options") or {}
    for name, given in options.items():
        if name not in links:
            _check_option(config, name, given)
        elif not _is_switched_off(config, links[name][0]):
            _check_option(config, links[name][0], given, reported_as=name)
        for other, value in options.items():
            if name.startswith(f"{other}.") and not isinstance(value, dict):
                raise UnknownNameError(
                    f"--cfg-options {name}: '{other}' is given too, as {value!r}"
                )
    linked = {target: options[name] for name in options for target in links.get(name, ())}
    reachable = {
        target: value
        for target, value in linked.items()
        if not _is_switched_off(config, target)
        and not any(target.startswith(f"{name}.") for name in options)
    }
    return reachable | dict(options)


def _is_switched_off(config: Config, name: str) -> bool:
    """Whether a part around a linked setting is ``None``: a loader that a config does without."""
    node: Any = config
    *steps, last = name.split(".")
    try:
        for step in steps:
            node = node[int(step)] if isinstance(node, list | tuple) else node.get(step)
            if node is None:
                return True
    except (IndexError, ValueError, AttributeError):
        raise UnknownNameError(
            f"linked_options: the config has no '{name}', which an option is to change; give "
            "what it changes by full names instead"
        ) from None
    is_step = "pipeline" in steps and isinstance(node, Mapping)
    if is_step and not _takes(node, last, scope=config.get("default_scope")):
        # A config that inherits the link has other steps.
        raise UnknownNameError(
            f"linked_options: an option is to change '{name}', but {node['type']} there takes no "
            f"'{last}'; give what it changes by full names instead"
        )
    return False


def _takes(step: Mapping[str, Any], name: str, *, scope: str | None) -> bool:
    """Whether a pipeline's step takes an argument; yes where its class is not known."""
    kind = step.get("type")
    if isinstance(kind, str):
        with TRANSFORMS.switch_scope_and_registry(scope) as registry:
            kind = registry.get(kind)
    if not inspect.isclass(kind):
        return True
    known = inspect.signature(kind).parameters
    return name in known or any(one.kind is one.VAR_KEYWORD for one in known.values())


def _free_keys(config: Config, parent: str) -> frozenset[str] | None:
    """Keys that a part takes beside those stated; ``None`` where that is its class's affair."""
    if parent == "paramwise_cfg" and config.get("optim_wrapper", {}).get("constructor"):
        return None
    return _FREE_FORM.get(parent, frozenset())


def check_types(name: str, value: Any) -> None:
    """Refuse a ``type`` that is no registered name: mmengine would import a path and call it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            check_types(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            check_types(name, inner)
    elif name.rpartition(".")[2] == "type" and "." in str(value):
        scope, _, kind = str(value).partition(".")
        if scope not in _SCOPES or not _CLASS_NAME.fullmatch(kind):
            raise InputError(
                f"--cfg-options {name}: expected a registered name such as 'AdamW' or "
                f"'mmseg.FCNHead', got '{value}'; code of yours is named in a config"
            )


def _check_option(config: Config, name: str, value: Any, *, reported_as: str | None = None) -> None:
    node: Any = config.to_dict()
    steps = name.split(".")
    if steps[0] in _NO_OPTIONS:
        raise UnknownNameError(f"--cfg-options {name}: {_NO_OPTIONS[steps[0]]}")
    for depth, step in enumerate(steps):
        at = ".".join(steps[: depth + 1])
        if isinstance(node, list | tuple):
            if not step.lstrip("-").isdecimal() or int(step) >= len(node):
                raise UnknownNameError(f"--cfg-options {name}: '{at}' must be 0..{len(node) - 1}")
            node = node[int(step)]
            continue
        if not isinstance(node, Mapping):
            raise UnknownNameError(
                f"--cfg-options {name}: '{'.'.join(steps[:depth])}' is a plain value"
            )
        if step in node:
            node = node[step]
            if depth + 1 == len(steps):
                check_kind(reported_as or name, node, value)
            continue
        # A class may take more arguments than its config states; it refuses unknown ones itself.
        parent = steps[depth - 1] if depth else ""
        if step in RUN_SETTINGS if depth == 0 else "type" in node:
            return
        free = _free_keys(config, parent)
        if free is None or step in free:
            return
        known = [*map(str, node), *free, *(() if depth else config.get("linked_options", {}))]
        hint = _advice(step, known, {} if depth else node)
        raise UnknownNameError(f"--cfg-options {name}: the config has no '{at}'{hint}")


def _advice(name: str, known: Sequence[str], parts: Mapping[str, Any]) -> str:
    """Names that look alike, or where a config without such a variable has it."""
    hint = did_you_mean(name, known)
    if hint:
        return hint
    places = [".".join(path) for path, _ in walk(parts) if path and path[-1] == name]
    return f"; it has {', '.join(places[:_SHOWN])}" if places else ""


__all__ = ["check_types", "find_changes"]
