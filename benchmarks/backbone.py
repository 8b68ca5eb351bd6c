"""The FAN backbone beside a plain implementation of the same formulas (`plain_fan.py`).

    python benchmarks/backbone.py                     # the CPU cases, all cores
    python benchmarks/backbone.py --device cuda       # the GPU's
    python benchmarks/backbone.py --case base_hybrid,512x1024,bf16,forward

Needs torch and timm alone. A case is ``arch,HEIGHTxWIDTH[xBATCH],fp32|bf16,forward|train`` and,
further, any of ``checkpointing`` (recompute activations) and ``compile`` (torch.compile), which
concern ours only. Each way runs in a process of its own, in turns; the best time of each counts.
Memory is the process's peak, or the GPU's, above what it held before the first step. Prints one
Markdown table.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from plain_fan import plain
from torch.utils.flop_counter import FlopCounterMode

from stl_backbones.models.fan import FAN
from stl_backbones.models.variants import get_variant

CASES = {
    "cpu": (
        "base_hybrid,512x1024,fp32,forward",
        "base_hybrid,1024x1024,fp32,forward",
        "base_hybrid,512x1024,bf16,forward",
        "tiny_hybrid,512x512,fp32,train",
        "tiny_hybrid,512x512,fp32,train,checkpointing",
        "base_hybrid,224x224,fp32,forward",
        "tiny_hybrid,224x224,fp32,forward",
    ),
    "cuda": (
        "base_hybrid,1024x1024x8,bf16,forward",
        "base_hybrid,1024x1024x8,bf16,forward,compile",
        "base_hybrid,1024x1024x4,bf16,train",
        "base_hybrid,1024x1024x4,bf16,train,compile",
        "base_hybrid,1024x1024x4,bf16,train,checkpointing",
        "base_hybrid,224x224x128,bf16,train",
        "base_hybrid,224x224x128,bf16,train,compile",
    ),
}
WAYS = ("plain", "ours")
MIB = 1 << 20


@dataclass(frozen=True)
class Case:
    """What is run.

    Attributes:
        arch: The variant.
        height: Of the images.
        width: Of the images.
        batch: Images of a step.
        bfloat16: Under autocast; else float32.
        training: Forward, backward; else the dense maps alone.
        checkpointing: Recompute activations.
        compiled: Through torch.compile.
    """

    arch: str
    height: int
    width: int
    batch: int
    bfloat16: bool
    training: bool
    checkpointing: bool
    compiled: bool

    @classmethod
    def parse(cls, text: str) -> Case:
        """Read a case of the command line."""
        arch, size, precision, kind, *extras = text.split(",")
        height, width, *batch = map(int, size.split("x"))
        unknown = {*extras} - {"checkpointing", "compile"}
        if precision not in ("fp32", "bf16") or kind not in ("forward", "train") or unknown:
            raise SystemExit(f"'{text}' is no case; see --help")
        return cls(
            arch, height, width, batch[0] if batch else 1, precision == "bf16", kind == "train",
            "checkpointing" in extras, "compile" in extras,
        )  # fmt: skip


def main() -> None:
    """Run all cases, each way in a process of its own."""
    args = parse()
    if args.way is not None:
        print(json.dumps(measure(Case.parse(args.case[0]), args)))
        return
    threads = args.threads or torch.get_num_threads()
    device = torch.cuda.get_device_name() if args.device == "cuda" else platform.machine()
    print(f"{device}, {threads} thread(s), torch {torch.__version__}, best of {args.turns}\n")
    rate = " matrix rate, TFLOP/s |" if args.device == "cuda" else ""
    print(f"| case | plain, s | ours, s | times faster | plain, MiB | ours, MiB | memory |{rate}")
    print(f"|---|--:|--:|--:|--:|--:|--:|{'--:|' if rate else ''}")
    for case in args.case or CASES[args.device]:
        results = {way: run_case(case, way, args) for way in WAYS}
        for _ in range(args.turns - 1):
            for way in WAYS:
                again = run_case(case, way, args)
                results[way]["seconds"] = min(results[way]["seconds"], again["seconds"])
        print(row(case, results, with_rate=bool(rate)), flush=True)


def row(case: str, results: dict[str, dict[str, float]], *, with_rate: bool) -> str:
    """One line of the table."""
    old, new = (results[way] for way in WAYS)
    seconds, memory = old["seconds"] / new["seconds"], new["mib"] / max(old["mib"], 1)
    text = (
        f"| {case.replace(',', ' ')} | {old['seconds']:.3f} | {new['seconds']:.3f} | "
        f"{seconds:.2f} | {old['mib']:.0f} | {new['mib']:.0f} | {memory:.2f}x |"
    )
    return f"{text} {new['tflops']:.0f} |" if with_rate else text


def run_case(case: str, way: str, args: argparse.Namespace) -> dict[str, float]:
    """Measure in a new process."""
    words = ["--case", case, "--way", way, "--device", args.device, "--steps", str(args.steps)]
    words += ["--threads", str(args.threads)] if args.threads else []
    done = subprocess.run(
        [sys.executable, __file__, *words], check=False, capture_output=True, text=True
    )
    if done.returncode:
        if "out of memory" in done.stderr.lower():
            return {"seconds": math.inf, "mib": math.inf, "tflops": 0.0}
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(case: Case, args: argparse.Namespace) -> dict[str, float]:
    """Seconds per step, peak memory above the start, and the matrix rate."""
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    network = FAN(get_variant(case.arch), num_classes=0).to(args.device)
    network.freeze_class_path()
    network = plain(network) if args.way == "plain" else network
    network.train(case.training)
    if case.checkpointing and args.way == "ours":
        network.set_grad_checkpointing(True)
    dense: Callable[[torch.Tensor], list[torch.Tensor]] = network.forward_dense
    if case.compiled and args.way == "ours":
        dense = torch.compile(dense)
    images = torch.randn(case.batch, 3, case.height, case.width, device=args.device)

    def step() -> None:
        with torch.autocast(args.device, torch.bfloat16, enabled=case.bfloat16):
            maps = dense(images)
        if case.training:
            sum(part.float().mean() for part in maps).backward()
            network.zero_grad(set_to_none=True)

    with torch.set_grad_enabled(case.training):
        before = held(args.device)
        step()
        peak = held(args.device, peak=True)
        for _ in range(args.warm_up):
            step()
        seconds = min(timed(step, args.device) for _ in range(args.steps))
        with FlopCounterMode(display=False) as counter:
            if args.device == "cuda" and not case.compiled:
                step()
    return {
        "seconds": seconds,
        "mib": (peak - before) / MIB,
        "tflops": counter.get_total_flops() / seconds / 1e12,
    }


def timed(step: Callable[[], None], device: str) -> float:
    """Wall time of a step."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def held(device: str, *, peak: bool = False) -> int:
    """Bytes of memory in use, or at most in use so far."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() if peak else torch.cuda.memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--case", action="append", help="instead of the device's own list; may be given again")
    add("--device", default="cpu", choices=("cpu", "cuda"))
    add("--threads", type=int, help="default: torch's")
    add("--steps", type=int, default=5, help="steps of a process; the best counts")
    add("--warm-up", type=int, default=1, help="steps before them")
    add("--turns", type=int, default=2, help="processes of each way; the best counts")
    add("--way", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
