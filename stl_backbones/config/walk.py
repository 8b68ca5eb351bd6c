"""The one walk over configs: nested dicts, lists and tuples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Path = tuple[str, ...]


def walk(node: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every value at any depth with the names that lead to it; the node itself first."""
    yield path, node
    if isinstance(node, Mapping):
        for name, inner in node.items():
            yield from walk(inner, (*path, str(name)))
    elif isinstance(node, list | tuple):
        for index, inner in enumerate(node):
            yield from walk(inner, (*path, str(index)))


def parts(node: Any) -> Iterator[Any]:
    """Yield every dict at any depth, outer ones first."""
    return (inner for _, inner in walk(node) if isinstance(inner, Mapping))


def innermost_datasets(dataset: Any) -> Iterator[Any]:
    """The settings of the data sets inside whatever repeats, mixes or joins them."""
    if not isinstance(dataset, dict):
        return
    inner = [dataset.get("dataset"), *(dataset.get("datasets") or ())]
    wrapped = [part for part in inner if isinstance(part, dict)]
    for part in wrapped:
        yield from innermost_datasets(part)
    if not wrapped:
        yield dataset


def replace_texts(node: Any, change: Callable[[str], str]) -> Any:
    """Pass every text at any depth through ``change``; dicts and lists are changed in place."""
    if isinstance(node, str):
        return change(node)
    if isinstance(node, tuple):
        return tuple(replace_texts(inner, change) for inner in node)
    if isinstance(node, dict | list):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            value = node[key]
            new = replace_texts(value, change)
            if new is not value and new != value:
                node[key] = new
    return node


def short_name(part: Mapping[str, Any]) -> str:
    """The type of a part without its scope: ``'ResNet'`` of ``'mmseg.ResNet'``; '' without one."""
    kind = part.get("type", "")
    return str(getattr(kind, "__name__", kind)).rpartition(".")[2]


__all__ = ["innermost_datasets", "parts", "replace_texts", "short_name", "walk"]
