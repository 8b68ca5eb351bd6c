"""What the user gave does not fit; everything else that is raised is a bug.

A message says what was expected, what came, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable


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


__all__ = [
    "InputError",
    "MissingFileError",
    "MissingPackageError",
    "UnknownNameError",
    "UserError",
    "some_of",
]
