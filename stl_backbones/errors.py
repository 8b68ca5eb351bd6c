"""What the user gave does not fit; everything else that is raised is a bug.

A message says what was expected, what came, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable


class UserError(Exception):
    """Base of all errors that the user's input causes: one line of a command, exit code 2."""


class InputError(UserError, ValueError):
    """A value, file or combination that does not fit."""


class UnknownNameError(UserError, KeyError):
    """A name that nothing is registered under."""

    def __str__(self) -> str:
        """The message; a plain KeyError would quote it."""
        return str(self.args[0]) if self.args else ""


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that is not there."""


class MissingPackageError(UserError, ImportError):
    """A package that the task needs; the message names the extra that brings it."""


def some_of(names: Iterable[object], *, shown: int = 3) -> str:
    """The first few names of a message, and how many more there are."""
    texts = [str(name) for name in names]
    more = f", ... ({len(texts) - shown} more)" if len(texts) > shown else ""
    return ", ".join(texts[:shown]) + more


def first_sentence(error: BaseException) -> str:
    """The first line of a library's long message that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = lines or [type(error).__name__]  # an assertion, say, without a message
    # torch's heading of what does not fit
    text = lines[1] if len(lines) > 1 and lines[0].startswith("Error(s) in loading") else lines[0]
    return text.rstrip(".") if len(text) <= 200 else f"{text[:197]}..."


def did_you_mean(
    name: str, known: Iterable[object], *, shown: int = 3, by: Callable[[str], str] = str
) -> str:
    """The nearest usable names, as the end of a message: ``'; did you mean fog or frost?'``.

    Names that hold the given one whole, as `convnext-t` holds `convnext`, come first; then those
    that differ by a slip of the finger. Case, ``-``, ``_`` and ``/`` do not count.

    Args:
        name: What was given.
        known: What is there.
        shown: How many names, at most.
        by: The part of a name that is compared.

    Returns:
        The text; empty if nothing is near.
    """
    plain = {text: _plain(by(text)) for text in dict.fromkeys(map(str, known))}
    wanted = _plain(by(name))
    holding = [text for text, own in plain.items() if len(wanted) > 2 and wanted in own]
    holding.sort(key=lambda text: (not plain[text].startswith(wanted), len(text)))
    by_plain = {own: text for text, own in reversed(plain.items())}
    alike = difflib.get_close_matches(wanted, by_plain, n=shown, cutoff=0.6)
    near = list(dict.fromkeys([*holding, *(by_plain[own] for own in alike)]))[:shown]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _plain(name: str) -> str:
    return name.casefold().replace("_", "-").replace("/", "-")


_MOST_NAMES = 100  # of a message: ImageNet has 1000 classes


def unknown_name(
    kind: str, name: str, known: Iterable[object], *, more: str = ""
) -> UnknownNameError:
    """The error for a name that is not one of a few.

    Args:
        kind: What it should name, ``'preset'``.
        name: What was given.
        known: What is there.
        more: What else could be given, ``', or ...'``.
    """
    names = [str(other) for other in known]
    near = did_you_mean(name, names)
    listed = some_of(names, shown=_MOST_NAMES)
    return UnknownNameError(
        f"unknown {kind} '{name}'{near or ';'} {'Expected' if near else 'expected'} one of "
        f"{listed}{more}"
    )


__all__ = [
    "InputError",
    "MissingFileError",
    "MissingPackageError",
    "UnknownNameError",
    "UserError",
    "did_you_mean",
    "first_sentence",
    "some_of",
    "unknown_name",
]
