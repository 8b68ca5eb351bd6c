"""How tables and pictures name classes: ImageNet's ids by their words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from stl_backbones.errors import unknown_name
from stl_backbones.report.read.text import plain

_WNID = re.compile(r"n\d{8}")


def are_wnids(classes: tuple[str, ...]) -> bool:
    """Whether all classes are ids of WordNet, as the folders of ImageNet are called."""
    return all(map(_WNID.fullmatch, classes))


@lru_cache(maxsize=8)
def shown_classes(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Names of classes for tables and pictures, each once.

    Args:
        classes: The data's own names.

    Returns:
        Each as one line; of ids of WordNet the first of their words, ``'tench'`` for
        ``'n01440764'``, with the id where two classes have the same word.
    """
    if not are_wnids(classes):
        return tuple(map(plain, classes))
    words = _words_of_wnids()
    names = [words.get(wnid, wnid) for wnid in classes]
    often = Counter(names)
    return tuple(
        name if often[name] == 1 else f"{name} ({wnid})"
        for name, wnid in zip(names, classes, strict=True)
    )


def find_class(name: str, classes: Sequence[str], *, others: Sequence[str] = ()) -> int:
    """The index of a class, by the data's own name or by the one that tables show.

    Args:
        name: The class.
        classes: The data's own names.
        others: What else could have been given, for the message.

    Raises:
        UnknownNameError: If there is no such class.
    """
    shown = shown_classes(tuple(classes))
    for names in (list(classes), shown):
        if name in names:
            return names.index(name)
    raise unknown_name("class", name, [*others, *shown])


@lru_cache(maxsize=1)
def _words_of_wnids() -> dict[str, str]:
    """From timm's list, read as a file: importing timm imports torch, which takes seconds."""
    timm = find_spec("timm")
    if timm is None or timm.origin is None:
        return {}
    path = Path(timm.origin).parent / "data/_info/imagenet_synset_to_lemma.txt"
    if not path.is_file():  # it moved: the ids stay
        return {}
    lines = (line.split("\t", 1) for line in path.read_text(encoding="utf-8").splitlines())
    return {wnid: words.partition(",")[0].strip() for wnid, words in lines}


__all__ = ["are_wnids", "find_class", "shown_classes"]
