"""`stl`: every command below one name; light, since nothing of a command is imported for --help."""

from __future__ import annotations

import shutil
import sys
import textwrap
from importlib import import_module
from pathlib import Path

from stl_backbones import __version__
from stl_backbones.cli import commands, end_silently_on_ctrl_c
from stl_backbones.cli.parser import EXIT_USER_ERROR
from stl_backbones.cli.started import COMMANDS, first_line, start_as, typed
from stl_backbones.errors import did_you_mean

_USAGE = """usage: stl COMMAND ...

Robustness of vision models: sweeps over corruptions, reports, corrupted copies, training.

commands:
{}

'stl COMMAND --help' shows what a command takes; 'stl --version' the version. A CONFIG is a file, or
the name of one that is installed: stl_backbones::seg/stl_fan_b_cityscapes, mmseg::..., mmdet::...
'stl completion' prints a shell's completion, 'stl warm-up' compiles the corruptions beforehand.
"""


def main() -> int:
    """Run the command that the process's words name; returns its exit code."""
    words, is_module = sys.argv[1:], Path(sys.argv[0]).name == "__main__.py"
    base = [typed("python"), "-m", "stl_backbones"] if is_module else [typed("stl")]
    start_as(base, "")
    if not words or words[0] in ("-h", "--help"):
        print(_usage(), end="", file=sys.stdout if words else sys.stderr)
        return 0 if words else EXIT_USER_ERROR
    if words[0] == "--version":
        print(f"stl_backbones {__version__}")
        return 0
    if words[0] in _SMALL:
        return _SMALL[words[0]](words[1:])
    name = words[0].removesuffix(".py").replace("_", "-")
    name = {module.replace("_", "-"): short for short, module in COMMANDS.items()}.get(name, name)
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS) or f"; expected one of {', '.join(COMMANDS)}"
        print(f"stl: error: unknown command '{words[0]}'{hint}, see --help", file=sys.stderr)
        return EXIT_USER_ERROR
    start_as(base, name)
    end_silently_on_ctrl_c()
    del sys.argv[1]  # a command reads its own words there, as a file of tools/ does
    code: int = import_module(f"{commands.__name__}.{COMMANDS[name]}").main()
    return code


def _completion(words: list[str]) -> int:
    """Print the script of a shell: eval "$(stl completion bash)"."""
    from stl_backbones.cli.completion import SHELLS, completion_script
    from stl_backbones.cli.tool import make_parser, run_tool

    start_as(["stl"], "completion")
    parser = make_parser(_completion.__doc__ or "")
    parser.add_argument("shell", choices=SHELLS)
    return run_tool(parser, lambda args: print(completion_script(args.shell)), words)


def _warm_up(words: list[str]) -> int:
    """Compile all corruptions for this machine, beforehand, in NUMBA_CACHE_DIR if that is set."""
    from stl_backbones.cli.tool import make_parser, run_tool
    from stl_backbones.corruptions import CORRUPTIONS, prepare

    def compile_all(_: object) -> None:
        for mode in ("exact", "fast"):
            prepare(CORRUPTIONS, mode=mode)
        print(f"{len(CORRUPTIONS)} corruptions are compiled")

    start_as(["stl"], "warm-up")
    return run_tool(make_parser(_warm_up.__doc__ or ""), compile_all, words)


_SMALL = {"completion": _completion, "warm-up": _warm_up}  # without a file of tools/


def _usage() -> str:
    width = shutil.get_terminal_size().columns
    lines = (
        textwrap.fill(f"  {name:<20}{first_line(module)}", width, subsequent_indent=" " * 22)
        for name, module in COMMANDS.items()
    )
    return _USAGE.format("\n".join(lines))


__all__ = ["main"]
