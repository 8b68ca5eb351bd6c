"""Training on a busy machine: seconds per step alone and beside a second training.

    python benchmarks/busy.py

Trains the mini config on generated scenes with as many threads as there are cores, once as the
tools run it, with waiting OpenMP threads asleep, and once with libgomp's own default, by which they
spin. Prints one Markdown table; only its ratios mean anything.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from stl_backbones.datasets.mini import write_mini_data

ROOT = Path(__file__).parents[1]
SPINS = "300000"  # libgomp's GOMP_SPINCOUNT where no policy is set
WAYS = {"sleeping (the tools)": {}, "spinning (libgomp's default)": {"GOMP_SPINCOUNT": SPINS}}
LOGGED = 2  # steps between two lines


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20, help="of each training")
    parser.add_argument("--turns", type=int, default=2, help="the best one counts")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_mini_data(place / "mini", num_train=16, num_val=4)
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for _ in range(args.turns):
            for way, settings in WAYS.items():
                alone = seconds(start(place, "a", args.steps, settings))
                beside = start(place, "b", args.steps, settings)
                both = seconds(start(place, "a", args.steps, settings))
                beside.communicate()
                found[way].append((alone, both))
    print("| waiting threads | alone, s/step | beside another, s/step | ratio |\n|---|--:|--:|--:|")
    for way, turns in found.items():
        alone, both = (min(times) for times in zip(*turns, strict=True))
        print(f"| {way} | {alone:.2f} | {both:.2f} | {both / alone:.1f} |")


def start(place: Path, name: str, steps: int, settings: dict[str, str]) -> subprocess.Popen[str]:
    """Start a training."""
    options = {
        "data_root": place / "mini/cityscapes", "max_iters": steps, "warmup_iters": 1,
        "val_interval": steps + 1, "default_hooks.logger.interval": LOGGED,
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, ROOT / "tools/train.py", ROOT / "configs/seg/stl_fan_t_mini.py",
         "--work-dir", place / name, "--cfg-options", *(f"{k}={v}" for k, v in options.items())],
        env={**os.environ, **settings}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def seconds(training: subprocess.Popen[str]) -> float:
    """Seconds per step of a training, once it has ended: the median, without the first ones."""
    text, _ = training.communicate()
    steps = [float(step) for step in re.findall(r"Iter\(train\).* time: ([\d.]+)", text)]
    if len(steps) < 3:
        raise SystemExit(text[-2000:])
    return statistics.median(steps[1:])


if __name__ == "__main__":
    main()
