"""The shared command line: bad input is one line and exit code 2, never a bare traceback."""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from stl_backbones.cli.device import add_device
from stl_backbones.cli.interrupts import (
    WorkerLost,
    has_run_begun,
    interruptible,
    leave_at_once,
)
from stl_backbones.cli.lost_processes import describe_lost_process, is_distributed
from stl_backbones.cli.memory import set_up_memory
from stl_backbones.cli.parser import EXIT_USER_ERROR, Parser, severity
from stl_backbones.cli.started import as_started, program, start_words
from stl_backbones.collector import collecting_rarely
from stl_backbones.config.user_code import describe_user_code, reason
from stl_backbones.display import quietly
from stl_backbones.errors import InputError, UserError, first_sentence
from stl_backbones.packages import explain
from stl_backbones.run_log import logged_run

EXIT_BUG = 70  # EX_SOFTWARE of BSD's sysexits.h: neither bad input nor a finding
EXIT_INTERRUPTED = 130  # 128 + SIGINT, the shell's convention

PRECISIONS = ("bfloat16", "float16")  # as `stl_backbones.engine.precision`, which needs torch

_CLOSING = {"(": ")", "[": "]"}
_BUG = (
    "this is a bug in stl_backbones or in a library below it, not in what you gave; please report "
    "it with the lines above and the command"
)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the description's line breaks, and prints the defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


def make_parser(description: str, *, epilog: str | None = None) -> argparse.ArgumentParser:
    """Return a parser with the options that every tool has."""
    parser = Parser(
        prog=program(), description=description, epilog=epilog, formatter_class=HelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument(
        "--debug", action="store_true", help="on an error, show the traceback as well"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print errors and the result, no progress"
    )
    return parser


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add OpenMMLab's usual options of a tool that runs a config's model on labelled pairs."""
    add_config_options(parser)
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="leave out truncated or unfitting images instead of refusing the data set",
    )


def add_config_run(parser: argparse.ArgumentParser) -> None:
    """Add what train, pretrain and test share: precision, data, and the options of a run."""
    add_amp(parser)
    add_device(parser)
    add_data_root(parser)
    add_run_options(parser)
    add_trust_checkpoint(parser)


def add_amp(parser: argparse.ArgumentParser) -> None:
    """Add mixed precision."""
    parser.add_argument(
        "--amp",
        nargs="?",
        const=PRECISIONS[0],
        choices=PRECISIONS,
        help="mixed precision; bfloat16, which is meant where none is named, also on the CPU, "
        "float16 on GPUs; a detector predicts with backbone and neck in it",
    )


def add_tf32(parser: argparse.ArgumentParser) -> None:
    """Add TF32, for tools that score."""
    parser.add_argument(
        "--tf32",
        action="store_true",
        help="let a GPU round float32 to TF32: faster, and less exact than what is scored else",
    )


def add_data_root(parser: argparse.ArgumentParser) -> None:
    """Add where the data set of a config lies."""
    parser.add_argument("--data-root", metavar="DIR", help="where the config's data set lies")


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add where results go, what changes in the config, and the launcher."""
    parser.add_argument(
        "--work-dir",
        metavar="DIR",
        help="where results go (default: work_dirs/NAME; of a sweep work_dirs/NAME/robustness)",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        metavar="NAME=VALUE",
        help="change the config: any dotted name, or a variable such as data_root=DIR, "
        "crop_size='(512,512)', which changes everywhere it is used",
    )
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm", "mpi"),
        default="pytorch" if "TORCHELASTIC_RUN_ID" in os.environ else "none",
        help="job launcher; torchrun is noticed by itself",
    )


def add_cells(parser: argparse.ArgumentParser, *, beside: str = "") -> None:
    """Which cells of a protocol, and the distances that one of its corruptions needs.

    Args:
        parser: Where.
        beside: What else the help of ``--corruptions`` says.
    """
    several: dict[str, Any] = {"nargs": "+", "action": "extend"}
    add = parser.add_argument
    add("--corruptions", **several, metavar="NAME", help="only these of the protocol, or its "
        "groups: noise, blur, weather, digital; compounds too: fog+gaussian_noise"
        + beside)  # fmt: skip
    add("--severities", **several, type=severity, metavar="N",
        help="only these severities, 1 to 5, fractions too")  # fmt: skip
    add("--levels", **several, default=[], metavar="NAME=LEVELS", help="only these levels of a "
        "corruption that has a unit: fog_depth=50m,100m rain=25mm/h")  # fmt: skip
    add("--depth", metavar="DIR", help="distances, for fog_depth: Cityscapes' root with disparity "
        "and camera, or DIR/<image>.npy in metres")  # fmt: skip


def add_custom_imports(parser: argparse.ArgumentParser) -> None:
    """Add the option that makes corruptions, protocols and tasks of the user's own known."""
    parser.add_argument(
        "--custom-imports",
        nargs="+",
        default=[],
        metavar="MODULE",
        help="modules, or paths of .py files, that register corruptions, protocols and tasks of "
        "your own; see docs/how-to/own_corruption.md and docs/how-to/own_task.md",
    )


def add_trust_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add the only way to read a checkpoint of pickled code, which runs that code."""
    parser.add_argument(
        "--trust-checkpoint",
        action=_TrustCheckpoint,
        help="run pickled code in checkpoints instead of refusing them: only for files whose maker "
        "you trust; see docs/reference/security.md",
    )


def add_no_ema(parser: argparse.ArgumentParser) -> None:
    """Add which of a checkpoint's weights are taken where it holds two sets."""
    parser.add_argument(
        "--no-ema",
        action="store_true",
        help="take the raw weights of a checkpoint instead of the averaged ones",
    )


class _TrustCheckpoint(argparse.Action):
    """Warns, and switches the trust on."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=False, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, *_: Any) -> None:
        # Heavy: only when asked for.
        from stl_backbones.models.checkpoint_files import trust_checkpoints

        setattr(namespace, self.dest, True)
        trust_checkpoints()
        if is_main_process():
            text = (
                f"{parser.prog}: warning: {self.option_strings[0]}: code in the checkpoints is run"
            )
            print(_red(text), file=sys.stderr, flush=True)


def _red(text: str) -> str:
    """In red on a terminal; NO_COLOR and FORCE_COLOR are obeyed, see https://no-color.org."""
    coloured = sys.stderr.isatty() or os.environ.get("FORCE_COLOR")
    return f"\x1b[31m{text}\x1b[0m" if coloured and not os.environ.get("NO_COLOR") else text


def parse_options(pairs: Sequence[str] | None) -> dict[str, Any]:
    """Turn ``NAME=VALUE`` pairs into values, the way all OpenMMLab tools do.

    Raises:
        ValueError: If a pair is no name and ``=``, or its brackets do not match.
    """
    if not pairs:
        return {}  # without OpenMMLab too
    from mmengine.config import DictAction  # heavy: only when a tool runs

    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not all(name.split(".")):
            raise InputError(f"--cfg-options takes NAME=VALUE, got '{pair}'")
        try:
            if value[:1] in _CLOSING and value[-1:] != _CLOSING[value[:1]]:
                raise InputError(f"'{value}' is not closed")  # one value alone would be a text
            options[name] = _read_list(value) or DictAction._parse_iterable(value)
        except (AssertionError, ValueError, IndexError, RecursionError) as error:
            raise InputError(
                f"--cfg-options {name}: '{value}' cannot be read: brackets that do not match?"
            ) from error
    return options


def _read_list(value: str) -> list[Any] | tuple[Any, ...] | None:
    """A list or tuple as Python writes it, with the spaces of its texts, which mmengine drops."""
    if value[:1] in _CLOSING:
        with contextlib.suppress(ValueError, SyntaxError, MemoryError):
            found = ast.literal_eval(value)
            return found if isinstance(found, list | tuple) else None
    return None


def is_main_process() -> bool:
    """Whether this process of a launched job is the one that prints."""
    return os.environ.get("RANK", "0") == "0"


def run_tool(
    parser: argparse.ArgumentParser,
    main: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None = None,
    *,
    after_interrupt: str = "nothing was written",
    resume: str = "",
) -> int:
    """Parse the arguments, run ``main``, and return the exit code.

    Args:
        parser: The tool's parser.
        main: The tool.
        argv: The arguments; default: the process's.
        after_interrupt: What Ctrl-C leaves behind.
        resume: The option by which the same command goes on, if it needs one.

    Returns:
        What ``main`` returned (0 for ``None``); 2 after bad input; 130 after Ctrl-C, 143 after
        SIGTERM; 70 after an error that nobody foresaw. After an interrupt, and where a worker or
        another process of the job is lost, the process ends here instead.
    """
    args = parser.parse_intermixed_args(argv)  # options may stand between the words
    set_up_memory()
    words = sys.argv[1:] if argv is None else list(argv)
    command = shlex.join([*start_words(), *words])
    # As a function, called by a test for example, it leaves nobody's process.
    leave: Callable[[int], int] = leave_at_once if argv is None else int

    def again() -> str:
        return _same_command(words, resume if has_run_begun() else "")

    def say_interrupted() -> None:
        if is_main_process():
            end = "\n" if sys.stderr.isatty() else ""  # of a line of progress
            print(f"{end}{parser.prog}: interrupted; {after_interrupt}; {again()}", file=sys.stderr)

    def say_lost(error: BaseException) -> str | None:
        lost = describe_lost_process(error)
        if lost is not None:
            line = f"{parser.prog}: error: {lost}; {after_interrupt}; {again()}"
            print(*(traceback.format_exception(error) if args.debug else ()), line, file=sys.stderr)
        return lost

    with collecting_rarely(), quietly(args.quiet), logged_run(command) as log:
        try:
            with interruptible(say_interrupted, say_lost=say_lost, then_default=argv is None):
                code = main(args) or 0
        except KeyboardInterrupt as interrupt:
            say_interrupted()
            code = getattr(interrupt, "exit_code", EXIT_INTERRUPTED)
            log.end(code, "interrupted")
            return leave(code)
        except BrokenPipeError:  # the reader of our output left, `| head` for example
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            log.end(1, "the reader of the output left")
            return 1
        except (Exception, WorkerLost) as error:
            lost = say_lost(error)
            if lost is None:
                code = _say_error(error, parser.prog, main, debug=args.debug)
                log.end(code, first_sentence(error))
                return leave(code) if is_distributed() else code  # torch may abort at Python's end
            log.end(EXIT_USER_ERROR, lost)
            return leave(EXIT_USER_ERROR)  # at once: torch would wait for the process
        log.end(code)
    _leave_group(code)
    return code


def _say_error(error: BaseException, prog: str, main: Callable[..., Any], *, debug: bool) -> int:
    """Say what was wrong with what was given, or that this is a bug; returns the exit code."""
    if isinstance(error, ModuleNotFoundError):
        error = explain(error) or error
    if not isinstance(error, UserError):
        from stl_backbones.binary_pairs import explain_mismatch  # heavy: only on an error

        error = explain_mismatch(error) or error
    if getattr(error, "reported_by_main", False):  # the main process of the job says it
        return EXIT_USER_ERROR
    is_users = isinstance(error, UserError) or _is_of_the_system(error)
    code = getattr(main, "__code__", None)
    own_file = [code.co_filename] if code else []
    found = one_line(error) if is_users else describe_user_code(error, ours=own_file)
    line = None if found is None else as_started(found)
    if line is None or debug:
        traceback.print_exception(error)
    print(f"{prog}: {_BUG}" if line is None else f"{prog}: error: {line}", file=sys.stderr)
    return EXIT_BUG if line is None else EXIT_USER_ERROR


def _is_of_the_system(error: BaseException) -> bool:
    """Whether a file or a disk is the reason; a data worker's error keeps its number as text."""
    number = getattr(error, "errno", None)
    return number is not None or (isinstance(error, OSError) and "[Errno " in str(error))


def _leave_group(code: int) -> None:
    engine = sys.modules.get("stl_backbones.engine.distributed")
    if engine is not None:
        engine.leave(code)


def _same_command(words: Sequence[str], resume: str) -> str:
    """What to type to go on, or to start again."""
    if resume:
        kept = [word for word in words if not word.startswith(f"{resume}=")]
        if resume in kept:
            at = kept.index(resume)
            is_last = at + 1 == len(kept) or kept[at + 1].startswith("-")
            del kept[at : at + (1 if is_last else 2)]
        words = [*kept, resume]
    launcher = "torchrun ... " if "TORCHELASTIC_RUN_ID" in os.environ else ""
    return f"go on with: {launcher}{shlex.join([*start_words(), *words])}"


def one_line(error: BaseException) -> str:
    """Say an error in one line, whichever process it came from."""
    if isinstance(error, OSError) and error.strerror:
        name = f": '{error.filename}'" if error.filename else ""
        return f"{error.strerror}{name}"
    return reason(error)
