"""Writes the page of all commands from the parsers that read the command line.

A hook of MkDocs, named in mkdocs.yml. It imports the parsers and nothing heavy: numpy is enough.
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from stl_backbones.cli.started import COMMANDS, as_started, start_as

MARK = "<!-- commands -->"
FETCHED = "https://unpkg.com/iframe-worker/shim"  # by the plugin `offline`; ours is a copy


def on_post_page(output: str, page: Any, **_: object) -> str:
    """Take the search's script from this folder instead of the network."""
    return output.replace(FETCHED, "../" * page.url.count("/") + "iframe-worker.js")


def on_post_template(output_content: str, **_: object) -> str:
    """The same in the page for addresses that are none."""
    return output_content.replace(FETCHED, "/iframe-worker.js")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the commands where the mark is; MkDocs calls it for every page."""
    return markdown.replace(MARK, all_commands()) if MARK in markdown else markdown


def all_commands() -> str:
    """The text of the page: a heading, what it does, examples and options of each command."""
    start_as(["stl"], "")
    return "\n\n".join(_command(name, module) for name, module in COMMANDS.items())


def _command(name: str, module: str) -> str:
    parser = import_module(f"stl_backbones.cli.commands.{module}").parse()
    parser.prog = f"stl {name}"
    parts = [f"## stl {name}", _description(parser.description or "")]
    if parser.epilog:
        parts.append(f"```text\n{as_started(parser.epilog)}\n```")
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.dest != "help"]
        if actions:
            title = (group.title or "").partition(";")[0]  # behind it is a page's name
            rows = "\n".join(_row(parser, action) for action in actions)
            parts.append(f"**{title[0].upper()}{title[1:]}**\n\n| | |\n|---|---|\n{rows}")
    return "\n\n".join(parts)


def _description(text: str) -> str:
    """Paragraphs; lines that begin with a command's name are examples."""
    blocks = []
    for block in as_started(text).strip().split("\n\n"):
        is_code = all(line.lstrip().startswith("stl ") for line in block.splitlines())
        blocks.append(f"```sh\n{block}\n```" if is_code else block)
    return "\n\n".join(blocks)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter = parser._get_formatter()
    names = ", ".join(action.option_strings)
    value = ""
    if not names:
        (names,) = formatter._metavar_formatter(action, action.dest)(1)
    elif action.nargs != 0:
        value = f" {formatter._format_args(action, action.dest.upper())}"
    meaning = as_started(formatter._expand_help(action)) if action.help else ""
    plain = re.sub(r"(?<!\w)(--[a-z][\w-]*)", r"`\1`", meaning)
    plain = re.sub(r"docs/([\w/-]+\.md)", r"[\1](../\1)", plain)
    shown = f"{names}{value}".replace("|", "\\|")
    return f"| `{shown}` | {plain.replace('|', chr(92) + '|').replace('<', '&lt;')} |"


__all__ = ["all_commands", "on_page_markdown", "on_post_page", "on_post_template"]
