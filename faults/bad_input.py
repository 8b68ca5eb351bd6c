"""Wrong input to every tool, and what a tool must answer: exit code 2 and one line.

A catalogue is a function that writes its files below a folder and yields a `BadInput` for each
case. Where the input is legitimate though unusual, the case says the documented result instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from faults.clock import Clock
from faults.forkserver import ForkServer

TIMEOUT = 120.0  # seconds
_ERROR = re.compile(r"^(\w+\.py): error: (.+)$")


@dataclass(frozen=True)
class BadInput:
    """One wrong input.

    Args:
        group: The row of the campaign's table it counts in, such as ``images``.
        name: What is wrong, in words; unique in its group.
        words: Tool and arguments, as after ``python``: ``("tools/report.py", "DIR")``.
        says: Texts that the one line must hold: what was expected, what came.
        code: 2, or the exit code of the documented result.
        untouched: Paths that must not exist afterwards: results of what was refused.
        check: Raises AssertionError if the documented result is not there.
        environment: Variables that differ.
    """

    group: str
    name: str
    words: Sequence[object]
    says: Sequence[str] = ()
    code: int = 2
    untouched: Sequence[Path] = ()
    check: Callable[[], None] | None = None
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """How a tool answered.

    Args:
        case: What it was given.
        problem: What is wrong with the answer; empty if nothing.
        answer: The tool's line, or the end of its output.
    """

    case: BadInput
    problem: str
    answer: str


def judge(case: BadInput, code: int | None, output: str) -> Verdict:
    """Compare a tool's exit code and output with what the case asks for."""
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)]
    answer = errors[-1] if errors else "\n".join(lines[-8:])
    tool = Path(str(case.words[0])).name
    missing = [text for text in case.says if text.lower() not in answer.lower()]
    left = [str(path) for path in case.untouched if path.exists()]
    problems = {
        "did not end": code is None,
        f"exit code {code}, expected {case.code}": code not in (case.code, None),
        "traceback": "Traceback (most recent call last)" in output,
        f"{len(errors)} error lines": case.code == 2 and len(errors) != 1,
        "the error is not the last line": case.code == 2 and lines[-1:] != errors[-1:],
        "usage printed before the line": case.code == 2
        and any(line.startswith("usage:") for line in lines),
        "another tool's name": bool(errors) and not answer.startswith(tool),
        f"does not say {missing}": bool(missing),
        f"left {left}": bool(left),
    }
    found = [problem for problem, is_so in problems.items() if is_so]
    if not found and case.check is not None:
        try:
            case.check()
        except AssertionError as error:
            found.append(str(error) or "the check failed")
    return Verdict(case, "; ".join(found), answer)


def run_cases(
    server: ForkServer, cases: Iterable[BadInput], folder: Path, *, clock: Clock, lanes: int = 2
) -> list[Verdict]:
    """Give every case to its tool, some at a time, until the time is up."""

    def run(case: BadInput) -> Verdict | None:
        if clock.is_up:
            return None
        running = server.start(case.words, folder=folder, environment=case.environment)
        code = running.wait(TIMEOUT)
        if code is None:
            running.send(9, group=True)
        verdict = judge(case, code, running.output())
        running.forget_output()
        return verdict

    with ThreadPoolExecutor(lanes) as pool:
        return [verdict for verdict in pool.map(run, cases) if verdict is not None]
