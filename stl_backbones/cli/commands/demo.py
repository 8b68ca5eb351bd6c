"""From generated street scenes to a Cityscapes-C report, in minutes on two CPU cores.

The network is a small FAN whose weights come with the package, as ``--from-scratch`` makes them.
Runs the other tools one after the other and prints each command. The same command goes on where an
interrupted one stopped: a step that is done is not done again, training resumes.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from stl_backbones.cli.parser import whole_from
from stl_backbones.cli.started import command_words, process_words
from stl_backbones.cli.tool import make_parser, run_tool
from stl_backbones.errors import InputError
from stl_backbones.paths import check_file
from stl_backbones.results.lock import LOCK_NAME

CONFIG = "stl_backbones::seg/stl_fan_mini"
WEIGHTS = Path(__file__).parents[2] / "models/weights/fan_mini_street_scenes.pth"
WEIGHTS_SHA256 = "a6e1214ed6dda9ef44d6d583e76f481eff68991ab2a4a59df7f9476c0ae761a9"
KEPT = "finished steps are kept, and the training's last checkpoint"


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="where everything goes")
    parser.add_argument("--from-scratch", action="store_true", help="train the network anew")
    parser.add_argument(
        "--iterations", type=whole_from(1), default=1000, metavar="N",
        help="training iterations of --from-scratch",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=whole_from(1), metavar="N", help="score only the first N images"
    )
    return parser


def plan(args: argparse.Namespace) -> list[list[str]]:
    """The commands to run, each a tool and its arguments."""
    out, checkpoint = args.out, WEIGHTS
    data = f"{out}/mini" if args.from_scratch else f"{out}/mini_val"
    options = ["--cfg-options", f"data_root={data}/cityscapes"]
    limit = ["--limit", str(args.limit)] if args.limit else []
    few = [] if args.from_scratch else ["--train", "8", "--val", "16"]
    steps = [["make_mini_data", data, *few]]
    if args.from_scratch:
        checkpoint = out / "train" / f"iter_{args.iterations}.pth"
        if not checkpoint.is_file():
            steps.append(training(out / "train", args.iterations, options))
    return [
        *steps,
        ["robustness", CONFIG, str(checkpoint), "--protocol", "stl-cityscapes-c",
         "--name", "FAN mini", "--work-dir", f"{out}/robustness", *limit, *options],
        ["show_failures", f"{out}/robustness", "--count", "6", "--format", "jpeg"],
        ["report", f"{out}/robustness", "--out", f"{out}/report"],
    ]  # fmt: skip


def training(folder: Path, iterations: int, options: Sequence[str]) -> list[str]:
    """The command that trains the network."""
    part = max(iterations // 20, 1)
    length = [
        f"max_iters={iterations}", f"val_interval={iterations}", f"warmup_iters={part}",
        f"default_hooks.checkpoint.interval={part}",
    ]  # fmt: skip
    resume = ["--resume"] if (folder / LOCK_NAME).exists() else []  # it was started before
    return ["train", CONFIG, *precision(), "--work-dir", str(folder), *resume, *options, *length]


def precision(cpu_info: Path = Path("/proc/cpuinfo")) -> list[str]:
    """``--amp`` where the CPU computes in bfloat16; where it does not, that takes twice as long."""
    words = cpu_info.read_text(encoding="utf-8").split() if cpu_info.is_file() else []
    return ["--amp"] if "amx_bf16" in words or "avx512_bf16" in words else []


def demo(args: argparse.Namespace) -> int:
    """Run all steps; returns the first failing step's exit code."""
    if not args.from_scratch:
        check_weights(WEIGHTS)
    args.out.mkdir(parents=True, exist_ok=True)  # said here if it cannot be, not by the first step
    return run_steps(plan(args), is_quiet=args.quiet)


def check_weights(path: Path) -> None:
    """Refuse other weights than those that the package was released with.

    Raises:
        MissingFileError: If there are none.
        InputError: If they are others.
    """
    check_file(path, "weights of the demo")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != WEIGHTS_SHA256:
        raise InputError(
            f"'{path}' has sha256 {found[:12]}, expected {WEIGHTS_SHA256[:12]}: install "
            "stl_backbones anew, or use --from-scratch"
        )


def run_steps(steps: Sequence[Sequence[str]], *, is_quiet: bool) -> int:
    """Run tools one after the other, and print each command.

    Args:
        steps: Tools with their words.
        is_quiet: Whether they show no progress.

    Returns:
        The first failing step's exit code; 0 if none fails.
    """
    start = time.monotonic()
    for tool, *words in steps:
        words += ["--quiet"] if is_quiet else []
        if not is_quiet:
            print(f"\n$ {shlex.join([*command_words(tool), *words])}", flush=True)
        code = subprocess.run(process_words(tool) + words, check=False).returncode
        if code:
            return code
    print(f"\ndemo: {time.monotonic() - start:.0f} s in all")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(parse(), demo, argv, after_interrupt=KEPT)
