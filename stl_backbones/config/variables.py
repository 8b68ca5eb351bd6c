"""Variables of a config: names at its top that only the config itself reads, while it is read.

``crop_size = (512, 512)`` of a config of mmseg is spelled into pipelines and model by the time the
config is read; changing the name alone changes nothing. So the config is read again with the other
value, and what was spelled from it follows, whatever Python it is spelled with.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mmengine.config.config as mmengine_config
from mmengine.config import Config

from stl_backbones.config.classes import CLASSES, NUM_CLASSES
from stl_backbones.config.settings import MODEL_SETTINGS, RUN_SETTINGS, without_unused
from stl_backbones.config.walk import innermost_datasets, replace_texts, walk
from stl_backbones.errors import InputError, UnknownNameError

_SHOWN = 5
_NO_DATA = {"work_dir", "load_from", "linked_options", "custom_imports"}
_MOVED = "__import__('stl_backbones.config.variables', fromlist=['moved']).moved"
_chosen: dict[str, Mapping[str, Any]] = {}  # variable -> its options, while a config is read


def is_variable(config: Config, name: str) -> bool:
    """Whether a name at the top of a config is read by nothing but the config itself."""
    if name == "data_preprocessor":  # the runner takes it where the model states none
        return bool((config.get("model") or {}).get(name)) and name in config
    return name in config and name not in RUN_SETTINGS | MODEL_SETTINGS


def move_variables(
    config: Config,
    options: Mapping[str, Any],
    *,
    read: Callable[[], Config],
    uses: tuple[str, ...],
) -> Config:
    """The config as its files would make it with other values of its variables.

    Args:
        config: The config as it was read.
        options: ``--cfg-options``; those that are no variables are passed over.
        read: Reads the config anew.
        uses: The splits in use.

    Returns:
        The config; the same object where no option is a variable.

    Raises:
        KeyError: If a variable is spelled into nothing in use.
    """
    names = dict.fromkeys(name.partition(".")[0] for name in options)
    chosen: dict[str, dict[str, Any]] = {}
    first = config
    for name in names:
        if not is_variable(first, name):
            continue
        chosen[name] = {k: value for k, value in options.items() if k.partition(".")[0] == name}
        before = config
        with _moving(chosen):
            config = read()
        for moved_name, given in chosen.items():
            old, new = first[moved_name], _changed(first[moved_name], given, moved_name)
            if isinstance(old, str) and isinstance(new, str) and "/" in f"{old}{new}":
                _move_paths(config, old, new)
            config[moved_name] = new
        is_moved = _parts(before, uses) != _parts(config, uses)
        if first[name] != config[name] and not is_moved and name not in (CLASSES, NUM_CLASSES):
            raise _no_effect(before, name, first[name], uses)
    return config


def move_data_root(config: Config, root: str | Path, *, uses: tuple[str, ...]) -> None:
    """Move the data set: ``--data-root DIR``, of any config.

    What the data sets in use state as ``data_root`` moves, with every path that begins with it; if
    they state none, what begins with the variable ``data_root``; without one, it is stated.

    Args:
        config: The config; changed in place.
        root: The data set's folder.
        uses: The splits in use.

    Raises:
        ValueError: If the data sets lie in several folders, or there is none.
    """
    datasets = [
        dataset
        for split in uses
        for dataset in innermost_datasets((config.get(f"{split}_dataloader") or {}).get("dataset"))
    ]
    if not datasets:
        raise InputError(f"--data-root: the config has no data to {' and '.join(uses)} with")
    stated = sorted({str(d["data_root"]) for d in datasets if d.get("data_root")})
    variable = config.get("data_root")
    if not stated and isinstance(variable, str) and variable:
        stated = [variable]
    if len({old.rstrip("/") for old in stated}) > 1:
        raise InputError(
            f"--data-root: the config's data lie in several folders, {', '.join(stated)}; move "
            f"them with --cfg-options {uses[-1]}_dataloader.dataset.data_root=DIR and the like"
        )
    moved = [_move_paths(config, old, str(root)) for old in stated]
    if not any(moved):
        for dataset in datasets:
            dataset["data_root"] = str(root)


def moved(name: str, value: Any) -> Any:
    """The value that a variable gets in place of the one that a config's file gives it."""
    try:
        return _changed(value, _chosen[name], name)
    except (KeyError, TypeError, IndexError):  # a base file's value of another kind
        return value


@contextmanager
def _moving(chosen: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Have the files of a config give their variables other values while they are read."""

    def parse(*args: Any, **kwargs: Any) -> ast.Module:
        tree = ast.parse(*args, **kwargs)
        for node in tree.body:
            names = [t.id for t in getattr(node, "targets", ()) if isinstance(t, ast.Name)]
            if isinstance(node, ast.Assign) and names and names[0] in chosen:
                call: Any = ast.parse(f"{_MOVED}({names[0]!r}, None)", mode="eval").body
                call.args[1], node.value = node.value, call
        return ast.fix_missing_locations(tree)

    before = mmengine_config.ast
    with_values: Any = SimpleNamespace(**{**vars(ast), "parse": parse})
    mmengine_config.ast = with_values
    _chosen.update(chosen)
    try:
        yield
    finally:
        mmengine_config.ast = before
        _chosen.clear()


def _changed(value: Any, given: Mapping[str, Any], name: str) -> Any:
    """A variable's value after ``--cfg-options`` of it or of parts of it."""
    holder = Config({name: deepcopy(value)})
    holder.merge_from_dict(dict(given))
    new = holder[name]
    # `data_root + "annotations"` needs the slash that `data_root = "data/coco/"` has.
    ends = isinstance(new, str) and str(value).endswith("/") and not new.endswith("/")
    return f"{new}/" if ends else new


def _move_paths(config: Config, old: str, new: str) -> bool:
    """Move every path that begins with a folder; returns whether a part held any."""
    old, new = old.rstrip("/"), new.rstrip("/") or "/"
    count = 0

    def move(text: str) -> str:
        nonlocal count
        if not old or not (text == old or text.startswith(f"{old}/")):
            return text
        count += 1
        return new + text[len(old) :]

    variables = {name for name in config if is_variable(config, name)}
    for name in variables:
        config[name] = replace_texts(config[name], move)
    count = 0
    for name in config.keys() - variables - _NO_DATA:
        config[name] = replace_texts(config[name], move)
    return count > 0


def _parts(config: Config, uses: tuple[str, ...]) -> dict[str, Any]:
    """What a tool uses of a config, its variables aside."""
    used = without_unused(config, uses)
    return {name: value for name, value in used.items() if not is_variable(config, name)}


def _no_effect(config: Config, name: str, old: Any, uses: tuple[str, ...]) -> UnknownNameError:
    is_alike = isinstance(old, list | tuple | dict)
    found = [
        ".".join(path)
        for path, value in walk(_parts(config, uses))
        if path and (path[-1] == name or (is_alike and value == old))
    ]
    places = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
    hint = f"; set {places}" if places else "; set the part that it is meant for by its full name"
    return UnknownNameError(
        f"--cfg-options {name}: changes nothing that is used here, the config spells it into no "
        f"part{hint}"
    )


__all__ = ["is_variable", "move_data_root", "move_variables", "moved"]
