"""A parser whose errors are one line with advice, and numbers that are numbers."""

from __future__ import annotations

import argparse
import itertools
import math
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from stl_backbones.cli.started import as_started
from stl_backbones.errors import did_you_mean

EXIT_USER_ERROR = 2
_GREEDY = ("+", "*", "?")  # options that take words which were meant for others


class Parser(argparse.ArgumentParser):
    """Reports what is wrong with the arguments in one line, without the usage before it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._given: list[str] = []
        super().__init__(*args, **kwargs)
        self.register("type", int, whole_number)
        self.register("type", float, finite_number)
        self.register("type", None, some_text)

    def parse_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and remember the words for the advice of an error."""
        self._given = [str(word) for word in (sys.argv[1:] if args is None else args)]
        return super().parse_intermixed_args(self._with_constants(), namespace)

    def _with_constants(self) -> list[str]:
        """The words, with the value of ``--amp`` spelled out where the next word is none of its.

        Else a config after a bare ``--amp`` would be taken for its value.
        """
        words = []
        for word, following in itertools.zip_longest(self._given, self._given[1:], fillvalue="-"):
            action = self._option_string_actions.get(word)
            is_bare = action is not None and action.nargs == "?" and action.choices is not None
            if action is not None and is_bare and following not in ("", *(action.choices or ())):
                words.append(f"{word}={action.const}")
            else:
                words.append(word)
        return words

    def format_help(self) -> str:
        """The help, with the commands in it named as this one was started."""
        return as_started(super().format_help())

    def error(self, message: str) -> NoReturn:
        """End with the message and advice in a line, exit code 2."""
        line = " ".join(message.split())
        self.exit(EXIT_USER_ERROR, f"{self.prog}: error: {line}{self._advice(line)}, see --help\n")

    def _advice(self, line: str) -> str:
        if line.startswith("unrecognized arguments: ") and not line[24:].startswith("-"):
            return self._choices_before(line.split()[2])
        if line.startswith("unrecognized arguments: -"):
            word = line.split()[2].partition("=")[0]
            return did_you_mean(word, self._option_string_actions)
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", line)
        if choice:
            return did_you_mean(choice[1], re.findall(r"[^', ]+", choice[2]))
        greedy = self._greedy_options()
        if line.startswith("the following arguments are required"):
            return greedy_advice(greedy)
        option = re.match(r"argument (--[\w-]+): expected a .*got '[^-\d]", line)
        return greedy_advice([name for name in greedy if option and name == option[1]])

    def _choices_before(self, word: str) -> str:
        """What the option before a word takes, if it is one of a few."""
        before = self._given[self._given.index(word) - 1] if word in self._given[1:] else ""
        action = self._option_string_actions.get(before)
        choices = action.choices if action is not None else None
        return f"; {before} takes {' or '.join(map(str, choices))}" if choices else ""

    def _greedy_options(self) -> list[str]:
        """The given options that take as many words as follow."""
        options = self._option_string_actions.items()
        return [name for name, action in options if action.nargs in _GREEDY and name in self._given]


def greedy_advice(options: Sequence[str]) -> str:
    """What to do where an option of several words took what was no word of its own."""
    if not options:
        return ""
    names = " or ".join(options)
    return f"; words after {names} belong to it: put the others first, or after '--'"


def whole_number(text: str) -> int:
    """Read an integer of the command line."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, got '{text}'") from None


def finite_number(text: str) -> float:
    """Read a number of the command line; NaN and infinity are none."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a number, got '{text}'")
    return number


def whole_from(least: int, most: int | None = None) -> Callable[[str], int]:
    """Make a reader of integers of a range; seeds start at 0, since generators take none below."""
    bounds = f"of at least {least}" if most is None else f"in {least}..{most}"

    def read(text: str) -> int:
        number = whole_number(text)
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"expected a whole number {bounds}, got '{text}'")
        return number

    return read


def severity(text: str) -> float:
    """Read a severity of the command line, 1 to 5; a whole one is an integer."""
    number = finite_number(text)
    if not 1 <= number <= 5:
        raise argparse.ArgumentTypeError(f"expected a number in 1..5, got '{text}'")
    return int(number) if number.is_integer() else number


def some_text(text: str) -> str:
    """Read a word that is not empty, as an unset variable of a shell would make it."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected some text, got '{text}'")
    return text


__all__ = ["EXIT_USER_ERROR", "Parser", "greedy_advice", "severity", "some_text", "whole_from"]
