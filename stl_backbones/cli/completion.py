"""Completion of `stl` for a shell: a script made once, so that a TAB starts no Python."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

from stl_backbones.cli import commands
from stl_backbones.cli.started import COMMANDS, first_line
from stl_backbones.packages import require

SHELLS = ("bash", "zsh")
_FILES = ("config", "checkpoint", "src", "dst", "image", "images", "dirs", "sweep")
_FOLDERS = ("DIR", "SRC", "OUT")


def completion_script(shell: str) -> str:
    """The script.

    Args:
        shell: One of `SHELLS`.

    Raises:
        MissingPackageError: If shtab is not installed.
    """
    require("completion", "shtab")
    import shtab

    root = argparse.ArgumentParser(prog="stl", add_help=False)
    below = root.add_subparsers(dest="command")
    for name, module in COMMANDS.items():
        parser = import_module(f"{commands.__name__}.{module}").parse()
        added = below.add_parser(name, parents=[parser], help=first_line(module), add_help=False)
        for action in added._actions:
            _complete(action)
    below.add_parser("warm-up", help="compile the corruptions beforehand", add_help=False)
    own = below.add_parser("completion", help="the script of a shell", add_help=False)
    own.add_argument("shell", choices=SHELLS)
    script: str = shtab.complete(root, shell)
    return script


def _complete(action: argparse.Action) -> None:
    """Offer files and folders where an option or a word takes one."""
    import shtab

    chosen: Any = action
    if action.choices or action.nargs == 0:
        return
    if action.metavar in _FOLDERS:
        chosen.complete = shtab.DIRECTORY
    elif action.dest in _FILES or "FILE" in str(action.metavar) or action.metavar == "PATH":
        chosen.complete = shtab.FILE


__all__ = ["SHELLS", "completion_script"]
