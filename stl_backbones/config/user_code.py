"""Whose code raised an error: ours, a library's, or the user's own module."""

from __future__ import annotations

import re
import site
import sysconfig
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType

from stl_backbones.errors import UserError

Frame = tuple[str, int]

_OURS = Path(__file__).resolve().parents[1]
_LIBRARIES = tuple(
    Path(folder).resolve()
    for folder in (
        *(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")),
        site.getusersitepackages(),
    )
)
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_CONFIGURED = frozenset({"mmcv", "mmdet", "mmengine", "mmpretrain", "mmseg"})
_WORKER = "Original Traceback"  # in the message of an error that a DataLoader worker raised
_FRAME = re.compile(r'^ *File "(.+)", line (\d+)', re.MULTILINE)


def describe_user_code(error: BaseException, *, ours: Collection[str] = ()) -> str | None:
    """Say where an error comes from if the user's own code raised it, or called what raised it.

    Args:
        error: The error, or what a DataLoader's worker made of it.
        ours: Files that are ours too.

    Returns:
        ``'own.py:12: ValueError: message'``; ``None`` if it is ours or a library's.
    """
    for link in _chain(error):
        frames = _frames(link)
        owners = [_owner(file, ours) for file, _ in frames]
        below = len(owners) - owners[::-1].index("ours") if "ours" in owners else 0
        of_user = [frame for frame, owner in zip(frames, owners, strict=True) if owner == "user"]
        if "user" in owners[below:]:
            file, line = of_user[-1]
            return f"{_shown(file)}:{line}: {reason(link, named=True)}"
    return None


def is_ours(error: BaseException) -> bool:
    """Whether a line of this package raised the error itself."""
    frames = _frames(error)
    return bool(frames) and _owner(frames[-1][0], ()) == "ours"


def configured_library(error: BaseException) -> str | None:
    """The library of a config's parts that raised an error, or called what raised it.

    Returns:
        ``'mmdet'``; ``None`` if a line of this package is nearer to the error.
    """
    for file, _ in reversed(_frames(error)):
        owner = _owner(file, ())
        if owner == "ours":
            return None
        named = _CONFIGURED.intersection(Path(file).parts)
        if owner == "library" and named:
            return min(named)
    return None


def reason(error: BaseException, *, named: bool = False) -> str:
    """The error in one line; with its class where the message alone says nothing.

    Args:
        error: The error, or what a DataLoader's worker made of it.
        named: With its class in any case.
    """
    message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    kind = type(error).__name__
    if _WORKER in message:
        kind, _, message = message.strip().splitlines()[-1].partition(": ")
        kind = kind.rpartition(".")[2]
    message = " ".join(message.split())
    if named:
        is_key = isinstance(error, KeyError) and " " not in message and message[:1] != "'"
        return f"{kind}: {message!r}" if is_key else f"{kind}: {message}" if message else kind
    if " " in message or isinstance(error, UserError):
        return message
    file, line = (_frames(error) or [("?", 0)])[-1]
    return f"{kind}{f' {message!r}' if message else ''} in {_shown(file)}:{line}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _frames(error: BaseException) -> list[Frame]:
    """Files and lines, the deepest last; those of a worker's process included."""
    found: list[Frame] = []
    step: TracebackType | None = error.__traceback__
    while step is not None:
        found.append((step.tb_frame.f_code.co_filename, step.tb_lineno))
        step = step.tb_next
    _, worker, text = str(error).partition(_WORKER)
    return found + [(file, int(line)) for file, line in _FRAME.findall(text if worker else "")]


def _owner(file: str, ours: Collection[str]) -> str:
    if file.startswith("<"):  # code without a file, made by a library
        return "library"
    path = Path(file).resolve()
    if file in ours or path.is_relative_to(_OURS):
        return "ours"
    if _INSTALLED & set(path.parts) or any(path.is_relative_to(root) for root in _LIBRARIES):
        return "library"
    return "user"


def _shown(file: str) -> str:
    """A file below this folder, or of an installed package, by its short name."""
    path = Path(file)
    for root in (*_LIBRARIES, Path.cwd()):
        if path.is_relative_to(root):
            return str(path.relative_to(root))
    return file


__all__ = ["configured_library", "describe_user_code", "is_ours", "reason"]
