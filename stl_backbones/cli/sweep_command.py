"""The command that made a sweep, kept in its folder: by it model and data are found again.

It is no part of what is measured. Since a command names code (configs, modules, functions), one
whose code lies in the sweep's folder is not run: that folder may come from elsewhere.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from stl_backbones.cli.robustness_options import make_robustness_parser
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.plain_files import parse_json
from stl_backbones.results.atomic import write_atomically

COMMAND = "command.json"
_FORMAT = 1
_GIVE = (
    "give it again, as for tools/robustness.py, behind --; "
    "from Python call stl_backbones.show_failures"
)
# Options that name code; what else is named is data.
_CODE = ("config", "model", "preprocess", "decoder", "custom_imports")
# Of the process, not of the sweep; code in checkpoints is trusted anew each time.
_NOT_KEPT = ("debug", "quiet", "dry_run", "list_presets", "launcher", "workers", "device",
             "vis_backends", "trust_checkpoint")  # fmt: skip


def keep_command(args: argparse.Namespace, folder: Path) -> None:
    """Write down what a finished sweep was asked for.

    Args:
        args: As `make_robustness_parser` parsed it.
        folder: The sweep's.
    """
    defaults = vars(make_robustness_parser("").parse_args([]))
    said = {
        name: value
        for name, value in vars(args).items()
        if name not in _NOT_KEPT and value != defaults.get(name)
    }
    record = {"format": _FORMAT, "folder": str(Path.cwd()), "options": said}
    write_atomically(folder / COMMAND, json.dumps(record, indent=1, default=str).encode())


def read_command(folder: str | Path) -> tuple[argparse.Namespace, Path]:
    """The options of the sweep in a folder, and where they were given.

    Returns:
        The options as a command line would give them, and the folder that its paths start from.

    Raises:
        MissingFileError: If none are kept, as for a sweep of the Python call, or the folder that
            they were given in is gone.
        InputError: If they cannot be read, or name code in the sweep's folder.
    """
    path = Path(folder) / COMMAND
    if not path.is_file():
        raise MissingFileError(f"'{path}' is missing, so the model is not known: {_GIVE}")
    args = make_robustness_parser("").parse_args([])
    try:
        record = parse_json(path.read_bytes())
        if record["format"] != _FORMAT:
            raise InputError(f"'{path}' is of format {record['format']}, expected {_FORMAT}")
        start, options = Path(record["folder"]), dict(record["options"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{path}' cannot be read as a command ({error}): {_GIVE}") from error
    unknown = sorted(options.keys() - vars(args).keys() | options.keys() & set(_NOT_KEPT))
    if unknown:
        raise InputError(f"'{path}' has an unknown option '{unknown[0]}': {_GIVE}")
    odd = [name for name, value in options.items() if not _is_plain(value)]
    if odd:
        raise InputError(f"'{path}' has no plain value for option '{odd[0]}': {_GIVE}")
    if not start.is_dir():
        raise MissingFileError(f"'{start}', where the sweep was started, is no folder: {_GIVE}")
    for name, value in options.items():
        setattr(args, name, value)
    _check_code(args, start, Path(folder).resolve())
    return args, start


def _check_code(args: argparse.Namespace, start: Path, folder: Path) -> None:
    for name in _CODE:
        value: Any = getattr(args, name)
        for text in value if isinstance(value, list) else [value]:
            file, function, _ = str(text or "").partition(".py:")
            place = (start / (f"{file}.py" if function else file)).resolve()
            if text and place.is_relative_to(folder):
                raise InputError(
                    f"'{folder / COMMAND}' names code in the sweep's own folder, '{text}', which "
                    f"is not run: {_GIVE}"
                )


def _is_plain(value: Any) -> bool:
    """Whether a value is one that an option can have: not ``None``, and nothing nested."""
    return all(isinstance(one, str | int | float) for one in _listed(value))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def options_text(args: argparse.Namespace) -> str:
    """The options as a command line, to be read before they are followed."""
    defaults = vars(make_robustness_parser("").parse_args([]))
    said = {name: value for name, value in vars(args).items() if value != defaults.get(name)}
    words: list[str] = []
    for name, value in said.items():
        if name not in ("config", "checkpoint"):
            option = "checkpoint" if name == "weights" else name.replace("_", "-")
            words.append(f"--{option}")
        if value is not True:
            words += [str(one) for one in _listed(value)]
    return shlex.join(words)


__all__ = ["COMMAND", "keep_command", "options_text", "read_command"]
