"""Whether what the user named is there, and of the right kind."""

from __future__ import annotations

from pathlib import Path

from stl_backbones.errors import InputError, MissingFileError


def check_file(path: str | Path, what: str, *, hint: str = "") -> Path:
    """Refuse what is no file.

    Args:
        path: What the user named.
        what: Its place in a sentence, ``'checkpoint'``.
        hint: What to do, after the message.

    Returns:
        The path.

    Raises:
        MissingFileError: If nothing is there.
        InputError: If it is a folder, or something that cannot be read to its end.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{what} '{path}' is a folder; expected a file{_after(hint)}")
    if not path.exists():
        raise MissingFileError(f"{what} '{path}' does not exist{_after(hint)}")
    if not path.is_file():  # a pipe would be read for ever
        raise InputError(f"{what} '{path}' is no regular file{_after(hint)}")
    return path


def check_folder(path: str | Path, what: str, *, hint: str = "") -> Path:
    """Refuse what is no folder, see `check_file`.

    Raises:
        MissingFileError: If nothing is there.
        InputError: If it is a file.
    """
    path = Path(path)
    if path.is_dir():
        return path
    if path.exists():
        raise InputError(f"{what} '{path}' is a file; expected a folder{_after(hint)}")
    raise MissingFileError(f"{what} '{path}' does not exist{_after(hint)}")


def _after(hint: str) -> str:
    return f"; {hint}" if hint else ""


__all__ = ["check_file", "check_folder"]
