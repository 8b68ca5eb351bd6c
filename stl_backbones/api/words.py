"""Errors name options as the command line has them; who calls from Python reads arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from stl_backbones.errors import UserError

# An option, and what follows it as its value: ``--classes FILE``.
_OPTION = re.compile(r"(?<![\w/-])--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)(?: ([A-Z][A-Z_]*)\b)?")
_OTHER_NAMES = {
    "data-root": "data", "images": "data", "truth": "data", "weights": "checkpoint",
    "model-version": "version", "input-size": "size",
}  # fmt: skip


def python_words(text: str) -> str:
    """A message with arguments in place of options: ``--batch-size N`` is ``batch_size=N``."""
    return _OPTION.sub(_argument, text)


def _argument(found: re.Match[str]) -> str:
    option, value = found.groups()
    name = _OTHER_NAMES.get(option, option.replace("-", "_"))
    return f"{name}={value}" if value else name


@contextmanager
def in_python_words() -> Iterator[None]:
    """Errors that the user's input causes, with arguments in place of options."""
    try:
        yield
    except UserError as error:
        if error.args and isinstance(error.args[0], str):
            error.args = (python_words(error.args[0]), *error.args[1:])
        raise


__all__ = ["in_python_words", "python_words"]
