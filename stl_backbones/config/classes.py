"""``--cfg-options classes=... num_classes=K``: classes, changed wherever a config states them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from stl_backbones.config.settings import SPLITS
from stl_backbones.config.walk import innermost_datasets, walk
from stl_backbones.errors import InputError

CLASSES, NUM_CLASSES = "classes", "num_classes"
_NO_HEADS = frozenset({"backbone", "neck", "rpn_head"})


def stated_number(config: Config) -> int | None:
    """The number of classes that a config's model states first: its heads'."""
    return next((part[NUM_CLASSES] for part in _stating(config.get("model"))), None)


def move_classes(config: Config, options: Mapping[str, Any], *, before: int | None) -> None:
    """Give model and data sets other classes.

    Every ``num_classes`` of the model, of the data sets and of their pipelines that was the model's
    number before becomes the new one; the data sets get the names, as ``classes`` where their class
    takes that, as ``metainfo.classes`` where not.

    Args:
        config: The config; changed in place.
        options: ``classes``, their names in the order of the labels, ``num_classes``, or both.
        before: The model's number of classes before any option changed it.

    Raises:
        ValueError: If the two contradict each other, or are no names and no number.
    """
    names, number = _names_and_number(options)
    loaders = [config.get(f"{split}_dataloader") or {} for split in SPLITS]
    for part in _stating([config.get("model"), *loaders]):
        if part[NUM_CLASSES] == before:
            part[NUM_CLASSES] = number
    for loader in loaders if names else ():
        for dataset in innermost_datasets(loader.get("dataset")):
            if _takes_classes(dataset, config.get("default_scope")):
                dataset[CLASSES] = names
            else:
                info = dict(dataset.get("metainfo") or {})
                if len(info.get("palette") or names) != number:
                    del info["palette"]
                dataset["metainfo"] = {**info, CLASSES: names}


def _stating(node: Any) -> Iterator[Any]:
    """The parts that state a number of classes; what sees things or none only states its own."""
    for path, part in walk(node):
        is_part = isinstance(part, Mapping) and not _NO_HEADS.intersection(path)
        if is_part and isinstance(part.get(NUM_CLASSES), int):
            yield part


def _names_and_number(options: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    given, number = options.get(CLASSES), options.get(NUM_CLASSES)
    if given is not None and (isinstance(given, str) or not isinstance(given, Sequence)):
        raise InputError(f"--cfg-options classes: expected \"('a','b')\", got '{given}'")
    names = tuple(map(str, given or ()))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"--cfg-options classes: '{twice}' stands there twice")
    if given is not None and number is None:
        number = len(names)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise InputError(f"--cfg-options num_classes: expected a number above 0, got '{number}'")
    if given is not None and number != len(names):
        raise InputError(
            f"--cfg-options num_classes={number}, but classes names {len(names)}: "
            f"{', '.join(names)}; leave num_classes out, or name all"
        )
    return names, number


def _takes_classes(dataset: Mapping[str, Any], scope: str | None) -> bool:
    kind = dataset.get("type")
    with DATASETS.switch_scope_and_registry(scope) as registry:
        built = kind if isinstance(kind, type) else registry.get(str(kind))
    return built is not None and CLASSES in inspect.signature(built).parameters


__all__ = ["CLASSES", "NUM_CLASSES", "move_classes", "stated_number"]
