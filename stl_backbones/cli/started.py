"""How this process was started, so that what it prints to be typed can be typed as it stands.

A command is started as ``stl report``, ``python -m stl_backbones report`` or ``python
tools/report.py``. Texts are written for the last; `as_started` makes them fit the others.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
from pathlib import Path

# Command -> its module in `stl_backbones.cli.commands`, which is the tool's name.
COMMANDS = {
    "robustness": "robustness",
    "report": "report",
    "bundle": "bundle",
    "show-failures": "show_failures",
    "show-corruptions": "show_corruptions",
    "generate": "generate_corruptions",
    "train": "train",
    "test": "test",
    "pretrain": "pretrain",
    "token-labels": "visualize_token_labels",
    "export-onnx": "export_onnx",
    "convert-checkpoint": "convert_checkpoint",
    "mini-data": "make_mini_data",
    "demo": "demo",
    "demo-classifier": "demo_classifier",
}
_NAMES = {module: name for name, module in COMMANDS.items()}
# A tool in a text, but no file that a user named: that has a folder or quotes around it.
_TOOL = re.compile(rf"(?<![\w/.'\"-])(?:python )?(?:tools/)?({'|'.join(_NAMES)})\.py\b(?!['\"])")

_BIN = Path(sys.prefix) / "bin"  # of the environment
_start: list[str] = []  # ``['stl', 'report']`` where `stl` started this process, else empty


def start_as(base: list[str], name: str) -> None:
    """Note that a command runs below `stl`.

    Args:
        base: What was typed before its name.
        name: The command's.
    """
    _start[:] = [*base, name]


def program() -> str | None:
    """The name of the running command in usage and errors; ``None``: its file's."""
    return " ".join(("stl", _start[-1])) if _start else None


def start_words() -> list[str]:
    """What was typed to start this process, without options.

    Under torchrun what stands behind its own options.
    """
    launched = "TORCHELASTIC_RUN_ID" in os.environ
    if _start:
        return ["-m", "stl_backbones", _start[-1]] if launched else list(_start)
    return [sys.argv[0]] if launched else [typed("python"), sys.argv[0]]


def command_words(tool: str) -> list[str]:
    """What to type to start another command, as this one was started.

    Args:
        tool: Its module, ``'show_failures'``.
    """
    if _start:
        return [*_start[:-1], _NAMES[tool]]
    file = _sibling(tool)
    return [typed("python"), str(file)] if file.is_file() else [*_stl_words(), _NAMES[tool]]


def process_words(tool: str) -> list[str]:
    """What starts another command in a process: as `command_words`, of this very environment."""
    file = _sibling(tool)
    if not _start and file.is_file():
        return [sys.executable, str(file)]
    return [sys.executable, "-m", "stl_backbones", _NAMES[tool]]


def _sibling(tool: str) -> Path:
    return Path(sys.argv[0]).with_name(f"{tool}.py")


def _stl_words() -> list[str]:
    """`stl`, or its long form in an environment that has the package by another way than pip."""
    is_there = (_BIN / "stl").is_file() or sys.prefix == sys.base_prefix
    return [typed("stl")] if is_there else [typed("python"), "-m", "stl_backbones"]


def typed(name: str) -> str:
    """A program of this environment as it has to be typed: with its folder, if that is not on PATH.

    Args:
        name: ``'python'`` or ``'stl'``.
    """
    own = _BIN / name
    found = shutil.which(name)
    if sys.prefix == sys.base_prefix or (found and Path(found).absolute() == own):
        return name
    return os.path.relpath(own) if own.is_relative_to(Path.cwd()) else str(own)


def first_line(tool: str) -> str:
    """Of the docstring of a command, without importing what it imports."""
    text = Path(__file__).with_name("commands").joinpath(f"{tool}.py").read_text(encoding="utf-8")
    return as_started((ast.get_docstring(ast.parse(text)) or "").partition("\n")[0])


def as_started(text: str) -> str:
    """A text with the tools in it named as this process was started."""
    if not _start:
        return text
    return _TOOL.sub(lambda match: f"stl {_NAMES[match[1]]}", text)


__all__ = [
    "COMMANDS",
    "as_started",
    "command_words",
    "first_line",
    "process_words",
    "program",
    "start_as",
    "start_words",
    "typed",
]
